import { readU32 } from '../util/bytes.js';
import type { TrafficSelector } from '../wire/ike/payloads.js';
import type { PacketView } from '../wire/ip.js';
import { compileRow, ROW_WORDS, rowMatches4, rowMatches6, selectorFamily } from './selectors.js';

/** `lookup`: no child SA has selectors for the packet. */
export const NO_POLICY = -1;
/** `lookup`: selectors cover it, but none of those child SAs may send yet. */
export const NO_SA = -2;

/** A child SA as the table needs it. Ids are whole numbers from 0. */
export interface OutboundPolicy {
  readonly id: number;
  readonly localTs: readonly TrafficSelector[];
  readonly peerTs: readonly TrafficSelector[];
  /** Whether traffic may use it at once; else after `activate`. */
  readonly outbound: boolean;
}

/**
 * Which child SA carries an outbound packet (RFC 4301 §5.1). The most specific selectors win; among equal
 * ones the child SA that was activated last, so that a rekeyed pair takes over when it is switched to. A
 * pair that may not send yet hides nothing: until its activation traffic goes as if it were not there.
 */
export interface OutboundTable {
  /** @throws RangeError when the id is not a whole number from 0, or is in the table already */
  insert(policy: OutboundPolicy): void;
  /** Unknown ids are ignored: an SA may be gone before the order arrives. */
  activate(id: number): void;
  remove(id: number): void;
  /** The id of the child SA, `NO_POLICY` or `NO_SA`. Allocates nothing. */
  lookup(packet: PacketView): number;
}

/** A table for up to a few hundred pairs of selectors: one linear search per family. */
export function createOutboundTable(): OutboundTable {
  return new LinearTable();
}

interface Entry {
  readonly policy: OutboundPolicy;
  /** When it was activated, in activations; 0 before. */
  activated: number;
}

/** One local selector with one of the peer, both of one family. */
interface Pair {
  readonly entry: Entry;
  readonly local: TrafficSelector;
  readonly peer: TrafficSelector;
  readonly rank: readonly number[];
}

class LinearTable implements OutboundTable {
  readonly #entries = new Map<number, Entry>();
  #activations = 0;
  #rows4 = new Uint32Array(0);
  #rows6 = new Uint32Array(0);
  /** The child SA of each row, `NO_SA` when it may not send. */
  #owners4 = new Int32Array(0);
  #owners6 = new Int32Array(0);

  insert(policy: OutboundPolicy): void {
    const { id } = policy;
    if (!Number.isInteger(id) || id < 0 || id > 0x7fffffff) {
      throw new RangeError(`child SA id ${id}: use a whole number from 0 to 2147483647`);
    }
    if (this.#entries.has(id))
      throw new RangeError(`child SA ${id} is in the table already: remove it first`);
    this.#entries.set(id, { policy, activated: policy.outbound ? ++this.#activations : 0 });
    this.#rebuild();
  }

  activate(id: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.activated = ++this.#activations;
    this.#rebuild();
  }

  remove(id: number): void {
    if (this.#entries.delete(id)) this.#rebuild();
  }

  lookup(packet: PacketView): number {
    return packet.version === 4 ? this.#lookup4(packet) : this.#lookup6(packet);
  }

  #lookup4(packet: PacketView): number {
    const { bytes, protocol, sourcePort, destinationPort } = packet;
    const source = readU32(bytes, packet.sourceOffset);
    const destination = readU32(bytes, packet.destinationOffset);
    const rows = this.#rows4;
    const owners = this.#owners4;
    let answer = NO_POLICY;
    for (let i = 0, at = 0; i < owners.length; i++, at += 2 * ROW_WORDS[4]) {
      if (
        rowMatches4(rows, at, destination, protocol, destinationPort) &&
        rowMatches4(rows, at + ROW_WORDS[4], source, protocol, sourcePort)
      ) {
        answer = owners[i]!;
        if (answer !== NO_SA) return answer;
      }
    }
    return answer;
  }

  #lookup6(packet: PacketView): number {
    const { bytes, protocol, sourceOffset, destinationOffset, sourcePort, destinationPort } = packet;
    const rows = this.#rows6;
    const owners = this.#owners6;
    let answer = NO_POLICY;
    for (let i = 0, at = 0; i < owners.length; i++, at += 2 * ROW_WORDS[6]) {
      if (
        rowMatches6(rows, at, bytes, destinationOffset, protocol, destinationPort) &&
        rowMatches6(rows, at + ROW_WORDS[6], bytes, sourceOffset, protocol, sourcePort)
      ) {
        answer = owners[i]!;
        if (answer !== NO_SA) return answer;
      }
    }
    return answer;
  }

  #rebuild(): void {
    const pairs: Pair[] = [];
    for (const entry of this.#entries.values()) {
      for (const peer of entry.policy.peerTs) {
        for (const local of entry.policy.localTs) {
          pairs.push({ entry, local, peer, rank: specificity(local, peer) });
        }
      }
    }
    pairs.sort(mostSpecificFirst);
    [this.#rows4, this.#owners4] = compilePairs(pairs, 4);
    [this.#rows6, this.#owners6] = compilePairs(pairs, 6);
  }
}

function compilePairs(
  pairs: readonly Pair[],
  family: 4 | 6,
): [Uint32Array<ArrayBuffer>, Int32Array<ArrayBuffer>] {
  const mine = pairs.filter((p) => selectorFamily(p.peer) === family && selectorFamily(p.local) === family);
  const words = ROW_WORDS[family];
  const rows = new Uint32Array(mine.length * 2 * words);
  const owners = new Int32Array(mine.length);
  for (const [i, { entry, local, peer }] of mine.entries()) {
    compileRow(rows, 2 * i * words, family, peer);
    compileRow(rows, (2 * i + 1) * words, family, local);
    owners[i] = entry.activated === 0 ? NO_SA : entry.policy.id;
  }
  return [rows, owners];
}

/** Smaller is more specific, the first difference decides: networks, then protocol, then ports. */
function specificity(local: TrafficSelector, peer: TrafficSelector): number[] {
  return [
    addressCount(peer),
    addressCount(local),
    peer.protocol !== 0 || local.protocol !== 0 ? 0 : 1,
    peer.endPort - peer.startPort,
    local.endPort - local.startPort,
  ];
}

/** How many addresses the range holds; beyond 2^53 rounded, which keeps the order of networks. */
function addressCount(selector: TrafficSelector): number {
  let count = 0;
  for (let at = 0; at + 4 <= selector.startAddress.length; at += 4) {
    count = count * 2 ** 32 + readU32(selector.endAddress, at) - readU32(selector.startAddress, at);
  }
  return count + 1;
}

function mostSpecificFirst(a: Pair, b: Pair): number {
  for (let i = 0; i < a.rank.length; i++) {
    const difference = a.rank[i]! - b.rank[i]!;
    if (difference !== 0) return difference;
  }
  return b.entry.activated - a.entry.activated;
}
