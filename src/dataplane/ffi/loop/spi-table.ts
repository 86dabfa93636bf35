import type { Spi } from '../../../util/ids.js';

/** Empty place of the table: no SPI below 256 is ever used (RFC 4303 §2.1). */
const EMPTY = 0;

/**
 * Values by inbound SPI: an open-addressing hash table, so that a lookup allocates nothing and touches one
 * line of the cache as a rule. SPIs are given as signed or unsigned 32-bit numbers.
 */
export class SpiTable<T> {
  #keys = new Int32Array(64);
  #values: (T | undefined)[] = new Array(64).fill(undefined);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get(spi: Spi): T | undefined {
    const key = spi | 0;
    const mask = this.#keys.length - 1;
    for (let i = spread(key) & mask; ; i = (i + 1) & mask) {
      const found = this.#keys[i];
      if (found === key) return this.#values[i];
      if (found === EMPTY) return undefined;
    }
  }

  /** @throws RangeError for SPI 0 */
  set(spi: Spi, value: T): void {
    const key = spi | 0;
    if (key === EMPTY) throw new RangeError('no SA has the SPI 0');
    if (2 * this.#size >= this.#keys.length) this.#grow();
    const mask = this.#keys.length - 1;
    let i = spread(key) & mask;
    while (this.#keys[i] !== EMPTY && this.#keys[i] !== key) i = (i + 1) & mask;
    if (this.#keys[i] === EMPTY) this.#size++;
    this.#keys[i] = key;
    this.#values[i] = value;
  }

  delete(spi: Spi): void {
    const key = spi | 0;
    const mask = this.#keys.length - 1;
    let i = spread(key) & mask;
    while (this.#keys[i] !== key) {
      if (this.#keys[i] === EMPTY) return;
      i = (i + 1) & mask;
    }
    this.#size--;
    // Whatever was pushed on by this place moves up, so that no search ends too soon.
    for (let next = (i + 1) & mask; this.#keys[next] !== EMPTY; next = (next + 1) & mask) {
      const home = spread(this.#keys[next]!) & mask;
      if (((next - home) & mask) < ((next - i) & mask)) continue;
      this.#keys[i] = this.#keys[next]!;
      this.#values[i] = this.#values[next];
      i = next;
    }
    this.#keys[i] = EMPTY;
    this.#values[i] = undefined;
  }

  clear(): void {
    this.#keys.fill(EMPTY);
    this.#values.fill(undefined);
    this.#size = 0;
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = new Int32Array(2 * keys.length);
    this.#values = new Array(2 * keys.length).fill(undefined);
    this.#size = 0;
    for (let i = 0; i < keys.length; i++) if (keys[i] !== EMPTY) this.set(keys[i]!, values[i]!);
  }
}

/** Most SPIs are random, but some peers and tests use consecutive ones. */
function spread(key: number): number {
  const mixed = Math.imul(key ^ (key >>> 16), 0x45d9f3b);
  return mixed ^ (mixed >>> 15);
}
