import t from 'tap';
import { type SaChange, SaLedger } from '../../src/connection/ledger.js';
import { EventBus } from '../../src/daemon/core/event-bus.js';
import { TrafficReports } from '../../src/daemon/core/traffic-reports.js';
import type { ChildCounters } from '../../src/dataplane/dataplane.js';
import type { Input } from '../../src/ike/inputs.js';
import { comesUp } from '../connection/samples.js';

t.test(
  'the ledger first, state before records, event by event; the actors when the step is over; then who waits',
  async (t) => {
    const order: string[] = [];
    const change: SaChange = {};
    const consumer = (name: string) => ({
      on: (event: { kind: string }, now: number, changed: SaChange) => {
        order.push(`${name} ${event.kind} at ${now}`);
        t.equal(changed, change, 'what the ledger said');
      },
    });
    const bus = new EventBus({
      ledger: {
        apply: ({ kind }) => {
          order.push(`ledger ${kind}`);
          return change;
        },
      },
      state: [consumer('keepalives'), consumer('metrics')],
      records: [consumer('status'), consumer('log')],
      actors: [{ ...consumer('reconciler'), act: () => void order.push('reconciler acts') }],
      settled: [() => void order.push('watchers')],
    });
    const [first, second] = comesUp('c');
    bus.publish([first!, second!], 5);
    const each = (kind: string): string[] => [
      `ledger ${kind}`,
      ...['keepalives', 'metrics', 'status', 'log', 'reconciler'].map((name) => `${name} ${kind} at 5`),
    ];
    t.same(order, [...each(first!.kind), ...each(second!.kind), 'reconciler acts', 'watchers']);
    order.length = 0;
    bus.publish([], 6);
    t.same(order, ['watchers'], 'a step without events may still have changed a status');
  },
);

t.test(
  'the engine learns of inbound traffic and of volume by steps, of child SAs that are there',
  async (t) => {
    const ledger = new SaLedger();
    const reports = new TrafficReports(ledger);
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
    for (const event of comesUp('c')) ledger.apply(event);
    t.same(look({ lastInbound: 500 }), [{ kind: 'inbound-traffic', childId: 1, at: 500 }]);
    t.same(look({ lastInbound: 504 }), [], 'the same packet by another clock');
    t.same(look({ lastInbound: 504, bytesOut: 2 ** 20 - 1, sequenceOut: 2 ** 16 - 1 }), []);
    t.same(look({ lastInbound: 504, bytesIn: 2 ** 20, packetsIn: 900 }), [
      { kind: 'traffic-volume', childId: 1, bytes: 2 ** 20, packets: 900 },
    ]);
    t.same(look({ lastInbound: 504, bytesIn: 2 ** 20, packetsIn: 900 }), []);
    t.same(look({ lastInbound: 504, bytesIn: 2 ** 20, sequenceOut: 2 ** 16 }).length, 1, 'or of packets');
    ledger.apply({ kind: 'child-closed', connection: 'c', childId: 1, reason: 'terminated' });
    t.same(look({ lastInbound: 9000, bytesIn: 2 ** 30 }), []);
  },
);
