import { type Arena, At, RING_SIZE } from './arena.js';

/**
 * Orders from main (the only writer) to the worker (the only reader) within the arena. A record never wraps:
 * what does not fit before the end begins again at the start, so keys can be used in place. The reader zeroes
 * every record it has consumed.
 *
 *     0  length of the record with this header (u32, a multiple of 8)   4  kind (u32)   8  body
 */
const HEADER = 8;

/** The rest of the ring up to its end is unused. */
const SKIP = 0xffffffff;

/** Words of `At.control`. Head and tail count octets ever written and consumed, modulo 2^32. */
const HEAD = At.control >>> 2;
const TAIL = HEAD + 1;
const WAITING = HEAD + 2;
const STOP = HEAD + 3;
const IKE_IN_FLIGHT = HEAD + 4;

/** The longest body that always finds room in an empty ring, wherever its head is. */
export const MAX_ORDER = RING_SIZE / 2 - HEADER;

/** IKE datagrams on their way from the worker to main at a time: a flood must not fill the heap. */
const MAX_IKE_IN_FLIGHT = 256;

/** Main's end. */
export class OrderWriter {
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /**
   * Writes one order; `fill` gets the offset of the body of `length` octets. False when there is no room: the
   * worker then reports `space` after it has made some.
   * @throws RangeError when the order can never fit
   */
  write(kind: number, length: number, fill: (at: number) => void): boolean {
    if (length > MAX_ORDER) throw new RangeError(`an order of ${length} octets: ${MAX_ORDER} at most`);
    const size = (HEADER + length + 7) & ~7;
    if (this.#place(kind, size, fill)) return true;
    // The worker may have made room between the look and the note: look again.
    Atomics.store(this.#arena.i32, WAITING, 1);
    if (!this.#place(kind, size, fill)) return false;
    Atomics.store(this.#arena.i32, WAITING, 0);
    return true;
  }

  #place(kind: number, size: number, fill: (at: number) => void): boolean {
    const { i32, u32 } = this.#arena;
    const head = Atomics.load(i32, HEAD) >>> 0;
    const used = (head - (Atomics.load(i32, TAIL) >>> 0)) >>> 0;
    const position = head % RING_SIZE;
    const skip = position + size > RING_SIZE ? RING_SIZE - position : 0;
    if (used + skip + size > RING_SIZE) return false;
    if (skip > 0) u32[(At.ring + position) >>> 2] = SKIP;
    const at = At.ring + ((position + skip) % RING_SIZE);
    u32[at >>> 2] = size;
    u32[(at >>> 2) + 1] = kind;
    fill(at + HEADER);
    Atomics.store(i32, HEAD, (head + skip + size) | 0);
    return true;
  }

  /** Octets written so far, modulo 2^32. */
  get written(): number {
    return Atomics.load(this.#arena.i32, HEAD) >>> 0;
  }

  /** Whether the worker has taken all orders that were there when so much was written. */
  consumed(written: number): boolean {
    return ((Atomics.load(this.#arena.i32, TAIL) - written) | 0) >= 0;
  }

  /** Orders the worker to end, ahead of all other orders. */
  stop(): void {
    Atomics.store(this.#arena.i32, STOP, 1);
  }

  /** Main has handled an IKE datagram that the worker handed over. */
  ikeHandled(): void {
    Atomics.sub(this.#arena.i32, IKE_IN_FLIGHT, 1);
  }
}

/** The worker's end. */
export class OrderReader {
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  get stopped(): boolean {
    return Atomics.load(this.#arena.i32, STOP) !== 0;
  }

  /**
   * Takes all orders there are. `take` gets kind, offset and length of each body, which is rounded up to a
   * multiple of 8 and zeroed afterwards, also when `take` throws.
   * @returns whether main waits for room that there now is
   */
  drain(take: (kind: number, at: number, length: number) => void): boolean {
    const { i32, u32, bytes } = this.#arena;
    for (;;) {
      const tail = Atomics.load(i32, TAIL) >>> 0;
      if (tail === Atomics.load(i32, HEAD) >>> 0) break;
      const position = tail % RING_SIZE;
      const at = At.ring + position;
      const size = u32[at >>> 2]!;
      if (size === SKIP) {
        u32[at >>> 2] = 0;
        Atomics.store(i32, TAIL, (tail + RING_SIZE - position) | 0);
        continue;
      }
      try {
        take(u32[(at >>> 2) + 1]!, at + HEADER, size - HEADER);
      } finally {
        bytes.fill(0, at, at + size);
        Atomics.store(i32, TAIL, (tail + size) | 0);
      }
    }
    return Atomics.exchange(i32, WAITING, 0) !== 0;
  }

  /** Whether one more IKE datagram may be handed to main now; it then counts as on its way. */
  admitIke(): boolean {
    const { i32 } = this.#arena;
    if (Atomics.load(i32, IKE_IN_FLIGHT) >= MAX_IKE_IN_FLIGHT) return false;
    Atomics.add(i32, IKE_IN_FLIGHT, 1);
    return true;
  }
}
