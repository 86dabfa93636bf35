import type { Millis } from '../../util/units.js';

/** Pause before a start is tried again; doubled with every further one. */
const FIRST_PAUSE: Millis = 250;
const MAX_PAUSE: Millis = 30_000;
/** A process that ran this long was healthy: its crash begins a new count. */
const HEALTHY: Millis = 60_000;
/** Crashes of a process that had come to run, in a row, after which it is started again at once. */
const FREE_RESTARTS = 10;
/** Attempts after which a gateway that never ran counts as failed; further ones follow all the same. */
const ATTEMPTS = 3;

/** How long a process is waited with that has ended: its tunnels are down, so what did run is not kept waiting at first. */
export class RestartPace {
  #failures = 0;
  /** Of the failures in a row, those of a process that had come to run. */
  #crashes = 0;

  /** Whether it was tried often enough to say that it cannot be started. */
  get isHopeless(): boolean {
    return this.#failures >= ATTEMPTS;
  }

  /** A process has ended that lasted this long. @returns milliseconds to wait */
  ended(lasted: Millis, crashed: boolean): Millis {
    if (lasted > HEALTHY) this.#failures = this.#crashes = 0;
    this.#failures++;
    if (crashed && ++this.#crashes <= FREE_RESTARTS) return 0;
    return Math.min(MAX_PAUSE, FIRST_PAUSE * 2 ** (this.#failures - 1));
  }
}
