import { MIN_CAPTURE_BYTES } from './capture-file.js';

/** Seconds, octets of the file and octets of a packet: what a capture has when nothing is said, and what it may have. */
export const CAPTURE_LIMITS = {
  seconds: { usual: 60, least: 1, most: 3600 },
  bytes: { usual: 64 * 1024 * 1024, least: MIN_CAPTURE_BYTES, most: 1024 * 1024 * 1024 },
  snap: { usual: 65_535, least: 64, most: 65_535 },
} as const;
