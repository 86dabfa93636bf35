import t from 'tap';
import { ControlClient } from '../../src/daemon/control/client.js';
import { FreshConfig } from '../../src/daemon/gateway/fresh-config.js';
import { connectionIdOf } from '../../src/store/hashed-id.js';
import { readPsks } from '../../src/store/psk.js';
import { createLogger } from '../../src/telemetry/log.js';
import { GatewayBench, isUp } from '../helpers/gateway-pair.js';

const silent = createLogger({ level: 'silent' });

t.test('a configuration owns its keys until it is handed over', async (t) => {
  const pair = new GatewayBench();
  t.teardown(() => pair.dispose());
  const read = () => {
    const file = pair.file('a');
    const psks = readPsks(file);
    if (!psks.ok) throw new Error(JSON.stringify(psks.error));
    return { file, psks: psks.value };
  };
  const dropped = read();
  const fresh = new FreshConfig(dropped);
  t.equal(fresh.config, dropped);
  fresh.discard();
  t.ok(dropped.psks.get(connectionIdOf('c'))!.wiped, 'what nobody took is wiped');
  t.throws(() => fresh.take(), /handed over already/);

  const kept = read();
  const taken = new FreshConfig(kept);
  t.equal(taken.take(), kept);
  taken.discard();
  t.notOk(kept.psks.get(connectionIdOf('c'))!.wiped, 'what is in force cannot be discarded any more');
  t.throws(() => taken.config, /handed over already/);
});

t.test('a supervised gateway is changed by its supervisor alone, and keeps its keys', async (t) => {
  const pair = new GatewayBench();
  t.teardown(() => pair.dispose());
  const a = await pair.start('a', { connection: { establish_mode: 'peer_only' } });
  const client = await ControlClient.connect(a.control);
  t.teardown(() => client.close());
  for (const dryRun of [true, false]) {
    await t.rejects(client.reload({ dry_run: dryRun }), {
      code: 'refused',
      message: /managed by `culvert serve`: change it there/,
    });
  }
  t.notMatch(a.lines.join(''), /TypeError|this is a bug/);
  const b = await pair.start('b');
  await b.until(isUp);
  await a.until(isUp);

  const handed = pair.options(
    'a',
    { connection: { dead_peer_detection: { action: 'clear' } } },
    a.device,
    silent,
  );
  const report = a.gateway.reconfigure(new FreshConfig({ file: handed.file, psks: handed.psks }));
  t.match(report, { ok: true, connections: [{ name: 'c' }] });
  t.ok(isUp(a.connection()));
});
