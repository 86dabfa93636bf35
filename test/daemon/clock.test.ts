import t from 'tap';
import { datedClock, utcText } from '../../src/daemon/system/clock.js';

t.test('dates follow the clock of the system, durations do not', async (t) => {
  let wall = Date.UTC(2026, 10, 28, 12);
  let monotonic = 5000;
  const clock = datedClock(
    () => wall,
    () => monotonic,
  );
  const pass = (ms: number): void => {
    wall += ms;
    monotonic += ms;
  };
  const established = clock.now();
  t.equal(utcText(clock, established), '2026-11-28T12:00:00.000Z');
  pass(60_000);
  wall += 86_400_000;
  t.equal(utcText(clock, clock.now()), '2026-11-29T12:01:00.000Z', 'set by a day');
  t.equal(utcText(clock, established), '2026-11-29T12:00:00.000Z', 'and what was a minute ago still is');
  t.equal(clock.now() - established, 60_000);
  wall += 3;
  t.equal(
    utcText(clock, established),
    '2026-11-29T12:00:00.000Z',
    'two looks at two clocks differ by a little',
  );
  wall -= 2 * 86_400_000;
  t.equal(utcText(clock, established), '2026-11-27T12:00:00.003Z', 'set back');
});
