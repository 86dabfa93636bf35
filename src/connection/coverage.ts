import { compareBytes } from '../util/bytes.js';
import { describeSelector } from '../wire/ike/describe.js';
import type { TrafficSelector } from '../wire/ike/payloads.js';

/** The selectors of one child SA. */
export interface CoveringChild {
  readonly localTs: readonly TrafficSelector[];
  readonly peerTs: readonly TrafficSelector[];
}

/** One configured local network with one configured peer network. */
export interface SelectorPair {
  readonly local: string;
  readonly peer: string;
}

/** A configured pair and what carries it. */
export interface PairCoverage<T extends CoveringChild> extends SelectorPair {
  /** The child SA that carries both sides; of several the last one. */
  readonly child: T | undefined;
}

/**
 * Every configured pair of networks of one family, with the child SA that carries it. A pair counts as carried when
 * one child SA holds both of its sides; a side may be spread over several selectors of that child.
 */
export function coverageMatrix<T extends CoveringChild>(
  local: readonly TrafficSelector[],
  peer: readonly TrafficSelector[],
  children: readonly T[],
): PairCoverage<T>[] {
  // What holds a network is found once for it and not for each of its pairs: there may be thousands of both.
  const held = (wanted: TrafficSelector, side: keyof CoveringChild): T[] =>
    children.filter((child) => holds(child[side], wanted));
  const peers = peer.map((theirs) => ({
    ...{ tsType: theirs.tsType, name: describeSelector(theirs), by: new Set(held(theirs, 'peerTs')) },
  }));
  return local.flatMap((ours) => {
    const name = describeSelector(ours);
    const by = held(ours, 'localTs');
    return peers
      .filter(({ tsType }) => tsType === ours.tsType)
      .map((theirs) => ({
        ...{ local: name, peer: theirs.name },
        child: by.findLast((child) => theirs.by.has(child)),
      }));
  });
}

/** Whether both have the same networks, in the same order. */
export function sameNetworks(a: Networks, b: Networks): boolean {
  return networksText(a) === networksText(b);
}

/** The networks of a connection, each as a selector. */
export interface Networks {
  readonly local: { readonly selectors: readonly TrafficSelector[] };
  readonly peer: { readonly selectors: readonly TrafficSelector[] };
}

function networksText({ local, peer }: Networks): string {
  return [local, peer].map(({ selectors }) => selectors.map(describeSelector).join(' ')).join(' === ');
}

/** Whether the selectors together hold every address of `wanted`, with its protocol and ports. */
export function holds(selectors: readonly TrafficSelector[], wanted: TrafficSelector): boolean {
  const useful = selectors
    .filter((one) => one.tsType === wanted.tsType && allowsUpperLayer(one, wanted))
    .sort((a, b) => compareBytes(a.startAddress, b.startAddress));
  let next: Uint8Array | undefined = wanted.startAddress;
  for (const one of useful) {
    if (compareBytes(one.startAddress, next) > 0) return false;
    if (compareBytes(one.endAddress, next) < 0) continue;
    if (compareBytes(one.endAddress, wanted.endAddress) >= 0) return true;
    next = successor(one.endAddress);
    if (next === undefined) return true;
  }
  return false;
}

function allowsUpperLayer(one: TrafficSelector, wanted: TrafficSelector): boolean {
  if (one.protocol !== 0 && one.protocol !== wanted.protocol) return false;
  return one.startPort <= wanted.startPort && one.endPort >= wanted.endPort;
}

/** The address after this one, undefined after the last of all. */
function successor(address: Uint8Array): Uint8Array | undefined {
  const out = Uint8Array.from(address);
  for (let i = out.length - 1; i >= 0; i--) {
    if (out[i]! < 0xff) {
      out[i] = out[i]! + 1;
      return out;
    }
    out[i] = 0;
  }
  return undefined;
}
