import { readU32 } from '../../util/bytes.js';
import type { Random } from '../../util/random.js';
import { type Millis, type Seconds, seconds } from '../../util/units.js';

/** Part of a lifetime after which an SA is rekeyed at the latest, and how much earlier chance may put it. */
const REKEY_AT = 0.9;
const JITTER = 0.1;

/** Waits between tries of a rekey that the peer refuses: several fit into what is left of the lifetime. */
const MAX_RETRY = 30_000;
const MIN_RETRY = 5000;

/** The point between rekeying and end at which rekeying counts as failed. */
export function renewAt(rekeyAt: Millis, expiresAt: Millis): Millis {
  return expiresAt - Math.min(MAX_LEAD, Math.floor((expiresAt - rekeyAt) / 2));
}

/** When a refused rekey is asked for again. Until it succeeds the old SA works, and ends with its lifetime. */
export function retryAt(now: Millis, expiresAt: Millis): Millis {
  return now + Math.min(MAX_RETRY, Math.max(MIN_RETRY, (expiresAt - now) / 4));
}

/** A new IKE SA is begun this long before the end of what could not be rekeyed, where there is so much time. */
const MAX_LEAD: Millis = 60_000;

/** When an SA made now is rekeyed, and when it ends if that did not work. */
export interface Lifetime {
  readonly rekeyAt: Millis;
  /** When a new IKE SA is begun, since rekeying did not work (RFC 7296 §2.8). */
  readonly renewAt: Millis;
  readonly expiresAt: Millis;
}

/**
 * IKEv2 does not negotiate lifetimes: each end keeps its own (RFC 7296 §2.8). The jitter keeps the two ends
 * of a connection with the same policy from rekeying in the same moment, and many connections too.
 */
export function lifetime(random: Random, now: Millis, life: Seconds): Lifetime {
  const chance = readU32(random.bytes(4), 0) / 2 ** 32;
  const whole = seconds(life);
  const rekeyAt = now + Math.floor(whole * (REKEY_AT - JITTER * chance));
  const expiresAt = now + whole;
  return { rekeyAt, renewAt: renewAt(rekeyAt, expiresAt), expiresAt };
}

/** An SA whose new lifetime is over already still has this long for its rekeying. */
const MIN_REST: Millis = 30_000;

/**
 * The same for an SA made at `from` that gets another lifetime now. Its age counts: a shorter lifetime may be over
 * already, and then it is rekeyed now.
 */
export function recountedLifetime(random: Random, from: Millis, life: Seconds, now: Millis): Lifetime {
  const planned = lifetime(random, from, life);
  const rekeyAt = Math.max(now, planned.rekeyAt);
  const expiresAt = Math.max(now + MIN_REST, planned.expiresAt);
  return { rekeyAt, renewAt: renewAt(rekeyAt, expiresAt), expiresAt };
}
