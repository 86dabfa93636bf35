/** How closely a process is watched, in milliseconds. */
export interface PulsePace {
  /** Between two questions whether it still answers. */
  readonly beat: number;
  /** Silence after which it is reported not to answer. */
  readonly silent: number;
  /** Silence after which it is ended, so that another one takes its place. */
  readonly dead: number;
}

/** The pace of `culvert serve`. */
export const PULSE_PACE: PulsePace = { beat: 2000, silent: 5000, dead: 60_000 };

/** The process that is watched, and what is done about its silence. */
export interface PulseHooks {
  /**
   * A question that costs the process next to nothing. Its answer is the sign of life; rejects when there can be none.
   */
  ask(): Promise<unknown>;
  /** It has not answered for `pace.silent`; `since` is when it last did, milliseconds since 1970. */
  silent(since: number): void;
  /** It answers again. */
  answered(): void;
  /** It has not answered for `pace.dead`. */
  dead(): void;
}

/** Time for the pulse: monotonic to measure silence, of the day to report it. */
export interface PulseClock {
  /** Milliseconds, monotonic. */
  now(): number;
  /** Milliseconds since 1970. */
  wall(): number;
}

/** The clocks of this host. */
export const systemPulseClock: PulseClock = { now: () => performance.now(), wall: () => Date.now() };

/** Watches whether a process still answers. `beat` is called every `pace.beat`. */
export class Pulse {
  readonly #hooks: PulseHooks;
  readonly #pace: PulsePace;
  readonly #clock: PulseClock;
  #silence = 0;
  #beatAt: number;
  #answeredAt: number;
  #isAsking = false;
  #isSilent = false;

  constructor(hooks: PulseHooks, pace: PulsePace = PULSE_PACE, clock: PulseClock = systemPulseClock) {
    this.#hooks = hooks;
    this.#pace = pace;
    this.#clock = clock;
    this.#beatAt = clock.now();
    this.#answeredAt = clock.wall();
  }

  beat(): void {
    const now = this.#clock.now();
    const { beat, silent, dead } = this.#pace;
    // When this process itself was paused, the answers of that time are yet to be read: that is no silence of theirs.
    this.#silence += Math.min(now - this.#beatAt, beat * 1.5);
    this.#beatAt = now;
    if (this.#silence > silent && !this.#isSilent) {
      this.#isSilent = true;
      this.#hooks.silent(this.#answeredAt);
    }
    if (this.#silence > dead) this.#hooks.dead();
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#hooks.ask().then(
      () => this.#heard(),
      () => {
        this.#isAsking = false;
      },
    );
  }

  #heard(): void {
    this.#isAsking = false;
    this.#silence = 0;
    this.#answeredAt = this.#clock.wall();
    if (!this.#isSilent) return;
    this.#isSilent = false;
    this.#hooks.answered();
  }
}

/** Between two looks at what moves without an event, in beats. */
const LOOK_BEATS = 8;

/** Has the pulse beat, and calls `look` every so many beats. @returns ends it */
export function beating(pulse: Pulse, { beat }: PulsePace, look: () => void): () => void {
  let beats = 0;
  const timer = setInterval(() => {
    pulse.beat();
    if (++beats % LOOK_BEATS === 0) look();
  }, beat);
  timer.unref();
  return () => clearInterval(timer);
}
