/** The first `length` bits of an address. */
export interface Prefix {
  readonly address: Uint8Array;
  readonly length: number;
}

/** More prefixes than this are not worth their places: one that covers them all is taken. */
const MAX_PREFIXES = 8;

/**
 * Prefixes that together contain all addresses from `start` to `end`: exactly these when they are few, as for
 * every network, else one prefix around them. Empty when the range is.
 */
export function coveringPrefixes(start: Uint8Array, end: Uint8Array): Prefix[] {
  const bits = start.length * 8;
  const [first, last] = [toInteger(start), toInteger(end)];
  const found: Prefix[] = [];
  for (let at = first; at <= last; ) {
    if (found.length === MAX_PREFIXES) return [commonPrefix(start, end)];
    // The largest block that begins here and does not reach beyond the end.
    let size = 0;
    while (size < bits && (at >> BigInt(size)) % 2n === 0n && at + (2n << BigInt(size)) - 1n <= last) size++;
    found.push({ address: fromInteger(at, start.length), length: bits - size });
    at += 1n << BigInt(size);
  }
  return found;
}

function toInteger(address: Uint8Array): bigint {
  let value = 0n;
  for (const octet of address) value = (value << 8n) | BigInt(octet);
  return value;
}

function fromInteger(value: bigint, octets: number): Uint8Array {
  return Uint8Array.from({ length: octets }, (_, i) =>
    Number((value >> BigInt(8 * (octets - 1 - i))) & 0xffn),
  );
}

function commonPrefix(start: Uint8Array, end: Uint8Array): Prefix {
  let length = 0;
  while (length < start.length * 8 && bitOf(start, 0, length) === bitOf(end, 0, length)) length++;
  return { address: start, length };
}

function bitOf(bytes: Uint8Array, offset: number, bit: number): number {
  return (bytes[offset + (bit >>> 3)]! >>> (7 - (bit & 7))) & 1;
}

/** Words of a node: the places for bit 0 and bit 1, and the value; 0 is none of each. */
const NODE = 3;
const VALUE = 2;

/**
 * Binary tries over address bits, several in one array, each with a root of its own. A place is a node's
 * offset; what a value other than 0 means is the owner's business. Nodes that are empty are given back by
 * `prune`, so memory follows the contents.
 */
export class PrefixTrie {
  #nodes = new Int32Array(64 * NODE);
  /** Offset of the first node that was never used; node 0 stays unused. */
  #end = NODE;
  /** Nodes given back, linked by their first word. */
  #free = 0;
  readonly #way = new Int32Array(130);

  addRoot(): number {
    return this.#add();
  }

  freeRoot(root: number): void {
    this.#release(root);
  }

  value(place: number): number {
    return this.#nodes[place + VALUE]!;
  }

  setValue(place: number, value: number): void {
    this.#nodes[place + VALUE] = value;
  }

  /** Whether nothing is left under this root. */
  isEmpty(root: number): boolean {
    const nodes = this.#nodes;
    return nodes[root] === 0 && nodes[root + 1] === 0 && nodes[root + VALUE] === 0;
  }

  /** The place of a prefix, made when it is not there. */
  place(root: number, { address, length }: Prefix): number {
    let node = root;
    for (let i = 0; i < length; i++) {
      const side = node + bitOf(address, 0, i);
      let next = this.#nodes[side]!;
      if (next === 0) {
        next = this.#add();
        this.#nodes[side] = next;
      }
      node = next;
    }
    return node;
  }

  /** Frees the nodes of a prefix that are empty; never the root. */
  prune(root: number, { address, length }: Prefix): void {
    let node = root;
    let depth = 0;
    this.#way[0] = root;
    while (depth < length) {
      node = this.#nodes[node + bitOf(address, 0, depth)]!;
      if (node === 0) return;
      this.#way[++depth] = node;
    }
    for (; depth > 0 && this.isEmpty(this.#way[depth]!); depth--) {
      this.#nodes[this.#way[depth - 1]! + bitOf(address, 0, depth - 1)] = 0;
      this.#release(this.#way[depth]!);
    }
  }

  /**
   * Puts the places with a value on the way to the address of `bits` bits at `offset` into `places`, shortest
   * prefix first, and answers with their number. Allocates nothing.
   */
  find(root: number, bytes: Uint8Array, offset: number, bits: number, places: Int32Array): number {
    const nodes = this.#nodes;
    let node = root;
    let found = 0;
    for (let i = 0; ; i++) {
      if (nodes[node + VALUE] !== 0) places[found++] = node;
      if (i === bits) return found;
      node = nodes[node + bitOf(bytes, offset, i)]!;
      if (node === 0) return found;
    }
  }

  #add(): number {
    if (this.#free !== 0) {
      const node = this.#free;
      this.#free = this.#nodes[node]!;
      this.#nodes[node] = 0;
      return node;
    }
    if (this.#end === this.#nodes.length) {
      const more = new Int32Array(2 * this.#nodes.length);
      more.set(this.#nodes);
      this.#nodes = more;
    }
    const node = this.#end;
    this.#end += NODE;
    return node;
  }

  #release(node: number): void {
    this.#nodes.fill(0, node, node + NODE);
    this.#nodes[node] = this.#free;
    this.#free = node;
  }
}
