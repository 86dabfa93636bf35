import { LAST_SEQUENCE } from '../../esp/start.js';
import type { ChildId } from '../../util/ids.js';
import { type Millis, seconds } from '../../util/units.js';
import type { Reservation } from './changes.js';

/** What a block lasts at the present rate. */
const BLOCK_TIME: Millis = seconds(4);
/** Sequence numbers in a block, at least and at most. */
const SMALLEST_BLOCK = 2 ** 16;
const LARGEST_BLOCK = 2 ** 22;

/** The last number of the block that a child SA is installed with. */
export const FIRST_BLOCK = SMALLEST_BLOCK;

/** Outbound numbers of a child SA, as the packet path counts them. */
export interface Numbers {
  readonly id: ChildId;
  readonly sequenceOut: number;
  /** Left out by a packet path that has not installed it yet. */
  readonly reservedOut?: number;
}

/** What is to be done about sequence numbers. */
export interface ReservationOrders {
  /** For the packet path: these limits at once. No standby knows of them yet. */
  readonly limit: readonly Reservation[];
  /** For the standby: when it has acknowledged, `acknowledged` follows, and then the packet path may use them. */
  readonly reserve: readonly Reservation[];
}

interface Block {
  /** The limit that the standby has, or gets before anything beyond an earlier one is used. Undefined: none yet. */
  known: number | undefined;
  /** The same as it was asked for last. */
  asked: number;
  /** A limit was ordered where there was none, and has yet to hold. */
  ordered: number | undefined;
  sequence: number;
  at: Millis;
  /** Numbers a second. */
  rate: number;
}

/**
 * Which outbound sequence numbers the standby knows of ahead of their use: a host that takes over begins after them. A
 * further block is asked for when less than half of one is left, so that traffic never waits for it.
 */
export class Reservations {
  readonly #blocks = new Map<ChildId, Block>();

  /** The packet path has installed a child SA with `limit`, which the standby knew before. */
  installed(id: ChildId, limit: number, now: Millis): void {
    this.#blocks.set(id, { ...block(0, now), known: limit, asked: limit });
  }

  /** A look at the counters of all child SAs, some ten times a second; those that are not among them are gone. */
  look(counters: Iterable<Numbers>, now: Millis): ReservationOrders {
    const orders = { limit: [] as Reservation[], reserve: [] as Reservation[] };
    const seen = new Set<ChildId>();
    for (const one of counters) {
      seen.add(one.id);
      const known = this.#blocks.get(one.id) ?? block(one.sequenceOut, now);
      this.#blocks.set(one.id, known);
      measure(known, one.sequenceOut, now);
      if (known.known === undefined) limitFirst(known, one, orders);
      else extend(known, known.known, one, orders);
    }
    for (const id of this.#blocks.keys()) if (!seen.has(id)) this.#blocks.delete(id);
    return orders;
  }

  /** The standby has these reservations. Returns the limits for the packet path. */
  acknowledged(reservations: readonly Reservation[]): Reservation[] {
    return reservations.flatMap(({ id, limit }) => {
      const known = this.#blocks.get(id);
      if (known?.known === undefined || limit < known.known) return [];
      known.known = limit;
      return [{ id, limit }];
    });
  }

  /** Whether the standby knows, or is about to know, how far each of these child SAs may go. */
  covers(ids: Iterable<ChildId>): boolean {
    for (const id of ids) if (this.#blocks.get(id)?.known === undefined) return false;
    return true;
  }

  /** There is no standby any more. Returns the limits for the packet path: none. */
  lost(): Reservation[] {
    const ids = [...this.#blocks.keys()];
    this.#blocks.clear();
    return ids.map((id) => ({ id, limit: LAST_SEQUENCE }));
  }
}

function block(sequence: number, at: Millis): Block {
  return { known: undefined, asked: 0, ordered: undefined, sequence, at, rate: 0 };
}

/** The rate falls by half at most between two looks: traffic comes in bursts. */
function measure(known: Block, sequence: number, now: Millis): void {
  const time = now - known.at;
  if (time <= 0) return;
  known.rate = Math.max((1000 * (sequence - known.sequence)) / time, known.rate / 2);
  known.sequence = sequence;
  known.at = now;
}

/** Numbers that a block has at the present rate. */
function size({ rate }: Block): number {
  const wanted = Math.ceil((rate * BLOCK_TIME) / 1000);
  return Math.min(LARGEST_BLOCK, Math.max(SMALLEST_BLOCK, wanted));
}

/**
 * A child SA that had no limit gets one, which the standby may know of when it holds: the packet path may have gone on
 * beyond it before the order came.
 */
function limitFirst(
  known: Block,
  { id, sequenceOut, reservedOut }: Numbers,
  orders: { readonly limit: Reservation[]; readonly reserve: Reservation[] },
): void {
  const { ordered } = known;
  if (ordered !== undefined && reservedOut !== ordered) return;
  if (ordered !== undefined && sequenceOut <= ordered) {
    known.known = ordered;
    known.asked = ordered;
    orders.reserve.push({ id, limit: ordered });
    return;
  }
  known.ordered = Math.min(LAST_SEQUENCE, sequenceOut + size(known));
  orders.limit.push({ id, limit: known.ordered });
}

function extend(
  known: Block,
  limit: number,
  { id, sequenceOut }: Numbers,
  orders: { readonly reserve: Reservation[] },
): void {
  const more = size(known);
  if (known.asked > limit || limit - sequenceOut >= more / 2) return;
  const next = Math.min(LAST_SEQUENCE, Math.max(limit, sequenceOut) + more);
  if (next <= limit) return;
  known.asked = next;
  orders.reserve.push({ id, limit: next });
}
