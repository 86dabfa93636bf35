import { readU32 } from '../util/bytes.js';
import type { TrafficSelector } from '../wire/ike/payloads.js';
import { createPacketView, type PacketView } from '../wire/ip.js';
import { readAnswered } from './icmp-error.js';
import { coveringPrefixes, type Prefix, PrefixTrie } from './prefix-trie.js';
import { compileRow, ROW_WORDS, rowMatches4, rowMatches6, selectorFamily } from './selectors.js';

/** `lookup`: no child SA has selectors for the packet. */
export const NO_POLICY = -1;
/** `lookup`: selectors cover it, but none of those child SAs may send yet. */
export const NO_SA = -2;

/** The table answers with ids in 31 bits: what is below 0 says why there is none. */
export const MAX_CHILD_ID = 0x7fffffff;

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
 * pair that may not send yet hides nothing: until its activation traffic flows as if it were not there.
 */
export interface OutboundTable {
  /** @throws RangeError when the id is not a whole number from 0, or is in the table already */
  insert(policy: OutboundPolicy): void;
  /** Unknown ids are ignored: an SA may be gone before the order arrives. */
  activate(id: number): void;
  remove(id: number): void;
  /**
   * The id of the child SA, `NO_POLICY` or `NO_SA`. An ICMP error that no child SA carries by its own addresses goes
   * with the packets that answer the one it quotes (RFC 4301 §6.2). Allocates nothing.
   */
  lookup(packet: PacketView): number;
}

/** A table whose lookup takes as long with ten thousand pairs of selectors as with ten. */
export function createOutboundTable(): OutboundTable {
  return new TrieTable();
}

interface Entry {
  readonly policy: OutboundPolicy;
  readonly rows: readonly Row[];
  /** When it was activated, in activations; 0 before. */
  activated: number;
}

/** One local selector with one of the peer, both of one family. */
interface Row {
  readonly id: number;
  readonly family: 4 | 6;
  /** The peer's selector, then the local one, compiled. */
  readonly words: Uint32Array;
  readonly rank: readonly number[];
  readonly peer: readonly Prefix[];
  readonly local: readonly Prefix[];
  activated: number;
}

/** Rows at one place of a trie. */
interface Placement {
  readonly row: Row;
  next: Placement | undefined;
}

/**
 * A trie over the peer's address, in each of its places one over the local address, and there the rows. A
 * range of addresses is at the prefixes it consists of, or at the one that covers it when these are many:
 * a row is only taken after its own ranges, protocol and ports were compared.
 */
class TrieTable implements OutboundTable {
  readonly #entries = new Map<number, Entry>();
  readonly #answered = createPacketView();
  #activations = 0;
  readonly #four = new Family(4);
  readonly #six = new Family(6);

  insert(policy: OutboundPolicy): void {
    const { id } = policy;
    if (!Number.isInteger(id) || id < 0 || id > MAX_CHILD_ID) {
      throw new RangeError(`child SA id ${id}: use a whole number from 0 to ${MAX_CHILD_ID}`);
    }
    if (this.#entries.has(id))
      throw new RangeError(`child SA ${id} is in the table already: remove it first`);
    const activated = policy.outbound ? ++this.#activations : 0;
    const rows = policy.peerTs.flatMap((peer) =>
      policy.localTs.flatMap((local) => makeRow(id, local, peer, activated)),
    );
    this.#entries.set(id, { policy, rows, activated });
    for (const row of rows) this.#family(row.family).insert(row);
  }

  activate(id: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    entry.activated = ++this.#activations;
    for (const row of entry.rows) row.activated = entry.activated;
  }

  remove(id: number): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    for (const row of entry.rows) this.#family(row.family).remove(row);
  }

  lookup(packet: PacketView): number {
    const family = this.#family(packet.version);
    const id = family.lookup(packet);
    if (id >= 0 || !readAnswered(packet, this.#answered)) return id;
    const carrier = family.lookup(this.#answered);
    return carrier >= 0 ? carrier : id;
  }

  #family(family: 4 | 6): Family {
    return family === 4 ? this.#four : this.#six;
  }
}

/** The rows of one family. */
class Family {
  readonly #family: 4 | 6;
  readonly #trie = new PrefixTrie();
  readonly #peers: number;
  /** Beginning of the list at each place of a local trie, by the value of its node. */
  readonly #lists: (Placement | undefined)[] = [undefined];
  readonly #freeLists: number[] = [];
  /** Places on the way to an address: found first, then looked into. */
  readonly #peerPlaces = new Int32Array(129);
  readonly #localPlaces = new Int32Array(129);

  constructor(family: 4 | 6) {
    this.#family = family;
    this.#peers = this.#trie.addRoot();
  }

  insert(row: Row): void {
    const trie = this.#trie;
    for (const peer of row.peer) {
      const place = trie.place(this.#peers, peer);
      if (trie.value(place) === 0) trie.setValue(place, trie.addRoot());
      const locals = trie.value(place);
      for (const local of row.local) {
        const at = trie.place(locals, local);
        if (trie.value(at) === 0) trie.setValue(at, this.#addList());
        const list = trie.value(at);
        this.#lists[list] = { row, next: this.#lists[list] };
      }
    }
  }

  remove(row: Row): void {
    const trie = this.#trie;
    for (const peer of row.peer) {
      const place = trie.place(this.#peers, peer);
      const locals = trie.value(place);
      for (const local of row.local) {
        const at = trie.place(locals, local);
        const list = trie.value(at);
        this.#lists[list] = without(this.#lists[list], row);
        if (this.#lists[list] !== undefined) continue;
        this.#freeLists.push(list);
        trie.setValue(at, 0);
        trie.prune(locals, local);
      }
      if (!trie.isEmpty(locals)) continue;
      trie.setValue(place, 0);
      trie.freeRoot(locals);
      trie.prune(this.#peers, peer);
    }
  }

  lookup(packet: PacketView): number {
    const trie = this.#trie;
    const { bytes, sourceOffset, destinationOffset } = packet;
    const bits = packet.addressLength * 8;
    const peers = trie.find(this.#peers, bytes, destinationOffset, bits, this.#peerPlaces);
    let best: Row | undefined;
    let answer = NO_POLICY;
    for (let i = peers - 1; i >= 0; i--) {
      const root = trie.value(this.#peerPlaces[i]!);
      const locals = trie.find(root, bytes, sourceOffset, bits, this.#localPlaces);
      for (let k = locals - 1; k >= 0; k--) {
        let place = this.#lists[trie.value(this.#localPlaces[k]!)];
        for (; place !== undefined; place = place.next) {
          const { row } = place;
          if (!this.#matches(row.words, packet)) continue;
          if (row.activated === 0) answer = NO_SA;
          else if (best === undefined || isBefore(row, best)) best = row;
        }
      }
    }
    return best === undefined ? answer : best.id;
  }

  #matches(words: Uint32Array, packet: PacketView): boolean {
    const { bytes, protocol, sourceOffset, destinationOffset, sourcePort, destinationPort } = packet;
    if (this.#family === 4) {
      return (
        rowMatches4(words, 0, readU32(bytes, destinationOffset), protocol, destinationPort) &&
        rowMatches4(words, ROW_WORDS[4], readU32(bytes, sourceOffset), protocol, sourcePort)
      );
    }
    return (
      rowMatches6(words, 0, bytes, destinationOffset, protocol, destinationPort) &&
      rowMatches6(words, ROW_WORDS[6], bytes, sourceOffset, protocol, sourcePort)
    );
  }

  #addList(): number {
    return this.#freeLists.pop() ?? this.#lists.push(undefined) - 1;
  }
}

function without(list: Placement | undefined, row: Row): Placement | undefined {
  if (list === undefined) return undefined;
  if (list.row === row) return list.next;
  for (let at = list; at.next !== undefined; at = at.next) {
    if (at.next.row !== row) continue;
    at.next = at.next.next;
    break;
  }
  return list;
}

/** One row, or none when the selectors are not of one family. */
function makeRow(id: number, local: TrafficSelector, peer: TrafficSelector, activated: number): Row[] {
  const family = selectorFamily(peer);
  if (family === undefined || selectorFamily(local) !== family) return [];
  const words = new Uint32Array(2 * ROW_WORDS[family]);
  compileRow(words, 0, family, peer);
  compileRow(words, ROW_WORDS[family], family, local);
  return [
    {
      ...{ id, family, words, activated, rank: specificity(local, peer) },
      peer: coveringPrefixes(peer.startAddress, peer.endAddress),
      local: coveringPrefixes(local.startAddress, local.endAddress),
    },
  ];
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

/** How many addresses are in the range; beyond 2^53 rounded, which keeps the order of networks. */
function addressCount(selector: TrafficSelector): number {
  let count = 0;
  for (let at = 0; at + 4 <= selector.startAddress.length; at += 4) {
    count = count * 2 ** 32 + readU32(selector.endAddress, at) - readU32(selector.startAddress, at);
  }
  return count + 1;
}

/** Whether `a` is more specific than `b`, or as specific and activated later. */
function isBefore(a: Row, b: Row): boolean {
  for (let i = 0; i < a.rank.length; i++) {
    const difference = a.rank[i]! - b.rank[i]!;
    if (difference !== 0) return difference < 0;
  }
  return a.activated > b.activated;
}
