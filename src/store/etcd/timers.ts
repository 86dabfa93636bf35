import type { Millis } from '../../util/units.js';

/** The passing of time; tests have their own. */
export interface Timers {
  /** A monotonic clock. */
  now(): Millis;
  /**
   * Does it once, later, unless the returned function is called before.
   * @param idle the process may end before
   */
  after(ms: Millis, work: () => void, idle?: boolean): () => void;
}

/** The clock and timers of this process. */
export const SYSTEM_TIMERS: Timers = {
  now: () => performance.now(),
  after(ms, work, idle = false) {
    const timer = setTimeout(work, ms);
    if (idle) timer.unref();
    return () => clearTimeout(timer);
  },
};
