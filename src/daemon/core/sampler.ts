import type { EventConsumer } from '../../connection/projection.js';
import type { ConnectionStatus } from '../../connection/status.js';
import type { RecentTraffic, TrafficTotals } from '../../connection/traffic-totals.js';
import type { IkeEvent } from '../../ike/events.js';
import {
  type HistoryDocument,
  type HistoryPoint,
  type HistoryWish,
  historyPoint,
  stepFor,
} from '../../telemetry/history.js';
import { parseDateTime } from '../../telemetry/rfc3339.js';
import { ConnectionSeries, type Sample } from '../../telemetry/series.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Writable } from '../../util/writable.js';
import { type Clock, sinceBoot } from '../system/clock.js';

/** What the sampler looks at. */
export interface SamplerDeps {
  /** What has passed of each connection. */
  readonly totals: Pick<TrafficTotals, 'passed'>;
  readonly clock: Clock;
  /** Undefined for a connection that is not configured. */
  standing(connection: ConnectionId): ConnectionStatus | undefined;
}

/** Seconds from one look to the next that are a look that came late; more of them are a gap. */
const LATE = 10;
/** The widest step, in milliseconds: all begin where it does. */
const WIDEST = 3_600_000;
/** A difference between two looks at the system's time, in milliseconds, that is no step of it. */
const NO_STEP = 2000;

/** The counters of all child SAs. */
type Counters = Parameters<TrafficTotals['passed']>[0];

/** What is known of a connection. */
interface Sampled {
  /** The second in which it was configured. */
  readonly since: number;
  /** Left out until it is up, has traffic or a round trip for the first time. */
  series?: ConnectionSeries;
  /** Of the child SAs of its whole life, at the last look. */
  passed: RecentTraffic;
  /** Since the last look. */
  readonly sample: Writable<Sample>;
}

/**
 * Keeps the history of every connection: state, throughput and round-trip time, second by second. A look every second
 * takes what has passed since the one before.
 *
 * Seconds are counted on a clock that does not stop in suspend, so that the time a machine slept is a gap. A connection
 * that has never been up costs nothing: the series of one that is down serves for all of them.
 */
export class ConnectionSampler implements EventConsumer {
  readonly #deps: SamplerDeps;
  readonly #sampled = new Map<ConnectionId, Sampled>();
  /** Of a connection that has been down since the beginning. */
  readonly #down = new ConnectionSeries();
  /** Milliseconds since 1970 (UTC) at point 0 of the clock, as it was at the start. */
  readonly #zero: number;
  /** The second up to which everything is sampled. */
  #until: number;

  constructor(deps: SamplerDeps) {
    this.#deps = deps;
    this.#zero = zeroOf(deps.clock);
    this.#until = this.#second();
  }

  /** The connections that are configured now; the others are forgotten. */
  configure(connections: readonly { readonly id: ConnectionId }[]): void {
    const ids = new Set(connections.map(({ id }) => id));
    for (const id of this.#sampled.keys()) if (!ids.has(id)) this.#sampled.delete(id);
    for (const id of ids) {
      if (!this.#sampled.has(id))
        this.#sampled.set(id, { since: this.#second(), passed: NO_TRAFFIC, sample: { ...EMPTY } });
    }
  }

  on(event: IkeEvent): void {
    if (event.kind !== 'round-trip') return;
    const sample = this.#sampled.get(event.connection)?.sample;
    if (sample === undefined) return;
    sample.roundTripSum += event.time;
    sample.roundTrips++;
  }

  /** A look, every second or so. */
  look(counters: Counters): void {
    const to = this.#second();
    // After a gap only the last second is known.
    const from = to - this.#until > LATE ? to - 1 : this.#until;
    this.#count(counters);
    for (const [id, one] of this.#sampled) {
      const { sample } = one;
      sample.state = this.#deps.standing(id) ?? 'down';
      if (one.series === undefined && isNothing(sample)) continue;
      one.series ??= this.#down.copy();
      one.series.cover(from, to, sample);
      Object.assign(sample, EMPTY);
    }
    this.#down.cover(from, to, EMPTY);
    this.#until = to;
  }

  /** The history of a connection; undefined when it is not configured. `name`: as people call it. */
  history(id: ConnectionId, name: string, wish: HistoryWish): HistoryDocument | undefined {
    const one = this.#sampled.get(id);
    if (one === undefined) return undefined;
    const offset = this.#offset();
    const begin = wish.from === undefined ? undefined : parseDateTime(wish.from);
    const from = begin === undefined ? undefined : Math.floor((begin - offset) / 1000);
    const step = stepFor(wish.step, from === undefined ? undefined : this.#until - from);
    const toUtc = (second: number): string => new Date(offset + second * 1000).toISOString();
    const all = (one.series ?? this.#down).points(step, Math.max(0, from ?? 0), this.#until);
    const points = all.map((point): HistoryPoint => {
      // Before it was configured nothing was measured, although others were.
      const known = Math.min(point.seconds, Math.max(0, point.at + step - one.since));
      return historyPoint({ ...point, seconds: known }, toUtc);
    });
    return { name, since: toUtc(one.since), step, points };
  }

  /** Takes what has passed of each connection since the last look. */
  #count(counters: Counters): void {
    for (const [id, passed] of this.#deps.totals.passed(counters)) {
      const one = this.#sampled.get(id);
      if (one === undefined) continue;
      const { sample, passed: before } = one;
      sample.bytesIn += passed.bytesIn - before.bytesIn;
      sample.bytesOut += passed.bytesOut - before.bytesOut;
      sample.packetsIn += passed.packetsIn - before.packetsIn;
      sample.packetsOut += passed.packetsOut - before.packetsOut;
      one.passed = passed;
    }
  }

  /** Whole seconds since an hour of UTC, so that steps begin with minutes and hours. */
  #second(): number {
    return Math.floor((sinceBoot(this.#deps.clock) + this.#shift()) / 1000);
  }

  #shift(): number {
    return this.#zero % WIDEST;
  }

  /** Milliseconds since 1970 at second 0. It moves with the system's time when that is set. */
  #offset(): number {
    const zero = zeroOf(this.#deps.clock);
    return Math.round((Math.abs(zero - this.#zero) < NO_STEP ? this.#zero : zero) - this.#shift());
  }
}

const NO_TRAFFIC = { bytesIn: 0, bytesOut: 0, packetsIn: 0, packetsOut: 0 } as const;
const EMPTY: Sample = { state: 'down', roundTripSum: 0, roundTrips: 0, ...NO_TRAFFIC };

function isNothing({ state, bytesIn, bytesOut, packetsIn, packetsOut, roundTrips }: Sample): boolean {
  return state === 'down' && bytesIn + bytesOut + packetsIn + packetsOut + roundTrips === 0;
}

/** Milliseconds since 1970 (UTC) at point 0 of the clock that also counts suspended time. */
function zeroOf(clock: Clock): number {
  return clock.epoch + clock.now() - sinceBoot(clock);
}
