import type { StoredRecord, TakeReason } from '../../src/daemon/warden/leader-record.js';
import {
  LocalSeats,
  type Placement,
  SEATS,
  type Seat,
  type SeatNews,
  type SeatOrder,
} from '../../src/daemon/warden/local-seats.js';
import { Warden, type WardenInput, type WardenOutput } from '../../src/daemon/warden/warden.js';

/** What decides for two seats: the pair of one host, or two wardens with a store between them. */
export interface Deciding {
  place(placement: Placement, now: number): SeatOrder[];
  remove(now: number): SeatOrder[];
  news(seat: Seat, news: SeatNews, now: number): SeatOrder[];
  switch(now: number): SeatOrder[];
  timer(now: number): SeatOrder[];
  nextDeadline(): number;
  stateOf(seat: Seat): string;
  /** Things under way inside, in any order of which one may happen next. */
  steps?(): readonly { readonly name: string; run(now: number): SeatOrder[] }[];
}

/** A write on its way to the store. */
type Write = Extract<WardenOutput, { kind: 'write' }> & { readonly seat: Seat };

/**
 * Two wardens whose record is in a store that is slow: writes and news of them are on their way for any time, and what
 * became of a write may never be heard. Death is told by the world, as a promise that is over would be.
 */
export class SlowSeats implements Deciding {
  readonly #wardens = [new Warden('0'), new Warden('1')] as const;
  #stored: StoredRecord = { revision: 0, record: undefined };
  readonly #terms: (number | undefined)[] = [undefined, undefined];
  /** Writes on their way, and what each seat is yet to hear. */
  readonly #writes: Write[] = [];
  readonly #unheard: WardenInput[][] = [[], []];
  /** By seat, whether its process was released, or killed since it did not answer. */
  readonly #ending: TakeReason[] = ['ended', 'ended'];
  readonly #lost: () => boolean;

  constructor(lost: () => boolean) {
    this.#lost = lost;
  }

  place({ first }: Placement, now: number): SeatOrder[] {
    return SEATS.flatMap((seat) => this.#give(seat, { kind: 'placed', first: seat === first }, now));
  }

  remove(now: number): SeatOrder[] {
    return SEATS.flatMap((seat) => this.#give(seat, { kind: 'removed' }, now));
  }

  news(seat: Seat, news: SeatNews, now: number): SeatOrder[] {
    const other = seat === 0 ? 1 : 0;
    const term = this.#terms[seat];
    const hears = (input: WardenInput) => void this.#unheard[other]!.push(input);
    if (news === 'ready') hears({ kind: 'peer', isReady: true });
    if (news === 'ended') {
      this.#terms[seat] = undefined;
      hears({ kind: 'peer', isReady: false });
      if (term !== undefined) hears({ kind: 'fenced', term, reason: this.#ending[seat]! });
      this.#ending[seat] = 'ended';
    }
    if (news === 'silent' || news === 'answers') {
      if (term !== undefined) hears({ kind: news, term });
      return [];
    }
    return this.#give(seat, { kind: news }, now);
  }

  switch(now: number): SeatOrder[] {
    return SEATS.flatMap((seat) => this.#give(seat, { kind: 'switch' }, now));
  }

  timer(now: number): SeatOrder[] {
    return SEATS.flatMap((seat) => this.#give(seat, { kind: 'timer' }, now));
  }

  nextDeadline(): number {
    return Math.min(...this.#wardens.map((warden) => warden.nextDeadline()));
  }

  stateOf(seat: Seat): string {
    return this.#wardens[seat].state;
  }

  steps() {
    const writes = this.#writes.map((write, at) => ({
      name: `write ${write.seat}`,
      run: (): SeatOrder[] => {
        this.#writes.splice(at, 1);
        this.#write(write);
        return [];
      },
    }));
    const heard = SEATS.filter((seat) => this.#unheard[seat]!.length > 0).map((seat) => ({
      name: `hear ${seat}`,
      run: (now: number) => this.#give(seat, this.#unheard[seat]!.shift()!, now),
    }));
    return [...writes, ...heard];
  }

  #write({ seat, expect, record }: Write): void {
    const isWritten = expect === this.#stored.revision;
    // Where the answer is lost the writer gives up before it hears that it was written after all.
    if (!isWritten || this.#lost()) this.#unheard[seat]!.push({ kind: 'unwritten' });
    if (!isWritten) return;
    this.#stored = { revision: expect + 1, record };
    for (const one of SEATS) this.#unheard[one]!.push({ kind: 'record', stored: this.#stored });
  }

  #give(seat: Seat, input: WardenInput, now: number): SeatOrder[] {
    const other = seat === 0 ? 1 : 0;
    return this.#wardens[seat].handle(input, now).flatMap((output): SeatOrder[] => {
      switch (output.kind) {
        case 'write':
          this.#writes.push({ seat, ...output });
          return [];
        case 'fence':
          if (this.#terms[other] === output.term) {
            this.#ending[other] = 'silent';
            return [{ seat: other, kind: 'kill' }];
          }
          this.#unheard[seat]!.push({ kind: 'fenced', term: output.term, reason: 'silent' });
          return [];
        case 'take':
          this.#terms[seat] = output.term;
          this.#unheard[other]!.push({ kind: 'peer', isReady: false });
          return [{ seat, ...output }];
        case 'release':
          this.#ending[seat] = 'switch';
          return [{ seat, ...output }];
        default:
          return [{ seat, ...output }];
      }
    });
  }
}

type Phase = 'none' | 'starting' | 'ready' | 'taking' | 'live' | 'releasing' | 'dead';

interface FakeProcess {
  phase: Phase;
  isFrozen: boolean;
  /** Orders that it has not read yet. */
  readonly orders: SeatOrder[];
  /** What its supervisor has not heard of it yet. */
  readonly news: SeatNews[];
  isSuspected: boolean;
  isKilled: boolean;
}

/** A step that could be next. */
export interface Step {
  readonly name: string;
  readonly isFault: boolean;
  run(): void;
}

/**
 * Two processes and what decides for them, one step at a time in whichever order a test chooses. From the moment it acts
 * on the order to take until it is dead a process counts as one that speaks, whether it is frozen or not.
 */
export class SeatsWorld {
  readonly deciding: Deciding;
  readonly log: string[] = [];
  now = 1000;
  /** In which two spoke at once, or one in a term that was given before. */
  readonly faults: string[] = [];
  takes = 0;
  readonly reasons: TakeReason[] = [];
  #lastTerm = 0;
  readonly #processes = SEATS.map(
    (): FakeProcess => ({
      phase: 'none',
      ...{ isFrozen: false, isSuspected: false, isKilled: false },
      orders: [],
      news: [],
    }),
  ) as [FakeProcess, FakeProcess];

  constructor(deciding: Deciding = new LocalSeats()) {
    this.deciding = deciding;
    this.#follow(deciding.place({ first: 0 }, this.now));
  }

  get speakers(): Seat[] {
    return SEATS.filter((seat) => speaks(this.#processes[seat]));
  }

  get states(): string[] {
    return SEATS.map((seat) => this.deciding.stateOf(seat));
  }

  get isSteady(): boolean {
    return [...this.states].sort().join() === 'active-pair,standby' && this.speakers.length === 1;
  }

  /** All that could happen next. */
  steps(): Step[] {
    const out: Step[] = [];
    const add = (name: string, isFault: boolean, run: () => void) =>
      void out.push({
        ...{ name, isFault },
        run: () => {
          this.log.push(name);
          run();
        },
      });
    for (const { name, run } of this.deciding.steps?.() ?? []) {
      add(name, false, () => this.#follow(run(this.now)));
    }
    for (const seat of SEATS) this.#stepsOf(seat, add);
    const due = this.deciding.nextDeadline();
    if (due !== Number.POSITIVE_INFINITY) {
      add('timer', false, () => {
        this.now = Math.max(this.now, due);
        this.#follow(this.deciding.timer(this.now));
      });
    }
    add('switch', true, () => this.#follow(this.deciding.switch(this.now)));
    return out;
  }

  /** No fault lasts. */
  heal(): void {
    for (const seat of SEATS) {
      const one = this.#processes[seat];
      one.isFrozen = false;
      if (one.isSuspected && speaks(one)) one.news.push('answers');
      one.isSuspected = false;
    }
  }

  /** Everything that can happen does, oldest first, until both are at rest or it takes too long. */
  settle(most = 200): boolean {
    for (let n = 0; n < most && !this.isSteady; n++) {
      this.now += 10;
      const steps = this.steps().filter(({ isFault }) => !isFault);
      const next = steps.find(({ name }) => name !== 'timer') ?? steps[0];
      next?.run();
    }
    return this.isSteady;
  }

  #stepsOf(seat: Seat, add: (name: string, isFault: boolean, run: () => void) => void): void {
    const one = this.#processes[seat];
    const lives = one.phase !== 'none' && one.phase !== 'dead';
    if (one.news.length > 0) {
      add(`hear ${one.news[0]} of ${seat}`, false, () => this.#hear(seat));
    }
    if (lives && one.isKilled) add(`die ${seat}`, false, () => this.#die(seat));
    if (lives && !one.isFrozen && one.orders.length > 0) {
      add(`read ${one.orders[0]!.kind} ${seat}`, false, () => this.#obey(seat, one.orders.shift()!));
    } else if (!one.isFrozen && AFTER[one.phase] !== undefined) {
      add(`${AFTER[one.phase]} ${seat}`, false, () => this.#go(seat, AFTER[one.phase]!));
    }
    if (!lives) return;
    add(`crash ${seat}`, true, () => this.#die(seat));
    add(one.isFrozen ? `thaw ${seat}` : `freeze ${seat}`, true, () => {
      one.isFrozen = !one.isFrozen;
    });
    // It may also only seem to be silent.
    if (speaks(one)) {
      add(`${one.isSuspected ? 'answers' : 'silent'} ${seat}`, !one.isFrozen || one.isSuspected, () => {
        one.news.push(one.isSuspected ? 'answers' : 'silent');
        one.isSuspected = !one.isSuspected;
      });
    }
  }

  #hear(seat: Seat): void {
    const one = this.#processes[seat];
    const news = one.news.shift()!;
    if (news === 'ended') Object.assign(one, { phase: 'none', isKilled: false, isSuspected: false });
    this.#follow(this.deciding.news(seat, news, this.now));
  }

  #follow(orders: readonly SeatOrder[]): void {
    for (const order of orders) {
      const one = this.#processes[order.seat];
      if (order.kind === 'kill') one.isKilled = true;
      // An order to a process that has died meanwhile gets lost with its connection.
      else if (order.kind !== 'prepare') one.phase !== 'dead' && one.orders.push(order);
      else if (one.phase === 'none')
        Object.assign(one, { phase: 'starting', isFrozen: false, isKilled: false });
      else this.faults.push(`a second process at seat ${order.seat}`);
    }
  }

  #obey(seat: Seat, order: SeatOrder): void {
    const one = this.#processes[seat];
    if (order.kind === 'release') one.phase = 'releasing';
    if (order.kind !== 'take') return;
    const others = this.speakers;
    if (others.length > 0) this.faults.push(`${seat} begins to speak while ${others} does`);
    if (order.term <= this.#lastTerm) this.faults.push(`term ${order.term} was given before`);
    this.#lastTerm = order.term;
    this.takes++;
    this.reasons.push(order.reason);
    one.phase = 'taking';
  }

  #go(seat: Seat, next: Phase): void {
    const one = this.#processes[seat];
    if (next === 'dead') this.#die(seat);
    else {
      one.phase = next;
      one.news.push(next as SeatNews);
    }
  }

  #die(seat: Seat): void {
    const one = this.#processes[seat];
    Object.assign(one, { phase: 'dead', isFrozen: false });
    one.orders.length = 0;
    one.news.push('ended');
  }
}

/** What a process does by itself. */
const AFTER: Readonly<Partial<Record<Phase, Phase>>> = {
  starting: 'ready',
  taking: 'live',
  releasing: 'dead',
};

function speaks({ phase }: FakeProcess): boolean {
  return phase === 'taking' || phase === 'live' || phase === 'releasing';
}
