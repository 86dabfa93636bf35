import { uptime } from 'node:os';
import { performance } from 'node:perf_hooks';
import type { Millis } from '../util/units.js';

/** The daemon's clock: monotonic, so that setting the system's time disturbs no lifetime and no timeout. */
export interface Clock {
  now(): Millis;
  /** Milliseconds since 1970 (UTC) at point 0 of this clock. */
  readonly epoch: number;
  /** A clock that also counts the time in which the machine was suspended; without it, `now` does. */
  sinceBoot?(): Millis;
}

/** Time since some fixed point, suspended time included. */
export function sinceBoot(clock: Clock): Millis {
  return clock.sinceBoot?.() ?? clock.now();
}

/** The clock of this process, in whole milliseconds. */
export const systemClock: Clock = {
  now: () => Math.floor(performance.now()),
  epoch: performance.timeOrigin,
  // Linux: CLOCK_BOOTTIME, where `performance.now` is CLOCK_MONOTONIC, which stands still in suspend.
  sinceBoot: () => Math.floor(uptime() * 1000),
};

/** The RFC 3339 form, in UTC, of a point on the clock. */
export function utcText(clock: Clock, at: Millis): string {
  return new Date(clock.epoch + at).toISOString();
}
