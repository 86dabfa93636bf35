import { DROP_REASONS, type DropReason } from '../esp/drops.js';
import type { IkeEvent } from '../ike/events.js';
import type { ChildId, ConnectionId } from '../util/ids.js';
import type { Millis } from '../util/units.js';
import type { Writable } from '../util/writable.js';
import type { EventConsumer } from './projection.js';

/** The counters of one child SA that totals are made of. */
export interface CountedChild {
  readonly id: number;
  readonly packetsIn: number;
  readonly bytesIn: number;
  readonly packetsOut: number;
  readonly bytesOut: number;
  /** Last authentic inbound packet, 0 when there was none. */
  readonly lastInbound: Millis;
  readonly drops: Readonly<Record<DropReason, number>>;
}

/** Traffic of all child SAs together, those included that are gone. */
export interface TrafficTotal {
  bytesIn: number;
  bytesOut: number;
  packetsIn: number;
  packetsOut: number;
  lastInbound: Millis;
  /** In the order of `DROP_REASONS`. */
  readonly drops: Float64Array;
  /** The least of the child SAs that there are; 0 when none is known. */
  innerMtu: number;
}

/**
 * Adds the counters of every installed child SA to the total that `totalOf` gives for it, as they are at this moment.
 * There may be ten thousand: nothing is made for each.
 */
export type ReadCounters = (totalOf: (id: ChildId) => TrafficTotal) => void;

/** What passed in a span of time. */
export interface RecentTraffic {
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly packetsIn: number;
  readonly packetsOut: number;
}

/** The totals of a gateway and of its connections at one moment. */
export interface TotalsNow {
  readonly gateway: TrafficTotal;
  /** Connections without any traffic so far may be left out. */
  readonly connections: ReadonlyMap<ConnectionId, TrafficTotal>;
}

/** Between two marks of what has passed, and how many are kept: the last minute. */
const MARK_MILLIS: Millis = 10_000;
const MARKS = 7;

interface Mark {
  readonly at: Millis;
  readonly passed: ReadonlyMap<ConnectionId, RecentTraffic>;
}

/**
 * Traffic by connection over the lives of its child SAs: what one has counted stays when it is removed, so that no
 * total ever goes back.
 */
export class TrafficTotals implements EventConsumer {
  readonly #owners = new Map<ChildId, ConnectionId>();
  /** Of child SAs that are gone, by connection. */
  readonly #past = new Map<ConnectionId, TrafficTotal>();
  /** The same of all, connections included that are not configured any more. */
  readonly #gateway = noTraffic();
  /** Oldest first. */
  readonly #marks: Mark[] = [];

  on(event: IkeEvent): void {
    if (event.kind === 'child-established') this.#owners.set(event.child.childId, event.connection);
  }

  /** Forgets the connections that are not configured any more. */
  configure(connections: readonly { readonly id: ConnectionId }[]): void {
    const ids = new Set(connections.map(({ id }) => id));
    for (const id of this.#past.keys()) if (!ids.has(id)) this.#past.delete(id);
  }

  /** A child SA is removed from the packet path: its last counters, undefined for one that was never installed. */
  removed(id: ChildId, last: CountedChild | undefined): void {
    const owner = this.#owners.get(id);
    this.#owners.delete(id);
    if (last === undefined) return;
    addCounters(this.#gateway, last);
    if (owner !== undefined) addCounters(totalOf(this.#past, owner), last);
  }

  /** The totals, with the counters of all child SAs that are installed. */
  now(read: ReadCounters): TotalsNow {
    const present = new Map<ConnectionId, TrafficTotal>();
    /** Of child SAs that are installed and not yet reported. */
    const stray = noTraffic();
    read((id) => {
      const owner = this.#owners.get(id);
      return owner === undefined ? stray : totalOf(present, owner);
    });
    const gateway = sumOf([this.#gateway, stray, ...present.values()]);
    for (const [id, past] of this.#past) present.set(id, sumOf([past, totalOf(present, id)]));
    return { gateway, connections: present };
  }

  /** Octets and packets by connection, as `now` has them, without the rest. */
  passed(
    counters: readonly (RecentTraffic & Pick<CountedChild, 'id'>)[],
  ): ReadonlyMap<ConnectionId, RecentTraffic> {
    const passed = new Map<ConnectionId, Writable<RecentTraffic>>();
    for (const [id, past] of this.#past) addPassed(passed, id, past);
    for (const one of counters) {
      const owner = this.#owners.get(one.id);
      if (owner !== undefined) addPassed(passed, owner, one);
    }
    return passed;
  }

  /** Marks what has passed, every ten seconds; call it every second or so with all counters. */
  mark(counters: readonly CountedChild[], now: Millis): void {
    const last = this.#marks.at(-1);
    if (last !== undefined && now - last.at < MARK_MILLIS) return;
    this.#marks.push({ at: now, passed: this.passed(counters) });
    if (this.#marks.length > MARKS) this.#marks.shift();
  }

  /** What passed of a connection in the last minute, give or take ten seconds, or since the start when that is less. */
  lastMinute(connection: ConnectionId, total: RecentTraffic): RecentTraffic {
    // As long as there are fewer marks everything is younger than a minute.
    const before = this.#marks.length < MARKS ? undefined : this.#marks[0]!.passed.get(connection);
    // One that was taken out of the configuration and put back begins at 0 again.
    const since = (field: keyof RecentTraffic): number => Math.max(0, total[field] - (before?.[field] ?? 0));
    return {
      bytesIn: since('bytesIn'),
      bytesOut: since('bytesOut'),
      packetsIn: since('packetsIn'),
      packetsOut: since('packetsOut'),
    };
  }
}

/** Nothing has passed. */
export function noTraffic(): TrafficTotal {
  return {
    ...{ bytesIn: 0, bytesOut: 0, packetsIn: 0, packetsOut: 0, lastInbound: 0, innerMtu: 0 },
    drops: new Float64Array(DROP_REASONS.length),
  };
}

/** All of them together, as a total of its own; the MTU is that of the child SAs that are installed. */
function sumOf(totals: readonly TrafficTotal[]): TrafficTotal {
  const out = noTraffic();
  for (const one of totals) {
    out.bytesIn += one.bytesIn;
    out.bytesOut += one.bytesOut;
    out.packetsIn += one.packetsIn;
    out.packetsOut += one.packetsOut;
    out.lastInbound = Math.max(out.lastInbound, one.lastInbound);
    for (let i = 0; i < out.drops.length; i++) out.drops[i] = out.drops[i]! + one.drops[i]!;
    noteMtu(out, one.innerMtu);
  }
  return out;
}

function totalOf(totals: Map<ConnectionId, TrafficTotal>, id: ConnectionId): TrafficTotal {
  let total = totals.get(id);
  if (total === undefined) {
    total = noTraffic();
    totals.set(id, total);
  }
  return total;
}

function addPassed(
  totals: Map<ConnectionId, Writable<RecentTraffic>>,
  id: ConnectionId,
  { bytesIn, bytesOut, packetsIn, packetsOut }: RecentTraffic,
): void {
  const total = totals.get(id);
  if (total === undefined) {
    totals.set(id, { bytesIn, bytesOut, packetsIn, packetsOut });
    return;
  }
  total.bytesIn += bytesIn;
  total.bytesOut += bytesOut;
  total.packetsIn += packetsIn;
  total.packetsOut += packetsOut;
}

/** Adds the counters of one child SA; its MTU is left to `noteMtu`. */
export function addCounters(total: TrafficTotal, one: CountedChild): void {
  total.bytesIn += one.bytesIn;
  total.bytesOut += one.bytesOut;
  total.packetsIn += one.packetsIn;
  total.packetsOut += one.packetsOut;
  total.lastInbound = Math.max(total.lastInbound, one.lastInbound);
  const { drops } = total;
  for (let i = 0; i < drops.length; i++) drops[i] = drops[i]! + one.drops[DROP_REASONS[i]!];
}

/** The inner MTU of a child SA that is installed; 0 when it is not known. */
export function noteMtu(total: TrafficTotal, innerMtu: number): void {
  if (innerMtu > 0 && (total.innerMtu === 0 || innerMtu < total.innerMtu)) total.innerMtu = innerMtu;
}
