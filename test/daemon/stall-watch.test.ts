import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { STALL_PACE, StallWatch } from '../../src/daemon/serve/stall-watch.js';
import { StallWatches } from '../../src/daemon/serve/stall-watches.js';

/** A watch over a process that answers when the test says so. */
function watched() {
  let now = 0;
  let answers = true;
  let isNeeded = true;
  let asked = 0;
  const open: (() => void)[] = [];
  const changes: boolean[] = [];
  const watch: StallWatch = new StallWatch(
    {
      ask: () => {
        asked++;
        return new Promise<void>((resolve) => (answers ? resolve() : open.push(resolve)));
      },
      isNeeded: () => isNeeded,
      changed: () => changes.push(watch.isStalled),
    },
    { now: () => now, wall: () => now },
  );
  return {
    changes,
    asked: () => asked,
    need: (needed: boolean) => {
      isNeeded = needed;
    },
    freeze: () => {
      answers = false;
    },
    thaw: () => {
      answers = true;
      for (const resolve of open.splice(0)) resolve();
    },
    /** So many milliseconds pass. */
    pass: async (ms: number) => {
      for (const end = now + ms; now < end; ) {
        now += STALL_PACE.beat;
        watch.beat();
        await turn();
      }
    },
  };
}

t.test('a member that froze stalls before half a second is over, and not while it answers', async (t) => {
  const { changes, freeze, thaw, pass } = watched();
  await pass(10_000);
  t.same(changes, []);
  freeze();
  await pass(200);
  t.same(changes, [], 'it may be busy');
  await pass(200);
  t.same(changes, [true]);
  await pass(1000);
  t.same(changes, [true], 'reported once');
  thaw();
  await pass(100);
  t.same(changes, [true, false], 'back with its next answer');
});

t.test('after a long stall its tunnels are in doubt until dead peer detection has looked', async (t) => {
  const { changes, freeze, thaw, pass } = watched();
  await pass(100);
  freeze();
  await pass(STALL_PACE.long + 500);
  thaw();
  await pass(STALL_PACE.doubt - 500);
  t.same(changes, [true], 'it answers, and carries nothing yet');
  freeze();
  await pass(500);
  thaw();
  await pass(STALL_PACE.doubt - 500);
  t.same(changes, [true], 'silent again: the doubt begins again');
  await pass(1000);
  t.same(changes, [true, false]);
});

t.test('a process is asked only while a route depends on it', async (t) => {
  const { changes, asked, need, freeze, thaw, pass } = watched();
  need(false);
  await pass(5000);
  t.equal(asked(), 0);
  need(true);
  freeze();
  await pass(1000);
  t.same(changes, [true]);
  t.equal(asked(), 1, 'no second question before the first is answered');
  need(false);
  await pass(100);
  t.same(changes, [true, false]);
  thaw();
  need(true);
  await pass(5000);
  t.same(changes, [true, false]);
});

t.test('many members take turns', async (t) => {
  const asked = new Map<number, number>();
  const watches = new StallWatches({ isNeeded: (gateway) => gateway !== 'idle', changed: () => undefined });
  t.teardown(() => watches.end());
  const memberOf = (n: number) => ({
    state: 'running' as const,
    ask: async () => {
      asked.set(n, (asked.get(n) ?? 0) + 1);
      return undefined;
    },
  });
  const members = (from: number, count: number) =>
    Array.from({ length: count }, (_, n) => memberOf(from + n));
  watches.watch('idle', members(1000, 2));
  for (let n = 0; n < 250; n++) watches.watch(`g${n}`, members(2 * n, 2));
  const total = () => [...asked.values()].reduce((sum, one) => sum + one, 0);
  for (const wanted of [200, 400, 600]) {
    watches.beat();
    await turn();
    t.equal(total(), wanted);
  }
  t.equal(asked.size, 500, 'all of those that are needed, after three beats');
  t.same(watches.of('g0'), [false, false]);
  watches.forget('g0');
  t.same(watches.of('g0'), []);
});
