import fc from 'fast-check';
import t from 'tap';
import {
  addCounters,
  type CountedChild,
  noteMtu,
  type ReadCounters,
  TrafficTotals,
} from '../../src/connection/traffic-totals.js';
import { dropCounts } from '../../src/esp/drop-counter.js';
import { DROP_REASONS } from '../../src/esp/drops.js';
import { childInfo } from './samples.js';

const REPLAY = DROP_REASONS.indexOf('replay');

interface Installed extends CountedChild {
  readonly innerMtu?: number;
}

/** A packet path with these child SAs. */
function reading(children: readonly Installed[]): ReadCounters {
  return (totalOf) => {
    for (const one of children) {
      addCounters(totalOf(one.id), one);
      noteMtu(totalOf(one.id), one.innerMtu ?? 0);
    }
  };
}

function counted(id: number, packets: number, over: Partial<Installed> = {}): Installed {
  const drops = dropCounts(DROP_REASONS.map((reason) => (reason === 'replay' ? packets : 0)));
  return {
    ...{ id, packetsIn: packets, packetsOut: 2 * packets, bytesIn: 100 * packets, bytesOut: 200 * packets },
    ...{ lastInbound: packets, drops, ...over },
  };
}

function establish(totals: TrafficTotals, id: number, connection: string): void {
  totals.on({ kind: 'child-established', connection, child: childInfo(id, 1) });
}

t.test(
  'what a child SA has counted stays when it is gone, with its connection and with the gateway',
  async (t) => {
    const totals = new TrafficTotals();
    establish(totals, 1, 'c');
    establish(totals, 2, 'd');
    const all = [counted(1, 5, { innerMtu: 1400 }), counted(2, 1, { innerMtu: 1300 })];
    t.equal(totals.now(reading(all)).connections.get('c')?.bytesIn, 500);
    totals.removed(1, counted(1, 7));
    establish(totals, 3, 'c');
    const { gateway, connections } = totals.now(reading([counted(3, 1, { innerMtu: 1390 }), counted(2, 1)]));
    const c = connections.get('c')!;
    t.match(c, {
      packetsIn: 8,
      packetsOut: 16,
      bytesIn: 800,
      bytesOut: 1600,
      lastInbound: 7,
      innerMtu: 1390,
    });
    t.equal(c.drops[REPLAY], 8);
    t.equal(gateway.packetsIn, 9);
    totals.configure([{ id: 'd' }]);
    totals.removed(3, counted(3, 2));
    t.equal(
      totals.now(reading([counted(2, 1)])).gateway.packetsIn,
      10,
      'the gateway counts on for those that are not configured',
    );
  },
);

t.test('an id that is used again after a removal belongs to its new connection', async (t) => {
  const totals = new TrafficTotals();
  establish(totals, 1, 'c');
  totals.removed(1, counted(1, 3));
  totals.removed(1, undefined);
  establish(totals, 1, 'd');
  const { connections } = totals.now(reading([counted(1, 2)]));
  t.equal(connections.get('c')?.packetsIn, 3);
  t.equal(connections.get('d')?.packetsIn, 2);
});

t.test('no total ever goes back, however SAs come and go', async () => {
  const step = fc.record({
    what: fc.constantFrom('add', 'pass', 'remove'),
    child: fc.nat({ max: 5 }),
    packets: fc.nat({ max: 1000 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const totals = new TrafficTotals();
      const live = new Map<number, number>();
      let before = 0;
      for (const { what, child, packets } of steps) {
        if (what === 'add' && !live.has(child)) {
          establish(totals, child, `c${child % 2}`);
          live.set(child, 0);
        } else if (what === 'pass' && live.has(child)) {
          live.set(child, live.get(child)! + packets);
        } else if (what === 'remove' && live.has(child)) {
          totals.removed(child, counted(child, live.get(child)!));
          live.delete(child);
        }
        const { gateway, connections } = totals.now(reading([...live].map(([id, n]) => counted(id, n))));
        const sum = [...connections.values()].reduce((all, one) => all + one.packetsIn, 0);
        if (sum !== gateway.packetsIn || sum < before) return false;
        before = sum;
      }
      return true;
    }),
  );
});

t.test('the last minute: marks of every ten seconds, the oldest a minute old', async (t) => {
  const totals = new TrafficTotals();
  establish(totals, 1, 'c');
  const at = (seconds: number): Installed[] => [counted(1, seconds)];
  for (let second = 0; second <= 200; second++) {
    totals.mark(at(second), second * 1000);
    const now = totals.now(reading(at(second))).connections.get('c')!;
    const { packetsIn } = totals.lastMinute('c', now);
    t.ok(packetsIn <= 70 && packetsIn >= Math.min(second, 60), `${packetsIn} packets at ${second} s`);
  }
});
