import type { Millis } from '../util/units.js';
import type { PacketView } from '../wire/ip.js';

/** Between two reports of one destination: the sender repeats itself anyway. */
const PAUSE: Millis = 1000;
/**
 * Destinations share this many clocks, by a hash: a flood to one does not hide the others, nor does a flood to many
 * keep the daemon busy. A power of two.
 */
const CLOCKS = 64;

/** Keeps a host that sends into a missing tunnel from reporting every packet. Bounded, and allocates nothing. */
export class AcquireLimit {
  readonly #next = new Float64Array(CLOCKS).fill(Number.NEGATIVE_INFINITY);

  /** Whether the packet's destination may be reported now; if so, it was the last time for a while. */
  allows(packet: PacketView, now: Millis): boolean {
    const { bytes, destinationOffset, addressLength } = packet;
    let hash = 0;
    for (let i = 0; i < addressLength; i++) hash = (hash * 31 + bytes[destinationOffset + i]!) | 0;
    const clock = hash & (CLOCKS - 1);
    if (now < this.#next[clock]!) return false;
    this.#next[clock] = now + PAUSE;
    return true;
  }
}
