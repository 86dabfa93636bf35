import '../helpers/work-counter.js';
import fc from 'fast-check';
import t from 'tap';
import { SaTable, TabledSa } from '../../src/ike/sa/table.js';
import type { V1Child } from '../../src/ike/v1/child-record.js';
import { ChildTable } from '../../src/ike/v1/child-table.js';
import { faults, pair } from '../helpers/engine-pair.js';
import { stepsOf } from '../helpers/work-counter.js';

class Sa extends TabledSa {
  at: number;

  constructor(localSpi: string, at: number) {
    super(localSpi, {
      at: 'new',
      link: {
        local: { address: '192.0.2.1', port: 500 },
        remote: { address: '192.0.2.2', port: 500 },
        natTraversalPort: false,
      },
    });
    this.at = at;
  }
}

const deadlineOf = (sa: Sa): number => sa.at;
const spi = fc.nat(6).map((n) => n.toString(16).padStart(16, '0'));
const at = fc.nat(100);
/** As the engine does: an SA is got from the table and changed, and then the next deadline is asked for. */
const inputs = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constantFrom('find' as const, 'touch' as const, 'select' as const), spi, at }),
    fc.record({ kind: fc.constantFrom('add' as const, 'remove' as const), spi, at }),
    fc.record({ kind: fc.constant('due' as const), spi, at }),
    fc.record({ kind: fc.constant('earliest' as const), spi, at }),
  ),
  { maxLength: 40 },
);

t.test('the deadlines that were kept are those of the SAs', async () => {
  fc.assert(
    fc.property(inputs, (list) => {
      const table = new SaTable<Sa>();
      const model = new Map<string, Sa>();
      const least = (): number => Math.min(Number.POSITIVE_INFINITY, ...[...model.values()].map(deadlineOf));
      return list.every((input) => {
        const known = model.get(input.spi);
        switch (input.kind) {
          case 'add':
            if (known !== undefined) return true;
            model.set(input.spi, new Sa(input.spi, input.at));
            table.add(model.get(input.spi)!);
            return true;
          case 'remove':
            if (known !== undefined) table.remove(known);
            model.delete(input.spi);
            return table.size === model.size;
          case 'find': {
            const found = table.find(input.spi);
            if (found !== undefined) found.at = input.at;
            return found === known;
          }
          case 'touch':
            if (known === undefined) return true;
            table.touch(known);
            known.at = input.at;
            return table.touched().includes(known);
          case 'select': {
            const [found] = table.select((sa) => sa.localSpi === input.spi);
            if (found !== undefined) found.at = input.at;
            return found === known;
          }
          case 'due': {
            const due = [...table.due(input.at, deadlineOf)];
            const expected = [...model.values()].filter((sa) => sa.at <= input.at);
            for (const sa of due) sa.at += 50;
            return due.length === expected.length && due.every((sa, i) => sa === expected[i]);
          }
          case 'earliest':
            return table.earliest(deadlineOf) === least() && table.touched().length === 0;
        }
        return false;
      });
    }),
    { numRuns: 1000 },
  );
});

t.test('what is done for one SA may make a later one due in the same walk', async (t) => {
  const table = new SaTable<Sa>();
  const sas = ['a', 'b', 'c'].map((localSpi, i) => new Sa(localSpi, i === 0 ? 1 : 100));
  for (const sa of sas) table.add(sa);
  t.equal(table.earliest(deadlineOf), 1);
  const walked: string[] = [];
  for (const sa of table.due(10, deadlineOf)) {
    walked.push(sa.localSpi);
    sa.at = 200;
    if (sa.localSpi === 'a') table.find('c')!.at = 5;
  }
  t.same(walked, ['a', 'c']);
  t.same(
    table.touched().map((sa) => sa.localSpi),
    ['a', 'c'],
  );
  t.throws(() => table.add(sas[0]!), /in use/);
});

t.test('ESP SAs by connection', async (t) => {
  const table = new ChildTable();
  const child = (id: number, connection: string, expiresAt: number) =>
    ({ id, connection, expiresAt }) as unknown as V1Child & { expiresAt: number };
  const [one, two, other] = [child(1, 'x', 50), child(2, 'x', 30), child(3, 'y', 40)];
  const expiresAt = (known: V1Child): number => known.expiresAt;
  for (const known of [one, two, other]) table.add(known);
  t.equal(table.earliest(expiresAt), 30);
  t.same(table.maybeDue(29, expiresAt), []);
  t.same(table.maybeDue(30, expiresAt), [one, two], 'the whole connection is looked at');
  t.equal(table.earliest(expiresAt), 30);

  table.get(3)!.expiresAt = 10;
  t.same(table.maybeDue(10, expiresAt), [other], 'it was got from the table, so it may have changed');
  t.equal(table.earliest(expiresAt), 10);
  for (const known of table.of('x')) known.expiresAt = 5;
  t.equal(table.earliest(expiresAt), 5);

  t.equal(table.remove(one), true);
  t.equal(table.remove(one), false, 'only once');
  table.remove(two);
  t.same(table.of('x'), []);
  t.equal(table.has(2), false);
  t.equal(table.get(2), undefined);
  t.equal(table.size, 1);
  t.equal(table.earliest(expiresAt), 10);
});

t.test('SAs by connection, state and address, whatever becomes of them', async (t) => {
  const table = new SaTable<Sa>();
  const sas = ['a', 'b', 'c'].map((localSpi) => new Sa(localSpi, 1));
  for (const sa of sas) table.add(sa);
  const [a, b, c] = sas as [Sa, Sa, Sa];
  c.connection = { id: 'site' };
  a.connection = { id: 'site' };
  t.same(table.ofConnection('site'), [a, c], 'in the order of the table');
  t.same(table.ofConnection('other'), []);
  b.moveTo({ ...b.phase, at: 'up' });
  a.moveTo({ ...a.phase, at: 'up' });
  t.same([...table.oldest('up')], [b, a], 'in the order of entering the state');
  a.remote = { address: '192.0.2.3', port: 500 };
  t.equal(table.count(['up']), 2);
  t.equal(table.count(['up', 'new'], '192.0.2.2'), 2);
  t.same([...table.oldest('up', '192.0.2.3')], [a]);
  table.remove(a);
  a.moveTo({ ...a.phase, at: 'gone' });
  t.equal(table.count(['up', 'gone']), 1, 'what was removed does not come back by a change');
  t.same(table.ofConnection('site'), [c]);
  c.connection = undefined;
  t.same(table.ofConnection('site'), []);
});

t.test('an input about one SA costs the logarithm of the number of others', async (t) => {
  const cost = (count: number): number => {
    const table = new SaTable<Sa>();
    for (let n = 0; n < count; n++) {
      const sa = new Sa(n.toString(16), 1000 + n);
      sa.connection = { id: `site-${n}` };
      table.add(sa);
    }
    table.earliest(deadlineOf);
    const { total } = stepsOf(() => {
      table.find('5')!.at = 5000;
      table.ofConnection('site-7');
      for (const sa of table.due(999, deadlineOf)) sa.at++;
      table.touched();
      table.earliest(deadlineOf);
    });
    return total;
  };
  const [few, many] = [cost(10), cost(10_000)];
  t.ok(many <= few + 8 * Math.log2(1000), `${few} and ${many} steps`);
});

t.test('SAs are found by their pair of identities, and no negotiation looks at all of them', async (t) => {
  const table = new SaTable<Sa>();
  const sas = Array.from({ length: 5 }, (_, i) => new Sa(i.toString(16).padStart(16, '0'), i));
  for (const sa of sas) table.add(sa);
  sas[3]!.identities = 'a b';
  sas[1]!.identities = 'a b';
  t.strictSame(table.ofIdentities('a b'), [sas[1], sas[3]], 'oldest first');
  sas[1]!.identities = 'a c';
  table.remove(sas[3]!);
  t.strictSame(table.ofIdentities('a b'), []);
  t.strictSame(table.ofIdentities('a c'), [sas[1]]);

  const made = pair();
  const walk = SaTable.prototype.values;
  SaTable.prototype.values = () => {
    throw new Error('a walk over all IKE SAs');
  };
  t.teardown(() => {
    SaTable.prototype.values = walk;
  });
  made.sim.initiate(made.east);
  made.sim.run(made.sim.now + 1000);
  t.equal(faults(made), undefined);
});
