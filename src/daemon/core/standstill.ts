import { STANDSTILL } from '../../connection/projections/lifetimes.js';
import type { Millis } from '../../util/units.js';
import { type Clock, sinceBoot } from '../system/clock.js';

/** A machine that was suspended, or a process that was stopped, learns of it only by the time that is missing. */
export class StandstillWatch {
  readonly #clock: Clock;
  readonly #every: Millis;
  /** The last look, on a clock that counts suspended time. */
  #last: Millis;

  /** @param every distance between two looks while everything runs */
  constructor(clock: Clock, every: Millis) {
    this.#clock = clock;
    this.#every = every;
    this.#last = sinceBoot(clock);
  }

  /** @returns how long nothing ran here since the last look; undefined when that is no more than usual delay */
  look(): Millis | undefined {
    const at = sinceBoot(this.#clock);
    const missing = at - this.#last - this.#every;
    this.#last = at;
    return missing < STANDSTILL ? undefined : missing;
  }
}
