import type { ChildSaInfo } from '../ike/events.js';
import type { Networks } from '../ike/policy/selectors.js';
import { describeSelector } from '../wire/ike/describe.js';

/** One configured local network with one configured peer network. */
export interface SelectorPair {
  readonly local: string;
  readonly peer: string;
}

/** A configured pair and what carries it. */
export interface PairCoverage extends SelectorPair {
  /** The child SA that carries both sides; of several the last one. */
  readonly child: ChildSaInfo | undefined;
}

/** Whether both have the same networks, in the same order. */
export function sameNetworks(a: Networks, b: Networks): boolean {
  return networksText(a) === networksText(b);
}

function networksText({ local, peer }: Networks): string {
  return [local, peer].map(({ selectors }) => selectors.map(describeSelector).join(' ')).join(' === ');
}
