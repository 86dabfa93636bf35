import type { Millis, Seconds } from '../../util/units.js';

/**
 * How long a replaced SA still takes what comes before its initiator deletes it: packets and messages on their way, and
 * peers that switch late. The same for ISAKMP and ESP SAs.
 */
export const REPLACED_LINGERS: Millis = 10_000;

/** Lifetimes never fail a match: the shorter one counts (RFC 2407 §4.5.4). */
export function shorter(ours: Seconds, theirs: Seconds | undefined): Seconds {
  return theirs === undefined ? ours : Math.min(ours, theirs);
}

/** The shorter of two that may both be untold. */
export function shortest(a: Seconds | undefined, b: Seconds | undefined): Seconds | undefined {
  return a === undefined ? b : shorter(a, b);
}
