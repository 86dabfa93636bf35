import { CarriedPairs } from '../policy/carried-pairs.js';
import type { Networks } from '../policy/selectors.js';
import type { ChildRecord } from './child-record.js';

/**
 * The child SAs of one IKE SA, found by id and by the SPI that the peer receives on, and the pairs of networks that
 * they carry. What is known of one is found out when it is added, not when it is asked for.
 */
export class ChildSet {
  readonly #byId = new Map<number, ChildRecord>();
  readonly #bySpiOut = new Map<number, ChildRecord>();
  /** Those that replace a child SA, by the id of that one. */
  readonly #heirs = new Map<number, Set<ChildRecord>>();
  readonly #carried = new CarriedPairs<ChildRecord>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: number): ChildRecord | undefined {
    return this.#byId.get(id);
  }

  byOutboundSpi(spi: number): ChildRecord | undefined {
    return this.#bySpiOut.get(spi);
  }

  /** Oldest first. */
  values(): IterableIterator<ChildRecord> {
    return this.#byId.values();
  }

  /** Those that were made in place of this one. A copy. */
  heirsOf({ id }: ChildRecord): ChildRecord[] {
    return [...(this.#heirs.get(id) ?? [])];
  }

  add(child: ChildRecord): void {
    this.#byId.set(child.id, child);
    this.#bySpiOut.set(child.spiOut, child);
    if (child.state !== 'deleting') this.#carried.add(child.id, child);
    if (child.replaces === undefined) return;
    const heirs = this.#heirs.get(child.replaces) ?? new Set();
    this.#heirs.set(child.replaces, heirs.add(child));
  }

  /** Whether it was there. */
  remove(child: ChildRecord): boolean {
    if (!this.#byId.delete(child.id)) return false;
    if (this.#bySpiOut.get(child.spiOut) === child) this.#bySpiOut.delete(child.spiOut);
    this.#carried.remove(child.id);
    this.#heirs.delete(child.id);
    if (child.replaces !== undefined) this.#heirs.get(child.replaces)?.delete(child);
    return true;
  }

  /** Our DELETE of it is due: it carries nothing any more. */
  beginDelete(child: ChildRecord): void {
    child.state = 'deleting';
    this.#carried.remove(child.id);
  }

  /** Takes all out. */
  takeAll(): ChildRecord[] {
    const all = [...this.#byId.values()];
    for (const child of all) this.remove(child);
    return all;
  }

  /** The configured pairs and who carries them. */
  coverage(networks: Networks): CarriedPairs<ChildRecord> {
    this.#carried.configure(networks);
    return this.#carried;
  }
}
