import type { Millis } from '../util/units.js';

/** What the table must know of an IKE SA. SPIs are 16 hexadecimal digits. */
export interface TableEntry {
  /** The SPI this end chose: unique here, and in every message the peer sends on the SA. */
  readonly localSpi: string;
}

interface Slot<T> {
  readonly sa: T;
  /** When the SA was to be looked after next; holds while it is not `touched`. */
  at: Millis;
  /** Somebody who may change it has got it since. */
  touched: boolean;
}

/**
 * IKE SAs by the SPI this end chose for them (RFC 7296 §2.6). Knows which of them may have changed, so that an
 * input that is about one SA costs nothing for the thousands of others: an SA that is got from the table, other
 * than by `values`, counts as touched until `earliest` has looked at it. Whoever gets hold of an SA in another
 * way and changes it says so by `touch`.
 */
export class SaTable<T extends TableEntry> {
  readonly #bySpi = new Map<string, Slot<T>>();

  get size(): number {
    return this.#bySpi.size;
  }

  find(localSpi: string): T | undefined {
    const slot = this.#bySpi.get(localSpi);
    if (slot !== undefined) slot.touched = true;
    return slot?.sa;
  }

  has(localSpi: string): boolean {
    return this.#bySpi.has(localSpi);
  }

  add(sa: T): void {
    if (this.#bySpi.has(sa.localSpi)) throw new Error(`the IKE SPI ${sa.localSpi} is in use`);
    this.#bySpi.set(sa.localSpi, { sa, at: Number.POSITIVE_INFINITY, touched: true });
  }

  remove(sa: T): void {
    this.#bySpi.delete(sa.localSpi);
  }

  /** The SA is about to change. */
  touch(sa: T): void {
    const slot = this.#bySpi.get(sa.localSpi);
    if (slot !== undefined) slot.touched = true;
  }

  /** All SAs, oldest first. A copy: handlers add and remove while walking. */
  all(): T[] {
    return this.select(() => true);
  }

  /** The SAs that it holds for, oldest first. A copy. */
  select(wanted: (sa: T) => boolean): T[] {
    const out: T[] = [];
    for (const slot of this.#bySpi.values()) {
      if (!wanted(slot.sa)) continue;
      slot.touched = true;
      out.push(slot.sa);
    }
    return out;
  }

  /** All SAs, oldest first, to be looked at and not to be changed. */
  *values(): IterableIterator<T> {
    for (const { sa } of this.#bySpi.values()) yield sa;
  }

  /** The SAs that may have changed, oldest first. A copy. */
  touched(): T[] {
    const out: T[] = [];
    for (const { sa, touched } of this.#bySpi.values()) if (touched) out.push(sa);
    return out;
  }

  /**
   * The SAs that are to be looked after by now, oldest first, each judged when its turn comes: what is done for
   * one may change another.
   * @param deadlineOf depends on nothing but the SA
   */
  *due(now: Millis, deadlineOf: (sa: T) => Millis): IterableIterator<T> {
    for (const slot of [...this.#bySpi.values()]) {
      if ((slot.touched ? deadlineOf(slot.sa) : slot.at) > now) continue;
      slot.touched = true;
      yield slot.sa;
    }
  }

  /**
   * When an SA is to be looked after next, infinite when none is. From now on no SA is touched: it may be called
   * only when nobody holds one any more.
   */
  earliest(deadlineOf: (sa: T) => Millis): Millis {
    let next = Number.POSITIVE_INFINITY;
    for (const slot of this.#bySpi.values()) {
      if (slot.touched) {
        slot.at = deadlineOf(slot.sa);
        slot.touched = false;
      }
      if (slot.at < next) next = slot.at;
    }
    return next;
  }
}
