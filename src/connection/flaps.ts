import type { Millis } from '../util/units.js';

/** Losses within this time count as flapping. */
const WINDOW: Millis = 600_000;
/** More than this many in the window is too many. */
const TOLERABLE = 3;
/** Times that are kept: enough to tell that it flaps, whatever the pace. */
const MAX_TIMES = 64;

/** Counts how often a connection that was up was lost without anybody wanting it. */
export class FlapCounter {
  readonly #times: Millis[] = [];
  #total = 0;

  lost(now: Millis): void {
    this.#total++;
    this.#times.push(now);
    if (this.#times.length > MAX_TIMES) this.#times.shift();
  }

  get total(): number {
    return this.#total;
  }

  /** Losses in the last ten minutes, 64 at most. */
  recent(now: Millis): number {
    return this.#times.filter((at) => now - at < WINDOW).length;
  }

  flaps(now: Millis): boolean {
    return this.recent(now) > TOLERABLE;
  }
}
