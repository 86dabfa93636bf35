import { isEverything } from '../ike/policy/everything.js';
import type { TrafficSelector } from '../wire/ike/payloads.js';
import { type CoveringChild, holds, type Networks } from './coverage.js';

/**
 * Counts, for every configured pair of networks of one family, the child SAs that carry it, as they come and go:
 * one more costs a look at each network, not at each pair and each other child SA.
 */
export class CarriedPairs {
  #local: readonly TrafficSelector[] = [];
  #peer: readonly TrafficSelector[] = [];
  #configured: Networks | undefined;
  /** By number of the pair, `local * peers + peer`. */
  #carriers = new Uint32Array(0);
  /** Pairs that no child SA carries. */
  #open = 0;
  #total = 0;
  #everything = false;
  /** The pairs that each child SA carries. */
  readonly #of = new Map<number, readonly number[]>();
  /** The child SAs counted, to count them again under other networks. */
  readonly #children = new Map<number, CoveringChild>();

  /** Takes over the networks of the configuration. */
  configure(networks: Networks): void {
    if (this.#configured === networks) return;
    this.#configured = networks;
    this.#local = networks.local.selectors;
    this.#peer = networks.peer.selectors;
    this.#everything = isEverything(networks);
    this.#recount();
  }

  /** Whether every pair is carried; of all traffic of both families one will do. */
  get complete(): boolean {
    return this.#open === 0 || (this.#everything && this.#open < this.#total);
  }

  /** A child SA came, or has other selectors now. */
  add(id: number, child: CoveringChild): void {
    this.remove(id);
    this.#children.set(id, child);
    this.#count(id, child);
  }

  remove(id: number): void {
    if (!this.#children.delete(id)) return;
    for (const pair of this.#of.get(id)!) {
      const left = this.#carriers[pair]! - 1;
      this.#carriers[pair] = left;
      if (left === 0) this.#open++;
    }
    this.#of.delete(id);
  }

  clear(): void {
    this.#children.clear();
    this.#recount();
  }

  #count(id: number, child: CoveringChild): void {
    const pairs = this.#pairsOf(child);
    this.#of.set(id, pairs);
    for (const pair of pairs) {
      if (this.#carriers[pair] === 0) this.#open--;
      this.#carriers[pair] = this.#carriers[pair]! + 1;
    }
  }

  #pairsOf({ localTs, peerTs }: CoveringChild): number[] {
    const locals = held(this.#local, localTs);
    if (locals.length === 0) return [];
    const peers = held(this.#peer, peerTs);
    return locals.flatMap((ours) =>
      peers.filter((theirs) => this.#isPair(ours, theirs)).map((theirs) => ours * this.#peer.length + theirs),
    );
  }

  #isPair(ours: number, theirs: number): boolean {
    return this.#local[ours]!.tsType === this.#peer[theirs]!.tsType;
  }

  #recount(): void {
    this.#carriers = new Uint32Array(this.#local.length * this.#peer.length);
    this.#open = 0;
    for (let ours = 0; ours < this.#local.length; ours++)
      for (let theirs = 0; theirs < this.#peer.length; theirs++) if (this.#isPair(ours, theirs)) this.#open++;
    this.#total = this.#open;
    this.#of.clear();
    for (const [id, child] of this.#children) this.#count(id, child);
  }
}

/** Places of the networks that the selectors hold. */
function held(networks: readonly TrafficSelector[], selectors: readonly TrafficSelector[]): number[] {
  return networks.flatMap((network, place) => (holds(selectors, network) ? [place] : []));
}
