import { setImmediate as nextTurn } from 'node:timers/promises';
import t from 'tap';
import { SaLedger } from '../../src/connection/ledger.js';
import { ReconcilerDriver } from '../../src/daemon/core/reconciler-driver.js';
import type { CloseReason, IkeEvent } from '../../src/ike/events.js';
import { comesUp, connection, constantRandom } from '../connection/samples.js';

/** A driver with a ledger, a clock and host names in the hands of the test, and what it ordered, one line each. */
function setUp(hostNames: readonly string[] = []) {
  const ledger = new SaLedger();
  const orders: string[] = [];
  const lookups: ((problem?: string) => void)[] = [];
  const clock = { at: 0, now: () => clock.at };
  const write =
    (word: string) =>
    (...about: readonly (string | boolean)[]): void => {
      orders.push([word, ...about].join(' '));
    };
  const driver = new ReconcilerDriver({
    random: constantRandom(0xff),
    ledger,
    clock,
    peerNames: {
      has: (id) => hostNames.includes(id),
      refresh: () => new Promise((resolve) => lookups.push(resolve)),
    },
    orders: {
      initiate: write('initiate'),
      renew: write('renew'),
      terminate: write('terminate'),
      setStopped: write('stopped'),
      unresolved: write('unresolved'),
      done: write('done'),
    },
  });
  return {
    driver,
    clock,
    lookups,
    /** What was ordered since the last time. */
    take: () => orders.splice(0),
    /** The events of one step, as the event bus brings them. */
    step(...events: readonly IkeEvent[]): void {
      for (const event of events) driver.on(event, clock.at, ledger.apply(event));
      driver.act();
    },
    configure: () => driver.handle({ kind: 'configure', connections: [connection('c')] }),
  };
}

const gone = (reason: CloseReason): IkeEvent[] => [
  { kind: 'child-closed', connection: 'c', childId: 1, reason },
  { kind: 'ike-closed', connection: 'c', ikeId: 1, reason },
];

t.test('commands become orders, and their end is told once for each input', async (t) => {
  const it = setUp();
  it.configure();
  t.same(it.take(), ['initiate c', 'done']);
  it.step(...comesUp('c'));
  t.same(it.take(), ['done'], 'a step without a command');
  t.equal(it.driver.view('c')?.state, 'up');
  it.driver.handle({ kind: 'renew', connection: 'c' });
  t.same(it.take(), ['renew c', 'done'], 'beside the SAs that are established');
  it.driver.handle({ kind: 'down', connection: 'c' });
  const down = it.take();
  t.same(down.toSorted(), ['done', 'stopped c true', 'terminate c']);
  t.equal(down.at(-1), 'done', 'the end comes last');
  it.step(...gone('terminated'));
  it.take();
  it.clock.at = 1000;
  it.driver.handle({ kind: 'up', connection: 'c' });
  t.same(it.take(), ['stopped c false', 'initiate c', 'done'], 'the peer is admitted before it is called');
});

t.test('nothing is concluded before the step is over', async (t) => {
  const it = setUp();
  it.configure();
  it.step(...comesUp('c'));
  it.take();
  const ledger = new SaLedger();
  for (const event of comesUp('c')) ledger.apply(event);
  for (const event of gone('peer-dead')) it.driver.on(event, 0, ledger.apply(event));
  t.same(it.take(), []);
  t.equal(it.driver.view('c')?.state, 'up');
});

t.test('after a loss its deadline is that of the next attempt, which waking makes', async (t) => {
  const it = setUp();
  it.configure();
  it.step(...comesUp('c'));
  it.clock.at = 60_000;
  it.step(...gone('peer-deleted'));
  it.take();
  const due = it.driver.nextDeadline();
  t.ok(due !== undefined && due > 60_000, String(due));
  it.driver.wake();
  t.same(it.take(), ['done'], 'too early');
  it.clock.at = due!;
  it.driver.wake();
  t.same(it.take(), ['initiate c', 'done']);
});

t.test('an attempt waits until the host name of the peer is resolved', async (t) => {
  const it = setUp(['c']);
  it.configure();
  t.same(it.take(), ['done']);
  t.equal(it.lookups.length, 1);
  it.lookups[0]!();
  await nextTurn();
  t.same(it.take(), ['initiate c']);
  it.step(...comesUp('c'));
  it.driver.handle({ kind: 'renew', connection: 'c' });
  t.same(it.take(), ['done', 'done'], 'a renewal waits likewise');
  it.lookups[1]!();
  await nextTurn();
  t.same(it.take(), ['renew c']);
});

t.test('a name that cannot be resolved is an attempt that failed, with the reason', async (t) => {
  const it = setUp(['c']);
  it.configure();
  it.take();
  it.lookups[0]!('ENOTFOUND');
  await nextTurn();
  t.same(it.take(), ['unresolved c ENOTFOUND']);
});

t.test('what has changed while a name was looked up is not undone by the answer', async (t) => {
  const it = setUp(['c']);
  it.configure();
  it.driver.handle({ kind: 'down', connection: 'c' });
  it.take();
  it.lookups[0]!();
  await nextTurn();
  t.same(it.take(), [], 'an operator took it down');
  it.clock.at = 1000;
  it.driver.handle({ kind: 'up', connection: 'c' });
  it.take();
  it.driver.end();
  it.lookups[1]!();
  await nextTurn();
  t.same(it.take(), [], 'everything is being deleted');
});

t.test(
  'after the end there are no orders, no deadline, and no conclusions from what is deleted',
  async (t) => {
    const it = setUp();
    it.configure();
    it.step(...comesUp('c'));
    it.take();
    t.notOk(it.driver.ended);
    it.driver.end();
    t.ok(it.driver.ended);
    it.step(...gone('terminated'));
    it.driver.handle({ kind: 'up', connection: 'c' });
    it.driver.wake();
    t.same(it.take(), []);
    t.equal(it.driver.nextDeadline(), undefined);
    t.equal(it.driver.view('c')?.state, 'up', 'as it was');
  },
);
