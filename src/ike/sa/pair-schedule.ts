import type { Millis } from '../../util/units.js';
import { describeSelector } from '../../wire/ike/describe.js';
import type { NetworkPair } from '../policy/carried-pairs.js';

/** Wait after the first try for a pair of networks, and the longest one; each is four times the one before. */
const FIRST_WAIT: Millis = 30_000;
export const MAX_PAIR_WAIT: Millis = 3_600_000;

/** How often a pair of networks was asked for in a row, and when it may be again. */
export interface PairTries {
  readonly tries: number;
  readonly notBefore: Millis;
}

/** The wait for a pair that was tried `tries` times before: a pair that the peer refuses is asked for ever more seldom. */
export function pairWait(tries: number): Millis {
  return Math.min(MAX_PAIR_WAIT, FIRST_WAIT * 4 ** tries);
}

/** By what the tries of a pair are remembered. */
export function pairName({ local, peer }: NetworkPair): string {
  return `${describeSelector(local)} ${describeSelector(peer)}`;
}
