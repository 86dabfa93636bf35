import t from 'tap';
import type { ConnectionStatus } from '../../src/connection/status.js';
import { type CountedChild, TrafficTotals } from '../../src/connection/traffic-totals.js';
import { ConnectionSampler } from '../../src/daemon/core/sampler.js';
import { DROP_REASONS } from '../../src/esp/drops.js';
import type { IkeEvent } from '../../src/ike/events.js';
import type { HistoryWish } from '../../src/telemetry/history.js';
import { childInfo, ikeInfo } from '../connection/samples.js';

/** A whole hour of UTC, as the system's time is at point 0 of the clock. */
const EPOCH = Date.UTC(2026, 10, 30, 12);

const NO_DROPS = Object.fromEntries(DROP_REASONS.map((reason) => [reason, 0])) as CountedChild['drops'];

/** A sampler with its totals, fed as the event bus does, on a clock that is moved by hand. */
class Bench {
  readonly totals = new TrafficTotals();
  readonly clock = { time: 0, slept: 0, epoch: EPOCH };
  readonly states = new Map<string, ConnectionStatus>();
  readonly counters = new Map<number, CountedChild>();
  readonly sampler: ConnectionSampler;

  constructor(...connections: string[]) {
    const { clock } = this;
    this.sampler = new ConnectionSampler({
      totals: this.totals,
      clock: {
        now: () => clock.time,
        get epoch() {
          return clock.epoch;
        },
        sinceBoot: () => clock.time + clock.slept,
      },
      standing: (connection) => this.states.get(connection),
    });
    this.configure(...connections);
  }

  configure(...connections: string[]): void {
    const configured = connections.map((id) => ({ id }));
    this.totals.configure(configured);
    this.sampler.configure(configured);
  }

  feed(event: IkeEvent): void {
    this.totals.on(event);
    this.sampler.on(event);
  }

  up(connection: string, childId: number): void {
    this.feed({ kind: 'ike-established', connection, ike: ikeInfo(childId) });
    this.feed({ kind: 'child-established', connection, child: childInfo(childId, childId) });
    this.states.set(connection, 'up');
  }

  passed(id: number, bytesIn: number, packetsOut: number): void {
    this.counters.set(id, {
      ...{ id, packetsIn: 1, bytesIn, packetsOut, bytesOut: packetsOut * 100 },
      ...{ lastInbound: 0, drops: NO_DROPS },
    });
  }

  /** The packet path removes a child SA. */
  removed(id: number): void {
    this.totals.removed(id, this.counters.get(id));
    this.counters.delete(id);
  }

  /** `seconds` later, looked at `times`, evenly. */
  later(seconds: number, times = seconds): void {
    for (let n = 0; n < times; n++) {
      this.clock.time += (seconds * 1000) / times;
      this.sampler.look([...this.counters.values()]);
    }
  }

  history(connection: string, wish: HistoryWish = {}) {
    const found = this.sampler.history(connection, connection, wish);
    if (found === undefined) throw new Error(`there is no history of ${connection}`);
    return found;
  }
}

t.test('what passes in a second is in its second, with state and round trip', async (t) => {
  const bench = new Bench('a', 'b');
  bench.later(2);
  bench.up('a', 1);
  bench.passed(1, 500, 2);
  bench.feed({ kind: 'round-trip', connection: 'a', ikeId: 1, exchange: 'INFORMATIONAL', time: 10 });
  bench.feed({ kind: 'round-trip', connection: 'a', ikeId: 1, exchange: 'INFORMATIONAL', time: 21 });
  bench.later(1);
  bench.states.set('a', 'degraded');
  bench.passed(1, 800, 5);
  bench.later(1);
  const { name, since, step, points } = bench.history('a', { step: 1, from: '2026-11-30T12:00:00Z' });
  t.same([name, since, step], ['a', '2026-11-30T12:00:00.000Z', 1]);
  const none = { bytes_in: 0, bytes_out: 0, packets_in: 0, packets_out: 0, round_trip_ms: null };
  t.same(points, [
    { at: '2026-11-30T12:00:00.000Z', seconds: 1, up_seconds: 0, degraded_seconds: 0, ...none },
    { at: '2026-11-30T12:00:01.000Z', seconds: 1, up_seconds: 0, degraded_seconds: 0, ...none },
    {
      ...{ at: '2026-11-30T12:00:02.000Z', seconds: 1, up_seconds: 1, degraded_seconds: 0 },
      ...{ bytes_in: 500, bytes_out: 200, packets_in: 1, packets_out: 2, round_trip_ms: 15.5 },
    },
    {
      ...{ at: '2026-11-30T12:00:03.000Z', seconds: 1, up_seconds: 0, degraded_seconds: 1 },
      ...{ bytes_in: 300, bytes_out: 300, packets_in: 0, packets_out: 3, round_trip_ms: null },
    },
  ]);
  t.match(bench.history('b', { step: 1 }).points.slice(-4), [none, none, none, none], 'not of another one');
  t.equal(bench.sampler.history('nobody', 'nobody', {}), undefined);
});

t.test('no packet is lost at a rekey, or between the last look and a removal', async (t) => {
  const bench = new Bench('a');
  bench.up('a', 1);
  bench.passed(1, 100, 1);
  bench.later(1);
  bench.feed({ kind: 'child-established', connection: 'a', child: childInfo(2, 1, { replaces: 1 }) });
  bench.feed({ kind: 'child-closed', connection: 'a', childId: 1, reason: 'rekeyed' });
  bench.passed(1, 150, 1);
  bench.passed(2, 30, 1);
  bench.later(1);
  bench.passed(1, 155, 1);
  bench.removed(1);
  bench.passed(2, 31, 1);
  bench.later(1);
  t.same(
    bench
      .history('a', { step: 1 })
      .points.slice(-3)
      .map(({ bytes_in }) => bytes_in),
    [100, 80, 6],
  );
});

t.test('looks that drift leave no hole, and many of them in a second add up', async (t) => {
  const bench = new Bench('a');
  bench.up('a', 1);
  bench.clock.time = 990;
  for (let n = 1; n <= 50; n++) {
    bench.passed(1, n * 1000, 0);
    bench.later(1.003, 1);
  }
  const seconds = bench.history('a', { step: 1 }).points;
  t.equal(seconds.length, 51);
  t.ok(seconds.every((point) => point.seconds === 1));
  t.equal(
    seconds.reduce((sum, { bytes_in }) => sum + bytes_in!, 0),
    50_000,
  );
});

t.test(
  'time in which nothing ran is a gap, asleep or not; steps begin with the minutes of UTC',
  async (t) => {
    const bench = new Bench('a', 'b');
    bench.up('a', 1);
    bench.later(30);
    bench.clock.slept += 120_000;
    bench.later(60);
    // After a suspend the system's time has gone on, and the clock has not.
    bench.clock.epoch += 120_000;
    for (const connection of ['a', 'b']) {
      const { points } = bench.history(connection, { step: 60, from: '2026-11-30T12:00:00Z' });
      t.same(
        points.map(({ at, seconds, up_seconds }) => [at.slice(11, 19), seconds, up_seconds !== null]),
        [
          ['12:00:00', 30, true],
          ['12:01:00', 0, false],
          ['12:02:00', 30, true],
          ['12:03:00', 30, true],
        ],
        connection,
      );
      t.same(
        [points[1]!.bytes_in, points[1]!.packets_out, points[1]!.round_trip_ms],
        [null, null, null],
        'null, not zero',
      );
    }
  },
);

t.test('a history begins when its connection does, and anew when that was away', async (t) => {
  const bench = new Bench('a');
  bench.later(90);
  bench.configure('a', 'b');
  bench.later(30);
  const { since, points } = bench.history('b', { step: 60, from: '2026-11-30T12:00:00Z' });
  t.equal(since, '2026-11-30T12:01:30.000Z');
  t.same(
    points.map(({ seconds }) => seconds),
    [0, 30],
  );
  t.equal(points[0]!.up_seconds, null);
  bench.up('b', 1);
  bench.later(30);
  t.match(bench.history('b', { step: 60 }).points.slice(-2), [
    { seconds: 30, up_seconds: 0 },
    { seconds: 30, up_seconds: 30 },
  ]);
  bench.configure('a');
  t.equal(bench.sampler.history('b', 'b', {}), undefined);
  bench.configure('a', 'b');
  t.equal(bench.history('b').since, '2026-11-30T12:02:30.000Z');
});

t.test('the width of the steps: as asked for, else the finest that reaches back far enough', async (t) => {
  const bench = new Bench('a');
  bench.up('a', 1);
  bench.later(2 * 86_400, 2 * 86_400);
  const ago = (seconds: number): string => new Date(EPOCH + bench.clock.time - seconds * 1000).toISOString();
  const widths = (wish: HistoryWish) => {
    const { step, points } = bench.history('a', wish);
    return [step, points.length];
  };
  t.same(widths({ from: ago(100) }), [1, 100]);
  t.same(widths({ from: ago(600) }), [60, 10]);
  t.same(widths({ from: ago(86_400) }), [3600, 24]);
  t.same(widths({ from: '1970-01-01T00:00:00Z' }), [3600, 48], 'as far back as there is anything');
  t.same(widths({}), [60, 180]);
  t.same(widths({ step: 1 }), [1, 120]);
  t.same(widths({ step: 3600, from: ago(1) }), [3600, 1], 'the step that it is in');
  t.same(widths({ step: 1, from: ago(-3600) }), [1, 0], 'nothing yet');
});
