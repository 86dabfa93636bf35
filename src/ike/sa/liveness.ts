import { type Millis, seconds } from '../../util/units.js';
import type { DpdConfig } from '../config.js';

/** However short the timeout, a question gets this long for its answer before the peer counts as dead. */
const MIN_PATIENCE: Millis = 3000;
/** Questions before the timeout, about. */
const TRIES_WITHIN_TIMEOUT = 4;

/** When to ask for a sign of life, if none comes by itself: IKE or ESP, any authentic packet counts. */
export function probeTime({ interval }: DpdConfig, lastInbound: Millis): Millis {
  return lastInbound + seconds(interval);
}

/** Longest wait between two questions, so that several fit into the timeout. */
export function maxWait({ timeout }: DpdConfig): Millis {
  return seconds(timeout) / TRIES_WITHIN_TIMEOUT;
}

/**
 * When the peer counts as dead that was asked at `askedAt`: `timeout` after its last sign of life. Silence alone is no
 * proof (RFC 7296 §2.4, RFC 3706 §5.4), only an unanswered question is.
 */
export function deathTime({ timeout }: DpdConfig, lastInbound: Millis, askedAt: Millis): Millis {
  return Math.max(lastInbound + seconds(timeout), askedAt + Math.min(seconds(timeout), MIN_PATIENCE));
}
