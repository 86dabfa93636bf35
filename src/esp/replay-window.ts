/** RFC 4303 §3.4.3: a window of 32 packets must be supported. */
const MIN_WINDOW = 32;
/** 8 KiB of bits: far more than any path reorders. */
const MAX_WINDOW = 65536;

/** Why a window cannot span so many packets; undefined when it can. */
export function replayWindowFault(size: number): string | undefined {
  return Number.isInteger(size) && size >= MIN_WINDOW && size <= MAX_WINDOW
    ? undefined
    : `replay window of ${size} packets: use a whole number from ${MIN_WINDOW} to ${MAX_WINDOW}`;
}

/**
 * The anti-replay window of one inbound SA, by the algorithm of RFC 6479: a ring of 32-bit words in which the
 * right edge clears whole words as it moves on, so no bit is ever shifted. Sequence numbers are unsigned 32-bit.
 *
 * `check` before the packet is decrypted spares the work on replays; only `advance`, after the ICV held,
 * changes the window. No call allocates: the right edge lives in the array too, since a number above 2^31
 * in a field of its own would be a heap object.
 */
export class ReplayWindow {
  /** Packets the window spans. */
  readonly size: number;
  /** The ring, and after it the highest sequence number seen. */
  readonly #words: Uint32Array;
  /** Words in the ring, a power of two. */
  readonly #ring: number;

  /** @throws RangeError when `size` is not a whole number from 32 to 65536 */
  constructor(size: number) {
    const fault = replayWindowFault(size);
    if (fault !== undefined) throw new RangeError(fault);
    this.size = size;
    // One word more than the window covers: the word being filled at the right edge (RFC 6479 §2).
    let ring = 2;
    while (ring < Math.ceil(size / 32) + 1) ring *= 2;
    this.#ring = ring;
    this.#words = new Uint32Array(ring + 1);
  }

  /**
   * Moves the right edge to `highest`, when it lies beyond, and counts every number up to there as seen: what had come
   * was followed elsewhere, and is known by its end only. For the start of an SA, and for jumps (RFC 6311 §5.2).
   */
  startAt(highest: number): void {
    const words = this.#words;
    if (highest <= words[this.#ring]!) return;
    words.fill(0xffffffff);
    // The word at the edge has room for later numbers, which have not been seen.
    words[(highest >>> 5) & (this.#ring - 1)] = (2 << (highest & 31)) - 1;
    words[this.#ring] = highest;
  }

  /** The right edge: the highest sequence number accepted, 0 before the first. */
  get highest(): number {
    return this.#words[this.#ring]!;
  }

  /** Whether a packet with this number could be new. Sequence number 0 is never sent (RFC 4303 §3.3.3). */
  check(sequence: number): boolean {
    if (sequence === 0) return false;
    const highest = this.#words[this.#ring]!;
    if (sequence > highest) return true;
    if (highest - sequence >= this.size) return false;
    const word = this.#words[(sequence >>> 5) & (this.#ring - 1)]!;
    return ((word >>> (sequence & 31)) & 1) === 0;
  }

  /**
   * Marks the number of an authentic packet as seen and moves the right edge when it lies beyond.
   * @returns false, and nothing changed, when `check` would refuse the number now: another packet with the
   *   same number may have been accepted since the first check
   */
  advance(sequence: number): boolean {
    if (!this.check(sequence)) return false;
    const words = this.#words;
    const mask = this.#ring - 1;
    const highest = words[this.#ring]!;
    const index = sequence >>> 5;
    if (sequence > highest) {
      const from = highest >>> 5;
      const clear = Math.min(index - from, this.#ring);
      for (let i = 1; i <= clear; i++) words[(from + i) & mask] = 0;
      words[this.#ring] = sequence;
    }
    const at = index & mask;
    words[at] = words[at]! | (1 << (sequence & 31));
    return true;
  }
}
