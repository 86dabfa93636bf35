import type { TrafficSelector } from '../../wire/ike/payloads.js';
import { isEverything } from './everything.js';
import { covers, type Networks, type SelectorLists } from './selectors.js';

/** One local network with one network of the peer, of the same address family. */
export interface NetworkPair {
  readonly local: TrafficSelector;
  readonly peer: TrafficSelector;
}

/** Every local network with every network of the peer: no packet has addresses of two families. */
export function networkPairs({ local, peer }: Networks): NetworkPair[] {
  return local.selectors.flatMap((ours) =>
    peer.selectors
      .filter((theirs) => theirs.tsType === ours.tsType)
      .map((theirs) => ({ local: ours, peer: theirs })),
  );
}

/** How many `networkPairs` there are. */
export function countPairs({ local, peer }: Networks): number {
  const families = new Map<number, number>();
  for (const { tsType } of peer.selectors) families.set(tsType, (families.get(tsType) ?? 0) + 1);
  return local.selectors.reduce((sum, { tsType }) => sum + (families.get(tsType) ?? 0), 0);
}

/** The selectors of both ends that make pairs: those of an address family that both have. */
export function withinFamilies<T extends SelectorLists>(lists: T): SelectorLists {
  const { localTs, peerTs } = lists;
  const has = (list: readonly TrafficSelector[], { tsType }: TrafficSelector): boolean =>
    list.some((one) => one.tsType === tsType);
  if (localTs.every((one) => has(peerTs, one)) && peerTs.every((one) => has(localTs, one))) return lists;
  return {
    localTs: localTs.filter((one) => has(peerTs, one)),
    peerTs: peerTs.filter((one) => has(localTs, one)),
  };
}

/** A pair with its number, `local * peers + peer`. */
interface PlacedPair extends NetworkPair {
  readonly place: number;
}

/** Places of the configured networks that a child SA includes. It carries their pairs. */
interface Held {
  readonly local: readonly number[];
  readonly peer: readonly number[];
}

/**
 * Counts, for every configured pair of networks of one family, the child SAs that carry it, as they come and go:
 * one more costs a look at each network, not at each pair and each other child SA. A pair counts as carried when
 * one child SA includes both of its sides; a side may be spread over several selectors of that child.
 */
export class CarriedPairs<T extends SelectorLists = SelectorLists> {
  /** Lists of one network each, so that their form is known. */
  #local: readonly (readonly [TrafficSelector])[] = [];
  #peer: readonly (readonly [TrafficSelector])[] = [];
  #configured: Networks | undefined;
  /** Every pair with its number; made when it is asked for. */
  #list: readonly PlacedPair[] | undefined;
  /** By number of the pair, `local * peers + peer`. */
  #carriers = new Uint32Array(0);
  /** Pairs that no child SA carries. */
  #open = 0;
  #total = 0;
  #everything = false;
  readonly #held = new Map<number, Held>();
  /** The child SAs counted, to count them again under other networks. */
  readonly #children = new Map<number, T>();

  /** Takes over the networks of the configuration. */
  configure(networks: Networks): void {
    if (this.#configured === networks) return;
    this.#configured = networks;
    this.#local = networks.local.selectors.map((one) => [one]);
    this.#peer = networks.peer.selectors.map((one) => [one]);
    this.#everything = isEverything(networks);
    this.#list = undefined;
    this.#recount();
  }

  /** How many pairs there are, and how many of them are carried. */
  get counts(): { readonly pairs: number; readonly covered: number } {
    return { pairs: this.#total, covered: this.#total - this.#open };
  }

  /** Every pair, in the order of the configuration. */
  pairs(): readonly NetworkPair[] {
    return this.#pairs();
  }

  /** Whether each of `pairs` is carried. */
  carried(): boolean[] {
    return this.#pairs().map(({ place }) => this.#carriers[place] !== 0);
  }

  /** Whether every pair is carried. */
  get all(): boolean {
    return this.#open === 0;
  }

  /** The same, but of all traffic of both families one will do. */
  get complete(): boolean {
    return this.#open === 0 || (this.#everything && this.#open < this.#total);
  }

  /** The pairs that no child SA carries, in the order of the configuration. */
  open(): NetworkPair[] {
    return this.#open === 0
      ? []
      : this.#pairs().flatMap(({ place, ...pair }) => (this.#carriers[place] === 0 ? [pair] : []));
  }

  /** Every pair with the child SA that carries it; of several the one that was added last. */
  matrix(): (NetworkPair & { readonly child: T | undefined })[] {
    const carriers: (T | undefined)[] = new Array(this.#carriers.length).fill(undefined);
    for (const [id, held] of this.#held) {
      const child = this.#children.get(id);
      this.#each(held, (place) => {
        carriers[place] = child;
      });
    }
    return this.#pairs().map(({ place, ...pair }) => ({ ...pair, child: carriers[place] }));
  }

  /** A child SA came, or has other selectors now. */
  add(id: number, child: T): void {
    this.remove(id);
    this.#children.set(id, child);
    this.#count(id, child);
  }

  remove(id: number): void {
    if (!this.#children.delete(id)) return;
    this.#each(this.#held.get(id)!, (place) => {
      const left = this.#carriers[place]! - 1;
      this.#carriers[place] = left;
      if (left === 0) this.#open++;
    });
    this.#held.delete(id);
  }

  clear(): void {
    this.#children.clear();
    this.#recount();
  }

  #pairs(): readonly PlacedPair[] {
    this.#list ??= this.#local.flatMap(([local], ours) =>
      this.#peer.flatMap(([peer], theirs) =>
        local.tsType === peer.tsType ? [{ local, peer, place: ours * this.#peer.length + theirs }] : [],
      ),
    );
    return this.#list;
  }

  #each({ local, peer }: Held, act: (place: number) => void): void {
    for (const ours of local) {
      for (const theirs of peer) if (this.#isPair(ours, theirs)) act(ours * this.#peer.length + theirs);
    }
  }

  #count(id: number, { localTs, peerTs }: T): void {
    const local = placesHeld(this.#local, localTs);
    const held = { local, peer: local.length === 0 ? [] : placesHeld(this.#peer, peerTs) };
    this.#held.set(id, held);
    this.#each(held, (place) => {
      if (this.#carriers[place] === 0) this.#open--;
      this.#carriers[place] = this.#carriers[place]! + 1;
    });
  }

  #isPair(ours: number, theirs: number): boolean {
    return this.#local[ours]![0].tsType === this.#peer[theirs]![0].tsType;
  }

  #recount(): void {
    this.#carriers = new Uint32Array(this.#local.length * this.#peer.length);
    this.#open = this.#configured === undefined ? 0 : countPairs(this.#configured);
    this.#total = this.#open;
    this.#held.clear();
    for (const [id, child] of this.#children) this.#count(id, child);
  }
}

function placesHeld(
  networks: readonly (readonly [TrafficSelector])[],
  selectors: readonly TrafficSelector[],
): number[] {
  return networks.flatMap((network, place) => (covers(selectors, network) ? [place] : []));
}
