import { uptime } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Millis } from '../../util/units.js';

/** The daemon's clock: monotonic, so that setting the system's time disturbs no lifetime and no timeout. */
export interface Clock {
  now(): Millis;
  /** Milliseconds since 1970 (UTC) at point 0 of this clock, by the system's time as it is now. */
  readonly epoch: number;
  /** A clock that also counts the time in which the machine was suspended; without it, `now` does. */
  sinceBoot?(): Millis;
  /** `now` with fractions of a millisecond; without it, `now` does. */
  precise?(): Millis;
}

/** Time since some fixed point, suspended time included. */
export function sinceBoot(clock: Clock): Millis {
  return clock.sinceBoot?.() ?? clock.now();
}

/** The time with fractions of a millisecond, for what is put in order by it. */
export function preciseNow(clock: Clock): Millis {
  return clock.precise?.() ?? clock.now();
}

/** The two clocks differ by a little from one look to the next; what is more is a step of the system's time. */
const STEP: Millis = 1000;

/**
 * A clock over a monotonic one, whose points have the date that the system's time gives them now: where that was wrong
 * at the start, on a machine without a clock battery, and is set later, no wrong date stays.
 * @param wall milliseconds since 1970 (UTC), which may be set
 * @param monotonic milliseconds since some fixed point
 */
export function datedClock(wall: () => number, monotonic: () => number): Clock {
  let epoch = wall() - monotonic();
  return {
    now: () => Math.floor(monotonic()),
    get epoch() {
      const measured = wall() - monotonic();
      if (Math.abs(measured - epoch) >= STEP) epoch = measured;
      return epoch;
    },
  };
}

const processClock = datedClock(
  () => Date.now(),
  () => performance.now(),
);

/** The clock of this process, in whole milliseconds. */
export const systemClock: Clock = {
  now: processClock.now,
  get epoch() {
    return processClock.epoch;
  },
  // Linux: CLOCK_BOOTTIME, where `performance.now` is CLOCK_MONOTONIC, which stops in suspend.
  sinceBoot: () => Math.floor(uptime() * 1000),
  precise: () => performance.now(),
};

/** The RFC 3339 form, in UTC, of a point on the clock. */
export function utcText(clock: Clock, at: Millis): string {
  return new Date(clock.epoch + at).toISOString();
}
