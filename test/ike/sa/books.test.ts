import t from 'tap';
import { HalfOpenLedger } from '../../../src/ike/admission/half-open.js';
import { DEFAULT_LIMITS } from '../../../src/ike/limits.js';
import type { Output } from '../../../src/ike/outputs.js';
import { enterChild, enterTables, leaveChild, leaveTables } from '../../../src/ike/sa/books.js';
import { expectSpi, resumeExpecting } from '../../../src/ike/sa/esp-spi.js';
import { PeerBudget } from '../../../src/ike/sa/peer-budget.js';
import { SaTable, TabledSa } from '../../../src/ike/sa/table.js';
import { SeededRandom } from '../../helpers/seeded-random.js';

class Answered extends TabledSa {
  readonly firstRequestKey: string | undefined;

  constructor(spi: string, firstRequestKey: string | undefined) {
    super(spi, {
      at: 'established',
      link: {
        local: { address: '192.0.2.1', port: 500 },
        remote: { address: '192.0.2.2', port: 500 },
        natTraversalPort: false,
      },
    });
    this.firstRequestKey = firstRequestKey;
  }
}

function books() {
  const outputs: Output[] = [];
  const budget = new PeerBudget({ ...DEFAULT_LIMITS });
  const ctx = { random: new SeededRandom(1), budget, emit: (output: Output) => outputs.push(output) };
  return { outputs, ctx, espSpis: new Set<number>(), expectedSpis: new Set<number>() };
}

t.test('a child SA that enters has its SPI in use, and none is expected any more', async (t) => {
  const made = books();
  expectSpi(made, 0x1000);
  enterChild(made, { connection: 'site', spiIn: 0x1000 });
  t.ok(made.espSpis.has(0x1000));
  t.equal(made.expectedSpis.size, 0);
  leaveChild(made, { connection: 'site', spiIn: 0x1000 });
  t.equal(made.espSpis.size, 0);
  t.same(
    made.outputs.map(({ kind }) => kind),
    ['expect-esp'],
    'the data plane is not asked to forget what was installed',
  );
});

t.test('what an adopted request has offered is expected without a word, and forgotten aloud', async (t) => {
  const made = books();
  resumeExpecting(made, 0x2000);
  t.same(made.outputs, []);
  leaveChild(made, { connection: 'site', spiIn: 0x2000 });
  t.same(made.outputs, [{ kind: 'forget-esp', spi: 0x2000 }]);
});

t.test('an IKE SA leaves the tables with its own first request, and not with that of another', async (t) => {
  const table = new SaTable<Answered>();
  const byFirstRequest = new Map<string, Answered>();
  const [first, second, initiated] = [
    new Answered('1111111111111111', 'key'),
    new Answered('2222222222222222', 'key'),
    new Answered('3333333333333333', undefined),
  ];
  const tables = { table, byFirstRequest };
  for (const sa of [first, second, initiated]) enterTables(tables, sa);
  t.equal(table.size, 3);
  leaveTables(tables, first);
  t.equal(byFirstRequest.get('key'), second);
  leaveTables(tables, second);
  leaveTables(tables, initiated);
  t.equal(byFirstRequest.size, 0);
  t.equal(table.size, 0);
});

t.test('a half-open SA that is settled gives back its place and its octets', async (t) => {
  const ledger = new HalfOpenLedger(DEFAULT_LIMITS);
  t.ok(ledger.hold(500));
  ledger.opened('192.0.2.9', true);
  ledger.settled({ source: '192.0.2.9', held: 500, proven: true });
  t.equal(ledger.total, 0);
  t.equal(ledger.bytes, 0);
  t.equal(ledger.sources, 0);
});
