import { findEncryption } from '../../crypto/transforms.js';
import type { EspSuite } from '../../crypto/types.js';
import { readU32 } from '../../util/bytes.js';
import type { Random } from '../../util/random.js';
import type { ByteCount } from '../../util/units.js';

/** What may pass under one key, in either direction. */
export interface Volume {
  readonly bytes: ByteCount;
  readonly packets: number;
}

/** When a child SA is rekeyed for what has passed, and when it ends if that did not work. */
export interface VolumeLimit {
  readonly rekeyAt: Volume;
  readonly expiresAt: Volume;
}

/**
 * Sequence numbers are 32 bits and never come again under one key (RFC 4303 §3.3.3). Counters are read once a
 * second, and 2^20 packets are more than pass in one.
 */
const MAX_PACKETS = 2 ** 32 - 2 ** 20;
/**
 * Blocks of 64 bits begin to repeat early: after 2^32 bits the chance is 2^-13, after 32 GB it is one half
 * (the SWEET32 attack lives on that).
 */
const MAX_BYTES_64 = 2 ** 29;
/** Blocks of 128 bits: the 2^24.5 records of 2^14 octets that RFC 8446 §5.5 allows for a margin of 2^-57. */
const MAX_BYTES_128 = 2 ** 38;
/** As for lifetimes: the part after which an SA is rekeyed at the latest, and how much earlier chance puts it. */
const REKEY_AT = 0.9;
const JITTER = 0.1;

/** The bounds of a child SA made now. */
export function volumeLimit(random: Random, suite: EspSuite): VolumeLimit {
  const { encryption } = suite;
  const transform = findEncryption(encryption.id, encryption.keyBits);
  const short = transform?.blockLength === 8 && !transform.aead;
  const expiresAt = { bytes: short ? MAX_BYTES_64 : MAX_BYTES_128, packets: MAX_PACKETS };
  const part = REKEY_AT - JITTER * (readU32(random.bytes(4), 0) / 2 ** 32);
  const rekeyAt = {
    bytes: Math.floor(expiresAt.bytes * part),
    packets: Math.floor(expiresAt.packets * part),
  };
  return { rekeyAt, expiresAt };
}

/** Whether as much as `limit`, in octets or in packets, has passed. */
export function isReached(limit: Volume, passed: Volume): boolean {
  return passed.bytes >= limit.bytes || passed.packets >= limit.packets;
}
