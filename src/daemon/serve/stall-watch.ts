import type { MemberProcess } from './member-process.js';
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

/** The watches over the members of gateways that can take each other's traffic. */
export class StallWatches {
  readonly #hooks: { isNeeded(gateway: string): boolean; changed(gateway: string): void };
  readonly #watches = new Map<string, readonly StallWatch[]>();
  readonly #timer: NodeJS.Timeout;

  /** @param hooks those of a watch, of all members of a gateway */
  constructor(hooks: { isNeeded(gateway: string): boolean; changed(gateway: string): void }) {
    this.#hooks = hooks;
    this.#timer = setInterval(() => {
      for (const watches of this.#watches.values()) for (const watch of watches) watch.beat();
    }, STALL_PACE.beat);
    this.#timer.unref();
  }

  watch(gateway: string, members: readonly Pick<MemberProcess, 'ask' | 'state'>[]): void {
    const watches = members.map(
      (member) =>
        new StallWatch({
          ask: () => signOfLife(member),
          isNeeded: () => this.#hooks.isNeeded(gateway),
          changed: () => this.#hooks.changed(gateway),
        }),
    );
    this.#watches.set(gateway, watches);
  }

  /** In member order; none for a gateway that is not watched. */
  of(gateway: string): readonly boolean[] {
    return this.#watches.get(gateway)?.map(({ isStalled }) => isStalled) ?? [];
  }

  forget(gateway: string): void {
    this.#watches.delete(gateway);
  }

  end(): void {
    clearInterval(this.#timer);
  }
}

/** Asks a process whether it lives. One that does not run has no tunnels that could stall. @throws when it is silent */
async function signOfLife(member: Pick<MemberProcess, 'ask' | 'state'>): Promise<void> {
  await member.ask((client) => client.ping());
  if (member.state === 'silent') throw new Error('it does not answer');
}
