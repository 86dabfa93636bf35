import t from 'tap';
import { ServerHealth } from '../../src/api/health.js';
import { type Store, StoreError } from '../../src/store/store.js';
import { createLogger } from '../../src/telemetry/log.js';
import { SecretKey } from '../../src/util/secret.js';
import { ApiLab } from '../helpers/api-lab.js';
import { FakeRunner } from '../helpers/fake-runner.js';
import { openMemoryStore } from '../helpers/memory-store.js';

const silent = createLogger({ level: 'silent' });

/** A store that can be made to fail, and counts probes. */
function failingStore() {
  const inner = openMemoryStore();
  const state: { write?: Error | undefined; read?: Error | undefined; probes: number } = { probes: 0 };
  const store: Store = {
    snapshot: async () => {
      if (state.read !== undefined) throw state.read;
      return inner.snapshot();
    },
    commit: (changes, options) => inner.commit(changes, options),
    watch: (after, listener) => inner.watch(after, listener),
    notes: (after, limit) => inner.notes(after, limit),
    probe: async () => {
      state.probes++;
      if (state.write !== undefined) throw state.write;
    },
    close: () => inner.close(),
  };
  return { store, state };
}

const ask = async (lab: ApiLab, path: string) => {
  const answer = await lab.server.app.inject({ url: path, headers: { host: 'localhost' } });
  return { code: answer.statusCode, ...answer.json(), headers: answer.headers };
};

t.test('probes need no token and name no object', async (t) => {
  const signingKey = new SecretKey(new Uint8Array(32).fill(5));
  const lab = await ApiLab.open(t, { auth: { mode: 'tokens', tokens: [], apiKeys: [], signingKey } });
  t.equal((await lab.server.app.inject('/v1/vpn_gateways?version=2026-01-01&generation=2')).statusCode, 401);
  t.match(await ask(lab, '/health'), {
    code: 200,
    status: 'ok',
    checks: [{ name: 'store', status: 'ok' }],
    headers: { 'cache-control': 'no-store', 'content-type': /^application\/json/ },
  });
  t.match(await ask(lab, '/ready'), {
    code: 200,
    status: 'ok',
    checks: [{ name: 'server' }, { name: 'store' }, { name: 'gateways' }],
  });
  await lab.server.stop();
  t.match(await lab.server.health.ready(), { ok: true });
  lab.server.health.ending();
  t.match(await lab.server.health.ready(), { ok: false, checks: [{ message: 'the server is ending' }] });
});

t.test('ready waits for the gateways of the start, once', async (t) => {
  const store = openMemoryStore();
  const first = await ApiLab.open(t, { store });
  const ids = [
    await first.gateway('one', 'policy', '0717-sub'),
    await first.gateway('two', 'policy', '0717-sub'),
  ];
  const runner = new FakeRunner();
  runner.startsAs = 'starting';
  const lab = await ApiLab.open(t, { store, runner });
  const waiting = { code: 503, status: 'failing' };
  t.match(await ask(lab, '/ready'), {
    ...waiting,
    checks: [{}, {}, { name: 'gateways', status: 'failing', message: '2 gateways are still being started' }],
  });
  t.equal((await ask(lab, '/health')).code, 200, 'a restart would not help');
  runner.setState(ids[0]!, 'running');
  t.match((await ask(lab, '/ready')).checks[2], { message: '1 gateways are still being started' });
  runner.setState(ids[1]!, 'failed');
  t.equal((await ask(lab, '/ready')).code, 200, 'one that cannot come up does not keep the API away');
  runner.setState(ids[0]!, 'starting');
  t.equal((await ask(lab, '/ready')).code, 200, 'what comes later is not the readiness of the server');
  t.notMatch(JSON.stringify(await ask(lab, '/ready')), ids[0]);
});

t.test('a gateway that is deleted meanwhile is not waited for', async (t) => {
  const store = openMemoryStore();
  const first = await ApiLab.open(t, { store });
  const id = await first.gateway('one', 'policy', '0717-sub');
  const health = await ServerHealth.of({ store, runner: { observe: () => undefined }, logger: silent });
  t.equal((await health.ready()).ok, false);
  const gateway = (await store.snapshot()).get<object>('vpn_gateway', id);
  t.ok(gateway, 'the store has it by this kind');
  await store.commit([{ type: 'delete', kind: 'vpn_gateway', id }]);
  t.equal((await health.ready()).ok, true);
});

t.test('a store that fails makes the server unready, and is not asked all the time', async (t) => {
  const { store, state } = failingStore();
  let now = 0;
  const deps = { store, runner: { observe: () => undefined }, logger: silent, monotonic: () => now };
  const health = await ServerHealth.of(deps);
  for (let i = 0; i < 100; i++) await health.ready();
  t.equal(state.probes, 1, 'strangers cannot make it write');
  state.write = new StoreError('full', 'no room in /var/lib/culvert', 'make room');
  t.equal((await health.ready()).ok, true);
  now += 10_000;
  const [a, b] = await Promise.all([health.ready(), health.ready()]);
  t.equal(state.probes, 2);
  t.same(a, b);
  t.match(a, {
    ok: false,
    checks: [{ ok: true }, { name: 'store', message: 'the store cannot be written' }],
  });
  t.notMatch(JSON.stringify(a), '/var/lib');
  t.equal((await health.health()).ok, true, 'a restart makes no room');
  state.write = undefined;
  now += 10_000;
  t.equal((await health.ready()).ok, true);
  state.read = new StoreError('closed', 'closed', 'open it');
  t.match(await health.health(), { ok: false, checks: [{ message: 'the store cannot be read' }] });
});
