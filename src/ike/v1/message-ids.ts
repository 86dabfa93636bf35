/** Exchanges after which an ISAKMP SA is replaced, and the most that it takes where neither end replaces it. */
export const REKEY_AT = 2 ** 16;
export const MAX_EXCHANGES = 2 ** 17;

/**
 * The message ids that an ISAKMP SA has seen, of both ends, for its whole life. RFC 2408 §3.1 wants them unique, and
 * nothing else in version 1 distinguishes a replay from a new exchange: a message says neither when it was made nor who
 * made it, so that our own, sent back to us, would be authentic too.
 */
export class MessageIds {
  readonly #used = new Set<number>();

  get size(): number {
    return this.#used.size;
  }

  [Symbol.iterator](): IterableIterator<number> {
    return this.#used.values();
  }

  has(id: number): boolean {
    return this.#used.has(id);
  }

  add(id: number): void {
    this.#used.add(id);
  }

  clear(): void {
    this.#used.clear();
  }
}
