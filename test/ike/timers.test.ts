import t from 'tap';
import { TimerTable } from '../../src/ike/sa/timers.js';

interface Sa {
  gone: boolean;
  first: number;
  second: number;
}
type Served = string[];

const table = new TimerTable<Served, Sa>(
  [
    {
      name: 'first',
      at: (sa) => sa.first,
      fire: (served, sa) => {
        served.push('first');
        sa.first = Number.POSITIVE_INFINITY;
      },
    },
    {
      name: 'second',
      at: (sa) => sa.second,
      fire: (served, sa) => {
        served.push('second');
        sa.gone = true;
      },
    },
    { name: 'third', at: () => 0, fire: (served) => served.push('third') },
  ],
  (sa) => sa.gone,
);

t.test('timers that are due are served in the order of the table, until the SA is gone', async (t) => {
  const served: Served = [];
  const sa = { gone: false, first: 20, second: 10 };
  t.equal(table.next(sa), 0);
  table.serve(served, sa, 20);
  t.same(served, ['first', 'second']);
  t.ok(sa.gone);
});

t.test('what is not due waits', async (t) => {
  const served: Served = [];
  const sa = { gone: false, first: 20, second: 30 };
  table.serve(served, sa, 19);
  t.same(served, ['third']);
  t.equal(sa.first, 20);
});
