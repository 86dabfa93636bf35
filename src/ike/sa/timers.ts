import type { Millis } from '../../util/units.js';

/**
 * One thing that an SA does when a time has come. The time is part of what the SA knows, so that there is no second
 * place which says when: `at` reads it from the SA and nothing else, and returns infinity while nothing waits.
 */
export interface Timer<World, Sa> {
  readonly name: string;
  at(sa: Sa): Millis;
  /** Must leave `at` later than now, or the SA gone: a timer that stays due would be served for ever. */
  fire(world: World, sa: Sa): void;
}

/**
 * The timers of one kind of SA, in the order in which those that are due at the same time are served. The order is a
 * rule of the protocol: an SA that has expired is not rekeyed first.
 */
export class TimerTable<World, Sa> {
  readonly #timers: readonly Timer<World, Sa>[];
  readonly #isGone: (sa: Sa) => boolean;

  /** @param isGone whether an SA has ended and takes no further timer */
  constructor(timers: readonly Timer<World, Sa>[], isGone: (sa: Sa) => boolean) {
    this.#timers = timers;
    this.#isGone = isGone;
  }

  /** When the next timer is due, infinite when none waits. */
  next(sa: Sa): Millis {
    let next = Number.POSITIVE_INFINITY;
    for (const timer of this.#timers) next = Math.min(next, timer.at(sa));
    return next;
  }

  /** Serves every timer that is due when its turn comes, each once. */
  serve(world: World, sa: Sa, now: Millis): void {
    for (const timer of this.#timers) {
      if (this.#isGone(sa)) return;
      if (timer.at(sa) <= now) timer.fire(world, sa);
    }
  }
}
