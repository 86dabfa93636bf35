import type { ThreadWork } from '../../linux/processes.js';
import type { Millis } from '../../util/units.js';

/** How closely the process that speaks is watched where another one could take over at once. */
export interface HeartbeatPace {
  /** Between two questions whether it still answers. */
  readonly beat: Millis;
  /** Silence after which it counts as hung. */
  readonly silent: Millis;
  /** The same for one that a signal has stopped. */
  readonly stopped: Millis;
  /** The same for one that is seen to work: it may be busy with a large change. */
  readonly busy: Millis;
}

/** The pace of `culvert serve`. */
export const HEARTBEAT_PACE: HeartbeatPace = { beat: 150, silent: 250, stopped: 50, busy: 10_000 };

/**
 * Whether the process that speaks is hung. An answer is a sign of life; for a while it is enough that it works, since a
 * takeover costs every tunnel a negotiation. Time in which this process itself did not run does not count.
 */
export class Heartbeat {
  readonly #pace: HeartbeatPace;
  #beatAt: Millis;
  /** Since the last answer, and since the last sign that it works. */
  #silence: Millis = 0;
  #idle: Millis = 0;
  #ran = 0;

  constructor(now: Millis, pace: HeartbeatPace = HEARTBEAT_PACE) {
    this.#beatAt = now;
    this.#pace = pace;
  }

  answered(): void {
    this.#silence = 0;
    this.#idle = 0;
  }

  /** To be called every `pace.beat`, with what it does then. @returns whether it counts as hung */
  beat(now: Millis, work: ThreadWork | undefined): boolean {
    const passed = Math.min(now - this.#beatAt, this.#pace.beat * 1.5);
    this.#beatAt = now;
    this.#silence += passed;
    const works = work !== undefined && (work.isBusy || work.ran > this.#ran);
    this.#ran = work?.ran ?? this.#ran;
    this.#idle = works ? 0 : this.#idle + passed;
    const { silent, stopped, busy } = this.#pace;
    return this.#idle > (work?.isStopped === true ? stopped : silent) || this.#silence > busy;
  }
}
