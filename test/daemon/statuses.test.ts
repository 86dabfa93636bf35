import t from 'tap';
import { ConnectionNames } from '../../src/connection/connection-names.js';
import type { ConnectionProblem } from '../../src/connection/document.js';
import type { ConnectionView } from '../../src/connection/reconcile-types.js';
import { Statuses } from '../../src/daemon/core/statuses.js';
import type { ChildCounters } from '../../src/dataplane/dataplane.js';
import type { GatewayConnection } from '../../src/store/model.js';
import { createLogger } from '../../src/telemetry/log.js';
import { FedTracker } from '../connection/fed.js';
import { comesUp, connection } from '../connection/samples.js';

const countersOf = (id: number, packetsIn: number): ChildCounters =>
  ({
    ...{
      id,
      packetsIn,
      bytesIn: 100 * packetsIn,
      packetsOut: 0,
      bytesOut: 0,
      lastInbound: 0,
      sequenceOut: 0,
    },
    drops: { replay: id },
  }) as unknown as ChildCounters;

/** The statuses of connections `b` and `c`, both up, by child SAs 2 and 3. */
function setUp() {
  const lines: string[] = [];
  const asked: (number | 'all')[] = [];
  const counters = new Map([countersOf(2, 7), countersOf(3, 9)].map((one) => [one.id, one]));
  const clock = { at: 5000, now: () => clock.at, epoch: Date.parse('2026-01-01T00:00:00Z') };
  const tracker = new FedTracker((at) => new Date(clock.epoch + at).toISOString());
  tracker.configure(
    ['b', 'c'].map((id) => ({ config: connection(id, { name: `${id}-name` }), peer: '192.0.2.2' })),
  );
  for (const [id, sa] of [['b', 2] as const, ['c', 3] as const])
    for (const event of comesUp(id, sa)) tracker.handle(event, 1000);
  const names = new ConnectionNames();
  names.configure(['b', 'c'].map((id) => ({ id, name: `${id}-name` })));
  const stopped = new Set<string>();
  const views = new Map<string, ConnectionView>();
  const statuses = new Statuses({
    ...{ tracker, names, clock },
    config: {
      connections: ['b', 'c'].map((id) => ({ id }) as GatewayConnection),
      isStopped: (id) => stopped.has(id),
    },
    reconciler: { view: (id) => views.get(id) },
    devices: { nameOf: (id) => (id === 'c' ? 'culvert7' : undefined) },
    counters: () => {
      asked.push('all');
      return [...counters.values()];
    },
    countersOf: (id) => {
      asked.push(id);
      return counters.get(id);
    },
    logger: createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } }),
  });
  return { statuses, lines, asked, clock, stopped, views, tracker };
}

t.test('all connections in the order of the configuration, each with its traffic', async (t) => {
  const { statuses } = setUp();
  t.match(statuses.all(), [
    { name: 'b-name', status: 'up', children: [{ packets_in: 7 }], drops: { replay: 2 } },
    { name: 'c-name', status: 'up', children: [{ packets_in: 9 }], drops: { replay: 3 } },
  ]);
});

t.test('one connection costs the counters of its own child SAs only', async (t) => {
  const { statuses, asked } = setUp();
  const all = statuses.all();
  asked.length = 0;
  t.same(statuses.of('c'), all[1], 'the same as among all');
  t.same(asked, [3]);
  t.equal(statuses.of('none'), undefined);
  t.equal(statuses.explain('none'), undefined);
  t.same(asked, [3], 'there is nothing to read for a connection that is not there');
});

t.test('what operator, reconciler and host add is that of the moment', async (t) => {
  const { statuses, stopped, views } = setUp();
  t.notOk('activity' in statuses.of('c')!, 'the reconciler does not know it');
  views.set('c', { state: 'due', failures: 3, nextAttemptAt: 61_000, renewing: false });
  t.match(statuses.of('c'), {
    activity: 'due',
    failed_attempts: 3,
    next_attempt_at: '2026-01-01T00:01:01.000Z',
    interface: 'culvert7',
  });
  t.notOk('interface' in statuses.of('b')!);
  stopped.add('c');
  t.match(statuses.of('c')?.advisories, [{ code: 'stopped_by_operator' }]);
  t.same(statuses.of('b')?.advisories, []);
});

t.test('what the host lacks makes a tunnel degraded until it is mended, which is logged once', async (t) => {
  const { statuses, lines } = setUp();
  const problem: ConnectionProblem = {
    cause: 'local_route_conflict',
    message: 'another route is in the way',
  };
  statuses.setProblems(
    new Map([
      ['b', [problem]],
      ['c', [problem]],
    ]),
  );
  t.match(statuses.of('c'), {
    status: 'degraded',
    status_reasons: [{ message: /^Another route is in the way\./ }],
  });
  t.same(lines, [], 'what is in the way is told by who found it');
  statuses.setProblems(new Map([['b', [problem]]]));
  t.equal(statuses.of('c')?.status, 'up');
  t.equal(statuses.of('b')?.status, 'degraded');
  t.equal(lines.length, 1);
  t.match(JSON.parse(lines[0]!), { connection: 'c-name' });
});

t.test('an explanation has the status, the evidence and its times on the calendar', async (t) => {
  const { statuses, tracker, clock } = setUp();
  tracker.handle({ kind: 'child-closed', connection: 'c', childId: 3, reason: 'peer-dead' }, 4000);
  tracker.handle({ kind: 'ike-closed', connection: 'c', ikeId: 3, reason: 'peer-dead' }, 4000);
  const explanation = statuses.explain('c');
  t.match(explanation, { name: 'c-name', status: 'down' });
  t.same(explanation?.connection, statuses.of('c'));
  t.ok(explanation!.timeline.length > 0);
  t.match(JSON.stringify(explanation?.timeline), new Date(clock.epoch + 4000).toISOString());
});
