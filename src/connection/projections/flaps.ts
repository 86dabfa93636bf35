import type { IkeEvent } from '../../ike/events.js';
import type { Millis } from '../../util/units.js';
import { isIntended } from '../losses.js';
import type { Moment, Projection } from '../projection.js';

/** Losses within this time count as flapping. */
const WINDOW: Millis = 600_000;
/** More than this many in the window is too many. */
const TOLERABLE = 3;
/** Times that are kept: enough to see that it flaps, whatever the pace. */
const MAX_TIMES = 64;

/** Counts unintended losses of a connection that was up. */
export class FlapCounter implements Projection {
  readonly #times: Millis[] = [];
  #total = 0;

  on(event: IkeEvent, { before, after, now }: Moment): void {
    if (event.kind !== 'ike-closed' && event.kind !== 'child-closed') return;
    if (before !== 'down' && after === 'down' && !isIntended(event.reason)) this.lost(now);
  }

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
