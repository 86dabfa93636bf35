import { Pulse, type PulseClock, type PulsePace, systemPulseClock } from './pulse.js';

/** How closely a member is watched, in milliseconds. */
export interface StallPace extends Pick<PulsePace, 'beat' | 'silent'> {
  /** After a stall of this length its tunnels are in doubt: peers may have given them up. */
  readonly long: number;
  /** How long they are in doubt, so that dead peer detection finds out before traffic is back. */
  readonly doubt: number;
}

/**
 * Within half a second after a member froze the other one has its traffic. A member that was only busy has it back with
 * its next answer, which costs nothing, so that a little silence is enough. Dead peer detection takes ten seconds by
 * default, and begins when the process runs again.
 */
export const STALL_PACE: StallPace = { beat: 100, silent: 250, long: 2000, doubt: 15_000 };

/** What is watched, and who acts on it. */
export interface StallHooks {
  /** A question that costs the process next to nothing. Rejects when it does not answer. */
  ask(): Promise<unknown>;
  /** Whether anything depends on it now; as long as nothing does, the process is not asked. */
  isNeeded(): boolean;
  /** `isStalled` has another value now. */
  changed(): void;
}

/**
 * Watches whether a process stalls. `beat` is called every `STALL_PACE.beat`. There are no consequences for the process
 * itself: for those there is the `Pulse` of its member.
 */
export class StallWatch {
  readonly #hooks: StallHooks;
  readonly #clock: PulseClock;
  #pulse: Pulse | undefined;
  #isStalled = false;
  /** When its silence began, monotonic. */
  #since = 0;
  /** It answers, and until then its tunnels are in doubt. */
  #doubtUntil: number | undefined;

  constructor(hooks: StallHooks, clock: PulseClock = systemPulseClock) {
    this.#hooks = hooks;
    this.#clock = clock;
  }

  /** It has not answered for some hundred milliseconds, or did not for so long that its tunnels are in doubt. */
  get isStalled(): boolean {
    return this.#isStalled;
  }

  beat(): void {
    if (!this.#hooks.isNeeded()) {
      this.#pulse = undefined;
      this.#doubtUntil = undefined;
      this.#become(false);
      return;
    }
    this.#pulse ??= this.#watch();
    this.#pulse.beat();
    if (this.#doubtUntil === undefined || this.#clock.now() < this.#doubtUntil) return;
    this.#doubtUntil = undefined;
    this.#become(false);
  }

  #watch(): Pulse {
    const { beat, silent } = STALL_PACE;
    const pulse: Pulse = new Pulse(
      {
        ask: () => this.#hooks.ask(),
        silent: () => this.#fellSilent(),
        // The answer may come when this pulse is not needed any more.
        answered: () => pulse === this.#pulse && this.#answers(),
        dead: () => undefined,
      },
      { beat, silent, dead: Number.POSITIVE_INFINITY },
      this.#clock,
    );
    return pulse;
  }

  #fellSilent(): void {
    // While its tunnels are in doubt the first silence counts.
    if (this.#doubtUntil === undefined) this.#since = this.#clock.now() - STALL_PACE.silent;
    this.#doubtUntil = undefined;
    this.#become(true);
  }

  #answers(): void {
    const now = this.#clock.now();
    if (now - this.#since < STALL_PACE.long) this.#become(false);
    else this.#doubtUntil = now + STALL_PACE.doubt;
  }

  #become(isStalled: boolean): void {
    if (this.#isStalled === isStalled) return;
    this.#isStalled = isStalled;
    this.#hooks.changed();
  }
}
