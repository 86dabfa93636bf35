import t from 'tap';
import { Engine } from '../../src/ike/engine.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import { RECORD_VERSION, type SaRecord, wipeRecord } from '../../src/ike/sa/record.js';
import { connection, establishedPair, type Pair } from '../helpers/engine-pair.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import { createToyBackend } from '../helpers/toy-crypto.js';
import { establishedV1, v1 } from '../helpers/v1-pair.js';

for (const version of [1, 2] as const) {
  const patch = version === 1 ? v1() : {};
  const made: Pair = version === 1 ? establishedV1() : establishedPair();
  const { now } = made.sim;
  const engine = (ids = ['site']): Engine =>
    new Engine({
      crypto: createToyBackend(),
      random: new SeededRandom(99),
      limits: DEFAULT_LIMITS,
      config: { connections: ids.map((id) => connection('east', { ...patch, id })) },
    });
  const untouched = (one: Engine): unknown => [one.sizes.ikeSas, one.nextDeadline(), one.export()];

  t.test(`IKEv${version}: a record is refused with the reason, and changes nothing`, async (t) => {
    const [record] = made.east.engine.export() as [SaRecord];
    const refused = (one: Engine, given: SaRecord): string => {
      const before = untouched(one);
      const { outputs, refused: all } = one.adopt([given], now);
      t.strictSame(outputs, []);
      t.equal(all[0]?.record, given);
      t.strictSame(untouched(one), before);
      return all[0]!.reason;
    };
    t.match(refused(engine(['other']), record), /no connection site in the configuration/);
    const strange = { ...record, version: RECORD_VERSION + 1 } as unknown as SaRecord;
    t.match(refused(engine(), strange), /version 3/);
    wipeRecord(record);
    t.match(refused(engine(), record), /wiped/);
  });

  t.test(
    `IKEv${version}: ids are kept, the next ones come behind them, and no SA is adopted twice`,
    async (t) => {
      const records = made.east.engine.export();
      const one = engine();
      const { refused, outputs } = one.adopt(records, now);
      t.strictSame(refused, []);
      t.notOk(
        outputs.some(({ kind }) => kind === 'install-child'),
        'ESP keys are with the data plane alone',
      );
      const kept = records.flatMap(({ ike, children }) => [ike!.id, ...children.map(({ id }) => id)]);
      t.strictSame(
        one.export().flatMap(({ ike, children }) => [ike!.id, ...children.map(({ id }) => id)]),
        kept,
      );
      t.match(one.adopt(records, now).refused[0]!.reason, /in use/);
      const renewed = one.handle({ kind: 'renew', connection: 'site', scope: 'connection' }, now);
      const begun = renewed.flatMap((output) =>
        output.kind === 'event' && output.event.kind === 'ike-initiating' ? [output.event.ikeId] : [],
      );
      t.equal(begun.length, 1);
      t.ok(begun[0]! > Math.max(...kept));
      const text = JSON.stringify(records);
      t.match(text, /\[secret, \d+ bytes\]/, 'keys print as secrets');
    },
  );
}
