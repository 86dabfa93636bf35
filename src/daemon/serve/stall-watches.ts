import type { MemberProcess } from './member-process.js';
import { STALL_PACE, StallWatch } from './stall-watch.js';

/** So many members are asked in a beat at most: where there are more they take turns, and a stall is noticed later. */
const MAX_ASKED = 200;

/** The watches over the members of gateways that can take each other's traffic. */
export class StallWatches {
  readonly #hooks: { isNeeded(gateway: string): boolean; changed(gateway: string): void };
  readonly #watches = new Map<string, readonly StallWatch[]>();
  readonly #timer: NodeJS.Timeout;
  /** Whose turn it is. */
  #next = 0;

  /** @param hooks those of a watch, of all members of a gateway */
  constructor(hooks: { isNeeded(gateway: string): boolean; changed(gateway: string): void }) {
    this.#hooks = hooks;
    this.#timer = setInterval(() => this.beat(), STALL_PACE.beat);
    this.#timer.unref();
  }

  /** Called every `STALL_PACE.beat`. */
  beat(): void {
    const all = [...this.#watches].flatMap(([gateway, watches]) => {
      const isNeeded = this.#hooks.isNeeded(gateway);
      return watches.map((watch) => ({ watch, isNeeded }));
    });
    const asked = all.filter(({ isNeeded }) => isNeeded);
    const count = Math.min(asked.length, MAX_ASKED);
    for (const { watch, isNeeded } of all) if (!isNeeded) watch.beat();
    for (let n = 0; n < count; n++) asked[(this.#next + n) % asked.length]!.watch.beat();
    this.#next = asked.length === 0 ? 0 : (this.#next + count) % asked.length;
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
