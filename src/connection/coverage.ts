import { CarriedPairs } from '../ike/policy/carried-pairs.js';
import type { Networks, SelectorLists } from '../ike/policy/selectors.js';
import { describeSelector } from '../wire/ike/describe.js';

/** One configured local network with one configured peer network. */
export interface SelectorPair {
  readonly local: string;
  readonly peer: string;
}

/** A configured pair and what carries it. */
export interface PairCoverage<T extends SelectorLists> extends SelectorPair {
  /** The child SA that carries both sides; of several the last one. */
  readonly child: T | undefined;
}

/** Every configured pair of networks of one family, with the child SA that carries it. */
export function coverageMatrix<T extends SelectorLists>(
  networks: Networks,
  children: readonly T[],
): PairCoverage<T>[] {
  const carried = new CarriedPairs<T>();
  carried.configure(networks);
  for (const [i, child] of children.entries()) carried.add(i, child);
  return carried.matrix().map(({ local, peer, child }) => ({
    local: describeSelector(local),
    peer: describeSelector(peer),
    child,
  }));
}

/** Whether both have the same networks, in the same order. */
export function sameNetworks(a: Networks, b: Networks): boolean {
  return networksText(a) === networksText(b);
}

function networksText({ local, peer }: Networks): string {
  return [local, peer].map(({ selectors }) => selectors.map(describeSelector).join(' ')).join(' === ');
}
