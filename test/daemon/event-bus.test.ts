import t from 'tap';
import { EstablishedIkes } from '../../src/daemon/core/established-ikes.js';
import { EventBus } from '../../src/daemon/core/event-bus.js';
import { TrafficReports } from '../../src/daemon/core/traffic-reports.js';
import type { ChildCounters } from '../../src/dataplane/dataplane.js';
import type { Input } from '../../src/ike/inputs.js';
import { comesUp, ikeInfo } from '../connection/samples.js';

t.test(
  'state before records, event by event; then the actors with the whole step; then who waits',
  async (t) => {
    const order: string[] = [];
    const consumer = (name: string) => ({
      handle: (event: { kind: string }, now: number) => void order.push(`${name} ${event.kind} at ${now}`),
    });
    const bus = new EventBus({
      state: [consumer('sas'), consumer('keepalives')],
      records: [consumer('status'), consumer('log')],
      actors: [(events) => void order.push(`reconciler ${events.length}`)],
      settled: [() => void order.push('watchers')],
    });
    const [first, second] = comesUp('c');
    bus.publish([first!, second!], 5);
    const each = (kind: string): string[] =>
      ['sas', 'keepalives', 'status', 'log'].map((name) => `${name} ${kind} at 5`);
    t.same(order, [...each(first!.kind), ...each(second!.kind), 'reconciler 2', 'watchers']);
    order.length = 0;
    bus.publish([], 6);
    t.same(order, ['watchers'], 'a step without events may still have changed a status');
  },
);

t.test('which IKE SAs are established, and where their peers are', async (t) => {
  const ikes = new EstablishedIkes();
  ikes.handle({ kind: 'ike-established', connection: 'c', ike: ikeInfo(1) });
  ikes.handle({ kind: 'ike-established', connection: 'd', ike: ikeInfo(2) });
  const to = { address: '198.51.100.3', port: 61_000 };
  ikes.handle({ kind: 'peer-moved', connection: 'c', ikeId: 1, from: ikeInfo(1).peer, to });
  t.match(ikes.of('c'), [{ ikeId: 1, peer: to }]);
  t.same(ikes.of('e'), []);
  ikes.handle({ kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'terminated' });
  t.same(ikes.of('c'), []);
  t.equal(ikes.size, 1);
});

t.test(
  'the engine learns of inbound traffic and of volume by steps, of child SAs that are there',
  async (t) => {
    const reports = new TrafficReports();
    const inputs: Input[] = [];
    const look = (over: Partial<ChildCounters>): Input[] => {
      const counters = {
        ...{ id: 1, packetsIn: 0, bytesIn: 0, packetsOut: 0, bytesOut: 0 },
        ...{ lastInbound: 0, sequenceOut: 0, drops: {}, ...over },
      } as ChildCounters;
      inputs.length = 0;
      reports.report([counters], (input) => inputs.push(input));
      return [...inputs];
    };
    t.same(look({ lastInbound: 500 }), [], 'not known to the engine yet');
    for (const event of comesUp('c')) reports.handle(event);
    t.same(look({ lastInbound: 500 }), [{ kind: 'inbound-traffic', childId: 1, at: 500 }]);
    t.same(look({ lastInbound: 504 }), [], 'the same packet by another clock');
    t.same(look({ lastInbound: 504, bytesOut: 2 ** 20 - 1, sequenceOut: 2 ** 16 - 1 }), []);
    t.same(look({ lastInbound: 504, bytesIn: 2 ** 20, packetsIn: 900 }), [
      { kind: 'traffic-volume', childId: 1, bytes: 2 ** 20, packets: 900 },
    ]);
    t.same(look({ lastInbound: 504, bytesIn: 2 ** 20, packetsIn: 900 }), []);
    t.same(look({ lastInbound: 504, bytesIn: 2 ** 20, sequenceOut: 2 ** 16 }).length, 1, 'or of packets');
    reports.handle({ kind: 'child-closed', connection: 'c', childId: 1, reason: 'terminated' });
    t.same(look({ lastInbound: 9000, bytesIn: 2 ** 30 }), []);
  },
);
