import { readU32 } from '../util/bytes.js';
import type { Random } from '../util/random.js';
import type { Millis } from '../util/units.js';

/** Wait before attempt n after a failure: drawn from (0, `first` * 2^n], never above `ceiling` or below `floor`. */
export interface BackoffPolicy {
  readonly first: Millis;
  readonly ceiling: Millis;
  readonly floor: Millis;
}

/** A second at first, a minute at most, and never more than ten attempts a second. */
export const DEFAULT_BACKOFF: BackoffPolicy = { first: 1000, ceiling: 60_000, floor: 100 };

/**
 * Full jitter: the whole wait is random, so that many gateways that lost one peer at the same moment do not
 * come back at the same moment.
 * @param failures in a row so far, counted from 1
 */
export function backoffDelay(
  failures: number,
  random: Random,
  policy: BackoffPolicy = DEFAULT_BACKOFF,
): Millis {
  const exponent = Math.min(30, Math.max(0, failures - 1));
  const most = Math.min(policy.ceiling, policy.first * 2 ** exponent);
  return Math.max(policy.floor, Math.round(most * fraction(random)));
}

/** A number in (0, 1]. */
export function fraction(random: Random): number {
  return (readU32(random.bytes(4), 0) + 1) / 2 ** 32;
}
