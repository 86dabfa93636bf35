import { copyOf } from '../util/bytes.js';
import type { Spi } from '../util/ids.js';
import type { Millis } from '../util/units.js';

/** How long a packet may wait for its SA: far longer than an answer that is under way takes to be read. */
export const EARLY_MILLIS: Millis = 100;
/** SPIs waited for at a time; packets of further ones are dropped as before. */
export const MAX_EXPECTED = 4096;
/** Packets that wait for one SPI, and for all. */
export const MAX_EARLY_PER_SPI = 16;
export const MAX_EARLY = 256;
/** Octets of all that wait. */
export const MAX_EARLY_OCTETS = 512 * 1024;

/** An ESP packet that came before its SA, and where it came from. */
export interface EarlyPacket<From> {
  readonly bytes: Uint8Array;
  readonly from: From;
}

interface Held<From> extends EarlyPacket<From> {
  readonly spi: Spi;
  readonly since: Millis;
}

/**
 * ESP packets for SPIs that this end has given out and whose SA is not agreed on yet: some responders send on a new
 * SA before the initiator has read their answer (RFC 7296 §2.8 warns of it). A few are kept for the moment until
 * the SA is installed. All bounds hold whatever peers and strangers send. SPIs are unsigned.
 */
export class EarlyPackets<From> {
  readonly #expected = new Set<number>();
  /** In the order of arrival. */
  #held: Held<From>[] = [];
  #octets = 0;
  readonly #dropped: (packets: number) => void;

  /** @param dropped receives how many packets were given up: they waited too long, or their SA did not come */
  constructor(dropped: (packets: number) => void) {
    this.#dropped = dropped;
  }

  /** Whether anything waits, so that `expire` has something to look for. */
  get waiting(): boolean {
    return this.#held.length > 0;
  }

  /** An SPI was given out; packets for it are kept from now on. */
  expect(spi: Spi): void {
    if (this.#expected.size < MAX_EXPECTED) this.#expected.add(spi);
  }

  /** No SA will have this SPI any more. What waits for it is dropped. */
  forget(spi: Spi): void {
    this.#drop(this.#remove(spi).length);
  }

  /** Copies a packet that no SA takes, from its SPI on. False when it is not waited for, or there is no room. */
  hold(spi: Spi, bytes: Uint8Array, from: From, now: Millis): boolean {
    if (!this.#expected.has(spi)) return false;
    this.expire(now);
    if (this.#held.length >= MAX_EARLY || this.#octets + bytes.length > MAX_EARLY_OCTETS) return false;
    const ofSpi = this.#held.reduce((count, one) => count + Number(one.spi === spi), 0);
    if (ofSpi >= MAX_EARLY_PER_SPI) return false;
    this.#held.push({ spi, bytes: copyOf(bytes), from, since: now });
    this.#octets += bytes.length;
    return true;
  }

  /** The SA of this SPI is installed: what waits for it and is not too old, in the order of arrival. */
  take(spi: Spi, now: Millis): readonly EarlyPacket<From>[] {
    this.expire(now);
    return this.#remove(spi);
  }

  /** Drops what has waited too long. */
  expire(now: Millis): void {
    let old = 0;
    while (old < this.#held.length && now - this.#held[old]!.since > EARLY_MILLIS) old++;
    for (const { bytes } of this.#held.splice(0, old)) this.#octets -= bytes.length;
    this.#drop(old);
  }

  /** Forgets everything; nothing is counted. */
  clear(): void {
    this.#expected.clear();
    this.#held = [];
    this.#octets = 0;
  }

  #remove(spi: Spi): readonly EarlyPacket<From>[] {
    if (!this.#expected.delete(spi) || !this.waiting) return [];
    const mine = this.#held.filter((one) => one.spi === spi);
    this.#held = this.#held.filter((one) => one.spi !== spi);
    for (const { bytes } of mine) this.#octets -= bytes.length;
    return mine;
  }

  #drop(packets: number): void {
    if (packets > 0) this.#dropped(packets);
  }
}
