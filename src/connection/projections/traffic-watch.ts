import type { Millis } from '../../util/units.js';
import type { Projection } from '../projection.js';

/** How long traffic may go unanswered before it is reported: some of it is never answered. */
const ONE_WAY_AFTER: Millis = 30_000;
/** Fewer packets are no proof. */
const ENOUGH_PACKETS = 5;

/** Packets of one child SA so far. */
export interface PacketCounts {
  readonly id: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
}

/** Traffic that leaves while nothing comes back. */
export interface OneWay {
  /** Since when nothing has come back. */
  readonly since: Millis;
  /** Packets sent since. */
  readonly packets: number;
}

/** Watches one connection for traffic in one direction only, over rekeys of its child SAs. */
export class TrafficWatch implements Projection {
  readonly #counts = new Map<number, PacketCounts>();
  #since: Millis | undefined;
  #packets = 0;

  traffic(counts: readonly PacketCounts[], now: Millis): void {
    let arrived = 0;
    let left = 0;
    for (const one of counts) {
      const before = this.#counts.get(one.id);
      arrived += one.packetsIn - (before?.packetsIn ?? 0);
      left += one.packetsOut - (before?.packetsOut ?? 0);
    }
    this.#counts.clear();
    for (const one of counts) this.#counts.set(one.id, one);
    if (arrived > 0 || counts.length === 0) {
      this.#since = undefined;
      this.#packets = 0;
    }
    if (left === 0 || arrived > 0) return;
    this.#since ??= now;
    this.#packets += left;
  }

  /** Undefined while traffic is answered, or there is too little of it to judge. */
  oneWay(now: Millis): OneWay | undefined {
    if (this.#since === undefined || this.#packets < ENOUGH_PACKETS) return undefined;
    return now - this.#since < ONE_WAY_AFTER ? undefined : { since: this.#since, packets: this.#packets };
  }
}
