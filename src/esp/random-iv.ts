import type { Random } from '../util/random.js';

/** IVs fetched at a time: a call of the generator costs as much as a few hundred octets of it. */
const BATCH = 256;

/**
 * Initialization vectors for CBC. RFC 3602 §3 wants them unpredictable to one who chooses the plaintext, which
 * rules out counters and the last ciphertext block (RFC 2451 §3 still allowed that). They come straight from
 * the injected generator; drawing many at once changes nothing about that, since the stock never leaves this
 * object before it is used and no octet is used twice.
 */
export class RandomIv {
  readonly #random: Random;
  readonly #length: number;
  #stock = new Uint8Array(0);
  #used = 0;

  /** `length` in octets. */
  constructor(random: Random, length: number) {
    this.#random = random;
    this.#length = length;
  }

  /** Writes a fresh IV at `at`. */
  write(bytes: Uint8Array, at: number): void {
    if (this.#used + this.#length > this.#stock.length) {
      this.#stock = Uint8Array.from(this.#random.bytes(BATCH * this.#length));
      this.#used = 0;
    }
    for (let i = 0; i < this.#length; i++) bytes[at + i] = this.#stock[this.#used + i]!;
    this.#used += this.#length;
  }
}
