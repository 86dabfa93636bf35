import fc from 'fast-check';
import t from 'tap';
import type { Reservation } from '../../../src/connection/image/changes.js';
import { FIRST_BLOCK, Reservations } from '../../../src/connection/image/reservations.js';
import { LAST_SEQUENCE } from '../../../src/esp/start.js';

const counters = (sequenceOut: number, reservedOut: number) => [{ id: 1, sequenceOut, reservedOut }];

t.test('a further block is asked for when less than half of one is left', async (t) => {
  const made = new Reservations();
  made.installed(1, FIRST_BLOCK, 0);
  t.ok(made.covers([1]));
  t.notOk(made.covers([1, 2]));
  const nothing = { limit: [], reserve: [] };
  t.same(made.look(counters(100, FIRST_BLOCK), 1000), nothing);
  t.same(made.look(counters(FIRST_BLOCK / 2 - 1, FIRST_BLOCK), 10_000), nothing);
  const asked = { limit: [], reserve: [{ id: 1, limit: 2 * FIRST_BLOCK }] };
  t.same(made.look(counters(FIRST_BLOCK / 2 + 1, FIRST_BLOCK), 20_000), asked);
  t.same(made.look(counters(FIRST_BLOCK / 2 + 2, FIRST_BLOCK), 20_100), nothing, 'one at a time');
  t.same(made.acknowledged(asked.reserve), asked.reserve);
  t.same(made.acknowledged([{ id: 1, limit: 5 }]), [], 'an older one lowers nothing');
  t.same(made.acknowledged([{ id: 9, limit: 5 }]), [], 'nor one of a child SA that is gone');
});

t.test('a block lasts four seconds at the present rate, within bounds', async (t) => {
  for (const [perSecond, size] of [
    [100, 2 ** 16],
    [280_000, 1_120_000],
    [2_000_000, 2 ** 22],
  ] as const) {
    const made = new Reservations();
    made.installed(1, FIRST_BLOCK, 0);
    const sequence = Math.max(perSecond / 10, FIRST_BLOCK);
    made.look(counters(0, FIRST_BLOCK), 0);
    const time = (1000 * sequence) / perSecond;
    const { reserve } = made.look(counters(sequence, FIRST_BLOCK), time);
    t.same(reserve, [{ id: 1, limit: sequence + size }], `${perSecond} a second`);
  }
});

t.test('where there was no limit, one counts only when it holds', async (t) => {
  const made = new Reservations();
  const first = made.look(counters(1000, LAST_SEQUENCE), 0);
  t.same(first, { limit: [{ id: 1, limit: 1000 + FIRST_BLOCK }], reserve: [] });
  t.notOk(made.covers([1]));
  t.same(
    made.look(counters(2000, LAST_SEQUENCE), 100),
    { limit: [], reserve: [] },
    'the order is on its way',
  );
  const passed = made.look(counters(70_000, 1000 + FIRST_BLOCK), 200);
  t.equal(passed.reserve.length, 0, 'it came too late');
  const [again] = passed.limit;
  t.ok(again!.limit > 70_000);
  const holds = made.look(counters(70_001, again!.limit), 300);
  t.same(holds, { limit: [], reserve: [again] });
  t.ok(made.covers([1]));
  t.same(made.lost(), [{ id: 1, limit: LAST_SEQUENCE }]);
  t.notOk(made.covers([1]));
});

t.test('the last numbers of all', async (t) => {
  const made = new Reservations();
  made.installed(1, LAST_SEQUENCE - 10, 0);
  t.same(made.look(counters(LAST_SEQUENCE - 20, LAST_SEQUENCE - 10), 100).reserve, [
    { id: 1, limit: LAST_SEQUENCE },
  ]);
  made.acknowledged([{ id: 1, limit: LAST_SEQUENCE }]);
  t.same(made.look(counters(LAST_SEQUENCE, LAST_SEQUENCE), 200), { limit: [], reserve: [] });
});

t.test(
  'whatever traffic does, no number beyond what the standby has acknowledged is ever allowed',
  async (t) => {
    const step = fc.record({
      packets: fc.nat({ max: 200_000 }),
      wait: fc.nat({ max: 500 }),
      acknowledge: fc.boolean(),
      order: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { maxLength: 60 }), (fresh, steps) => {
        const made = new Reservations();
        let [limit, used, now, known] = fresh
          ? [FIRST_BLOCK, 0, 0, FIRST_BLOCK]
          : [LAST_SEQUENCE, 5000, 0, 0];
        if (fresh) made.installed(1, FIRST_BLOCK, 0);
        const orders: number[] = [];
        const updates: (readonly Reservation[])[] = [];
        for (const { packets, wait, acknowledge, order } of steps) {
          now += wait;
          used = Math.max(used, Math.min(used + packets, limit));
          const next = made.look(counters(used, limit), now);
          orders.push(...next.limit.map((one) => one.limit));
          if (next.reserve.length > 0) updates.push(next.reserve);
          if (order) limit = orders.splice(0).at(-1) ?? limit;
          if (acknowledge && updates.length > 0) {
            const [update] = updates.splice(0, 1);
            known = Math.max(known, update![0]!.limit);
            for (const one of made.acknowledged(update!)) limit = one.limit;
          }
          // Until the first limit holds and is acknowledged the standby may not take over.
          if (known > 0 && used > known) return false;
        }
        return true;
      }),
      { numRuns: 500 },
    );
    t.pass();
  },
);
