/** What the table must know of an IKE SA. SPIs are 16 hexadecimal digits. */
export interface TableEntry {
  /** The SPI this end chose: unique here, and in every message the peer sends on the SA. */
  readonly localSpi: string;
}

/** IKE SAs by the SPI this end chose for them (RFC 7296 §2.6). */
export class SaTable<T extends TableEntry> {
  readonly #bySpi = new Map<string, T>();

  get size(): number {
    return this.#bySpi.size;
  }

  find(localSpi: string): T | undefined {
    return this.#bySpi.get(localSpi);
  }

  has(localSpi: string): boolean {
    return this.#bySpi.has(localSpi);
  }

  add(sa: T): void {
    if (this.#bySpi.has(sa.localSpi)) throw new Error(`the IKE SPI ${sa.localSpi} is in use`);
    this.#bySpi.set(sa.localSpi, sa);
  }

  remove(sa: T): void {
    this.#bySpi.delete(sa.localSpi);
  }

  /** All SAs, oldest first. A copy: handlers add and remove while walking. */
  all(): T[] {
    return [...this.#bySpi.values()];
  }

  values(): IterableIterator<T> {
    return this.#bySpi.values();
  }
}
