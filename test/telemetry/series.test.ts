import fc from 'fast-check';
import t from 'tap';
import { ConnectionSeries, RESOLUTIONS, type Sample } from '../../src/telemetry/series.js';

const HOUR = 3600;
const START = 100 * HOUR;
const NOTHING: Sample = {
  ...{ state: 'down', bytesIn: 0, bytesOut: 0, packetsIn: 0, packetsOut: 0 },
  roundTripSum: 0,
  roundTrips: 0,
};
const sample = (over: Partial<Sample>): Sample => ({ ...NOTHING, ...over });

t.test('amounts add up, seconds are counted, and round trips are averaged within a step', async (t) => {
  const series = new ConnectionSeries();
  series.cover(START, START + 1, sample({ state: 'up', bytesIn: 100, roundTripSum: 30, roundTrips: 2 }));
  series.cover(START + 1, START + 2, sample({ bytesIn: 50, packetsOut: 3 }));
  series.cover(START + 2, START + 3, sample({ state: 'degraded', roundTripSum: 30, roundTrips: 1 }));
  const up = { seconds: 1, up: 1, degraded: 0 };
  t.match(series.points(1, START, START + 3), [
    { at: START, ...up, bytesIn: 100, roundTrip: 15 },
    { at: START + 1, ...up, up: 0, bytesIn: 50, packetsOut: 3, roundTrip: undefined },
    { at: START + 2, ...up, up: 0, degraded: 1, bytesIn: 0, roundTrip: 30 },
  ]);
  t.same(series.points(60, START, START + 3), [
    {
      ...{ at: START, seconds: 3, up: 1, degraded: 1, bytesIn: 150, bytesOut: 0 },
      ...{ packetsIn: 0, packetsOut: 3, roundTrip: 20 },
    },
  ]);
});

t.test(
  'a look that came late is spread over its seconds, and nothing of it is lost by rounding',
  async (t) => {
    const series = new ConnectionSeries();
    series.cover(START + 58, START + 61, sample({ state: 'up', packetsIn: 10 }));
    t.same(
      series.points(1, START + 58, START + 61).map(({ packetsIn }) => packetsIn),
      [3, 4, 3],
    );
    t.match(series.points(60, START, START + 61), [
      { seconds: 2, up: 2, packetsIn: 7 },
      { seconds: 1, up: 1, packetsIn: 3 },
    ]);
    series.cover(START + 61, START + 61, sample({ packetsIn: 1 }));
    series.cover(START + 61, START + 62, sample({ packetsIn: 1 }));
    t.match(
      series.points(1, START + 61, START + 62),
      [{ seconds: 1, packetsIn: 2 }],
      'two looks in one second',
    );
  },
);

t.test('a gap is empty, not a repetition of what was there a round ago', async (t) => {
  for (const [ring, { step, points }] of RESOLUTIONS.entries()) {
    const series = new ConnectionSeries();
    const cover = (n: number): void =>
      series.cover(START + n * step, START + (n + 1) * step, sample({ state: 'up', packetsOut: step }));
    for (let n = 0; n < points; n++) cover(n);
    cover(points + 10);
    const found = series.points(step, 0, START + (points + 11) * step);
    t.equal(found.length, points, 'no more than are kept');
    t.equal(found[0]!.at, START + 11 * step);
    const gap = found.slice(-11, -1);
    t.same(
      gap.map(({ seconds, up, packetsOut }) => seconds + up + packetsOut),
      Array(10).fill(0),
      `${RESOLUTIONS[ring]!.step} s`,
    );
    t.ok(found.slice(0, -11).every(({ packetsOut }) => packetsOut === step));
    t.match(found.at(-1), { seconds: step, packetsOut: step });
  }
});

t.test('bounds: the step that `from` is in comes first, and `to` is out', async (t) => {
  const series = new ConnectionSeries();
  t.same(
    series.points(60, START, START + 120).map(({ at, seconds }) => [at, seconds]),
    [
      [START, 0],
      [START + 60, 0],
    ],
    'before the first sample nothing is known',
  );
  for (let n = 0; n < 300; n++) series.cover(START + n, START + n + 1, sample({ packetsIn: 1 }));
  const at = (from: number, to: number) =>
    series.points(60, from, to).map((point) => (point.at - START) / 60);
  t.same(at(START + 90, START + 240), [1, 2, 3]);
  t.same(at(START + 60, START + 241), [1, 2, 3, 4]);
  t.same(at(START + 120, START + 120), []);
  t.same(at(START + 400, START + 300), []);
});

t.test('a copy goes on by itself', async (t) => {
  const series = new ConnectionSeries();
  series.cover(START, START + 1, sample({ state: 'up', bytesIn: 7 }));
  const copy = series.copy();
  series.cover(START + 1, START + 2, sample({ bytesIn: 1 }));
  copy.cover(START + 1, START + 2, sample({ bytesIn: 2 }));
  const bytes = (of: ConnectionSeries) => of.points(1, START, START + 2).map(({ bytesIn }) => bytesIn);
  t.same(
    [bytes(series), bytes(copy)],
    [
      [7, 1],
      [7, 2],
    ],
  );
});

t.test('whatever the pauses, every width tells the same sums as long as nothing has aged out', async () => {
  const look = fc.record({
    pause: fc.integer({ min: 0, max: 10 }),
    bytesOut: fc.integer({ min: 0, max: 1_000_000 }),
    state: fc.constantFrom<Sample['state']>('up', 'degraded', 'down'),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: HOUR }),
      fc.array(look, { minLength: 1, maxLength: 10 }),
      (begin, looks) => {
        const series = new ConnectionSeries();
        let at = START + begin;
        let [bytes, up, degraded, known] = [0, 0, 0, 0];
        for (const { pause, bytesOut, state } of looks) {
          series.cover(at, at + pause, sample({ bytesOut, state }));
          at += pause;
          bytes += bytesOut;
          known += pause;
          if (state === 'up') up += pause;
          if (state === 'degraded') degraded += pause;
        }
        series.cover(at, at + 1, NOTHING);
        return RESOLUTIONS.every(({ step }) => {
          const points = series.points(step, START, at + 1);
          const sum = (of: (point: (typeof points)[number]) => number): number =>
            points.reduce((total, point) => total + of(point), 0);
          return (
            sum((one) => one.bytesOut) === bytes &&
            sum((one) => one.up) === up &&
            sum((one) => one.degraded) === degraded &&
            sum((one) => one.seconds) === known + 1
          );
        });
      },
    ),
  );
});

t.test('what a connection costs is what is said of it', async (t) => {
  const before = process.memoryUsage().arrayBuffers;
  const many = Array.from({ length: 100 }, () => new ConnectionSeries());
  const each = (process.memoryUsage().arrayBuffers - before) / many.length;
  t.ok(each > 0 && each < 10_600, `${each} octets`);
});
