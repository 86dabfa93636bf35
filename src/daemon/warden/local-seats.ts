import type { Millis } from '../../util/units.js';
import type { StoredRecord, TakeReason } from './leader-record.js';
import {
  Warden,
  type WardenInput,
  type WardenOutput,
  type WardenPatience,
  type WardenState,
} from './warden.js';

/** One of the two processes of a gateway on one host: the number of its member, from 0. */
export type Seat = 0 | 1;

/** Both, in order. */
export const SEATS: readonly Seat[] = [0, 1];

/** What is learned of the process at a seat. */
export type SeatNews =
  /** It is ready and does not speak. */
  | 'ready'
  /** It speaks. */
  | 'live'
  /** It is known dead: nothing that it had open is there any more. */
  | 'ended'
  /** It does not answer, or does again. */
  | 'silent'
  | 'answers';

/** What is to be done with the process at a seat. */
export type SeatOrder =
  /** To be started, and made ready. */
  | { readonly seat: Seat; readonly kind: 'prepare' }
  | { readonly seat: Seat; readonly kind: 'take'; readonly term: number; readonly reason: TakeReason }
  | { readonly seat: Seat; readonly kind: 'release' }
  | { readonly seat: Seat; readonly kind: 'kill' };

/** What there is when the two begin. */
export interface Placement {
  /** The seat that is to begin when neither speaks yet. */
  readonly first: Seat;
  /** A process that speaks since before, in this term. */
  readonly speaks?: { readonly seat: Seat; readonly term: number };
}

/**
 * Two wardens on one host, with the record between them in memory. That a place speaks no more is known by the death of
 * its process, and the place that is to take over has the other one killed: no clock is part of what keeps two from
 * speaking at once. Sans-IO.
 */
export class LocalSeats {
  readonly #wardens: readonly [Warden, Warden];
  #stored: StoredRecord = { revision: 0, record: undefined };
  /** By seat, the term in which its process may speak, from the order to take until it is dead. */
  readonly #terms: [number | undefined, number | undefined] = [undefined, undefined];
  /** By seat, whether its process was released, or killed since it did not answer. */
  readonly #ending: [TakeReason, TakeReason] = ['ended', 'ended'];
  /** Inputs that follow from outputs, in order. */
  readonly #waiting: { readonly seat: Seat; readonly input: WardenInput }[] = [];

  constructor(patience?: WardenPatience) {
    this.#wardens = [new Warden('0', patience), new Warden('1', patience)];
  }

  /** The seat that speaks, or is about to; undefined when none does. */
  get active(): Seat | undefined {
    return SEATS.find((seat) => this.#terms[seat] !== undefined);
  }

  /** The term of the last take; 0 before the first. */
  get term(): number {
    return this.#stored.record?.term ?? 0;
  }

  /** Why the seat that holds the record took it. */
  get reason(): TakeReason {
    return this.#stored.record?.reason ?? 'start';
  }

  stateOf(seat: Seat): WardenState {
    return this.#wardens[seat].state;
  }

  /** The gateway is to run. */
  place({ first, speaks }: Placement, now: Millis): SeatOrder[] {
    if (speaks !== undefined) {
      const { seat } = speaks;
      const term = Math.max(1, speaks.term);
      const record = { term, holder: `${seat}`, guard: 'store', reason: 'start' } as const;
      this.#stored = { revision: 1, record };
      this.#terms[seat] = term;
      this.#tellRecord();
      this.#tell(seat, { kind: 'live' });
    }
    for (const seat of SEATS) this.#tell(seat, { kind: 'placed', first: seat === first });
    return this.#run(now);
  }

  /** The gateway is not to run any more. */
  remove(now: Millis): SeatOrder[] {
    for (const seat of SEATS) this.#tell(seat, { kind: 'removed' });
    return this.#run(now);
  }

  /** What is learned of the process at a seat. After `ended` nothing is said of that process any more. */
  news(seat: Seat, news: SeatNews, now: Millis): SeatOrder[] {
    const other = otherThan(seat);
    const term = this.#terms[seat];
    switch (news) {
      case 'ready':
        this.#tell(seat, { kind: 'ready' });
        this.#tell(other, { kind: 'peer', isReady: true });
        break;
      case 'live':
        this.#tell(seat, { kind: 'live' });
        break;
      case 'ended':
        this.#terms[seat] = undefined;
        this.#tell(other, { kind: 'peer', isReady: false });
        this.#tell(seat, { kind: 'ended' });
        if (term !== undefined) this.#tell(other, { kind: 'fenced', term, reason: this.#ending[seat] });
        this.#ending[seat] = 'ended';
        break;
      case 'silent':
      case 'answers':
        if (term !== undefined) this.#tell(other, { kind: news, term });
    }
    return this.#run(now);
  }

  /** The standby is to take over. False when there is none that is ready. */
  canSwitch(): boolean {
    return SEATS.some(
      (seat) =>
        this.#wardens[seat].state === 'active-pair' && this.#wardens[otherThan(seat)].state === 'standby',
    );
  }

  switch(now: Millis): SeatOrder[] {
    const { active } = this;
    if (active !== undefined) this.#tell(active, { kind: 'switch' });
    return this.#run(now);
  }

  nextDeadline(): Millis {
    return Math.min(...this.#wardens.map((warden) => warden.nextDeadline()));
  }

  timer(now: Millis): SeatOrder[] {
    for (const seat of SEATS) this.#tell(seat, { kind: 'timer' });
    return this.#run(now);
  }

  #tell(seat: Seat, input: WardenInput): void {
    this.#waiting.push({ seat, input });
  }

  #tellRecord(): void {
    for (const seat of SEATS) this.#tell(seat, { kind: 'record', stored: this.#stored });
  }

  #run(now: Millis): SeatOrder[] {
    const orders: SeatOrder[] = [];
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const { seat, input } = next;
      for (const output of this.#wardens[seat].handle(input, now)) this.#follow(seat, output, orders);
    }
    return orders;
  }

  #follow(seat: Seat, output: WardenOutput, orders: SeatOrder[]): void {
    const other = otherThan(seat);
    switch (output.kind) {
      case 'write':
        if (output.expect !== this.#stored.revision) {
          this.#tell(seat, { kind: 'unwritten' });
          return;
        }
        this.#stored = { revision: output.expect + 1, record: output.record };
        this.#tellRecord();
        return;
      case 'take':
        this.#terms[seat] = output.term;
        this.#ending[seat] = 'ended';
        this.#tell(other, { kind: 'peer', isReady: false });
        orders.push({ seat, ...output });
        return;
      case 'release':
        this.#ending[seat] = 'switch';
        orders.push({ seat, ...output });
        return;
      case 'fence':
        if (this.#terms[other] !== output.term) {
          this.#tell(seat, { kind: 'fenced', term: output.term, reason: 'silent' });
          return;
        }
        this.#ending[other] = 'silent';
        orders.push({ seat: other, kind: 'kill' });
        return;
      default:
        orders.push({ seat, ...output });
    }
  }
}

/** The other one of the two. */
export function otherThan(seat: Seat): Seat {
  return seat === 0 ? 1 : 0;
}
