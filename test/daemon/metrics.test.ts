import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { hashSecret } from '../../src/api/auth/credentials.js';
import { ControlClient } from '../../src/daemon/control/client.js';
import { readMetricsPlace } from '../../src/daemon/metrics/place.js';
import { serveGatewayMetrics } from '../../src/daemon/metrics/run-metrics.js';
import { ScrapeListener } from '../../src/daemon/metrics/scrape-listener.js';
import { checkOf, type HealthSource, reportOf } from '../../src/telemetry/health.js';
import { createLogger } from '../../src/telemetry/log.js';
import { METRIC_NAMES } from '../../src/telemetry/metrics/catalogue.js';
import { familyOf } from '../../src/telemetry/metrics/families.js';
import { innerPacket } from '../helpers/esp.js';
import { readExposition, type Series, valueIn } from '../helpers/exposition.js';
import { GatewayBench, isUp, type TestGateway } from '../helpers/gateway-pair.js';

const silent = createLogger({ level: 'silent' });

/** A program of which a check fails, or none. */
const reporting = (problem?: string): HealthSource => ({
  health: () => reportOf([checkOf('it')]),
  ready: () => reportOf([checkOf('it', problem)]),
});

/** Which series there are, whatever their values are. */
function identities(series: readonly Series[], prefix: string): string[] {
  return series
    .filter(({ name }) => name.startsWith(prefix) && !name.includes('_info'))
    .map(({ name, labels }) => `${name} ${JSON.stringify(labels)}`)
    .sort();
}

async function scraped(where: string): Promise<Series[]> {
  // Within half a second all get the same.
  await sleep(520);
  return readExposition(await (await fetch(where)).text());
}

async function passes(from: TestGateway, to: TestGateway): Promise<void> {
  const before = to.device.written.length;
  from.device.inject(innerPacket('10.1.0.5', '10.2.0.5', 100));
  for (let i = 0; i < 300 && to.device.written.length === before; i++) await sleep(5);
}

t.test('the metrics of a gateway tell what happened to it, and no series ever vanishes', async (t) => {
  const bench = new GatewayBench();
  t.teardown(() => bench.dispose());
  const connection = { dead_peer_detection: { action: 'restart', interval: 1, timeout: 3 } };
  const b = await bench.start('b', { connection: { ...connection, establish_mode: 'peer_only' } });
  const place = readMetricsPlace('127.0.0.1:0');
  if (!place.ok) throw new Error(place.error);
  const listener = await serveGatewayMetrics(place.value, b.gateway, silent);
  t.teardown(() => listener.close());

  const before = await scraped(listener.where);
  const c = { gateway: 'site-b', member: '1', connection: 'c' };
  t.equal(valueIn(before, 'culvert_connection_up', c), 0);
  t.equal(valueIn(before, 'culvert_connection_cause_info', { ...c, cause: 'waiting_for_peer' }), 1);
  t.equal(valueIn(before, 'culvert_connection_pair_covered', c), 0);
  t.ok(
    before.some(({ name }) => name === 'process_cpu_seconds_total'),
    "prom-client's own",
  );
  t.ok(before.some(({ name }) => name === 'culvert_build_info'));
  const ready = await fetch(new URL('/ready', listener.where));
  t.equal(ready.status, 200, 'the same listener answers probes');
  t.match(await ready.json(), { status: 'ok', checks: [{ name: 'gateway' }, { name: 'packet_threads' }] });

  const a = await bench.start('a', { connection });
  await a.until(isUp);
  await b.until(isUp);
  await passes(a, b);
  const during = await scraped(listener.where);
  t.equal(valueIn(during, 'culvert_connection_up', c), 1);
  t.equal(valueIn(during, 'culvert_connection_state', { ...c, state: 'up' }), 1);
  t.equal(valueIn(during, 'culvert_connection_cause_info', { ...c, cause: 'none' }), 1);
  t.equal(valueIn(during, 'culvert_connection_establishments_total', { ...c, role: 'responder' }), 1);
  t.equal(
    valueIn(during, 'culvert_connection_handshake_duration_seconds_count', { ...c, role: 'responder' }),
    1,
  );
  t.equal(valueIn(during, 'culvert_connection_bytes_total', { ...c, direction: 'in' }), 100);
  t.equal(valueIn(during, 'culvert_gateway_packets_total', { direction: 'in' }), 1);
  t.equal(valueIn(during, 'culvert_connection_pair_covered', { ...c, local_network: '10.2.0.0/24' }), 1);
  const since = valueIn(during, 'culvert_connection_established_timestamp_seconds', c)!;
  t.ok(Math.abs(since - Date.now() / 1000) < 60, 'in Unix time');
  t.ok(valueIn(during, 'culvert_connection_last_inbound_timestamp_seconds', c)! >= since - 1);

  await a.gateway.stop();
  await b.until(({ status }) => status === 'down');
  const after = await scraped(listener.where);
  t.equal(valueIn(after, 'culvert_connection_up', c), 0);
  t.equal(valueIn(after, 'culvert_connection_losses_total', { ...c, cause: 'peer_deleted' }), 1);
  t.equal(valueIn(after, 'culvert_connection_cause_info', { ...c, cause: 'peer_deleted' }), 1);
  t.equal(
    valueIn(after, 'culvert_connection_bytes_total', { ...c, direction: 'in' }),
    100,
    'though its SA is gone',
  );
  for (const later of [during, after])
    t.same(identities(later, 'culvert_'), identities(before, 'culvert_'), 'the same series');

  const client = await ControlClient.connect(b.control);
  const answer = await client.metrics();
  client.close();
  t.same(
    answer.connections.map(({ name }) => name),
    ['c'],
  );
  for (const name of Object.keys({ ...answer.samples, ...answer.connections[0]!.samples }))
    t.ok((METRIC_NAMES as readonly string[]).includes(name), `${name} is in the catalogue`);
  const text = JSON.stringify(answer);
  t.notMatch(text, /correct-horse/, 'no secret');
});

/** A request with the answer's octets as they came. */
function raw(options: object): Promise<{ status?: number; headers: Record<string, unknown>; body: Buffer }> {
  return new Promise((resolve, reject) => {
    request(options, (answer) => {
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => parts.push(part));
      answer.on('end', () => {
        const { statusCode, headers } = answer;
        resolve({ status: statusCode!, headers, body: Buffer.concat(parts) });
      });
    })
      .on('error', reject)
      .end();
  });
}

t.test('the listener: tokens, forms, and nothing but metrics and probes', async (t) => {
  const bench = new GatewayBench();
  t.teardown(() => bench.dispose());
  let tokens = [{ name: 'prometheus', role: 'viewer' as const, hash: hashSecret('a-token-for-scrapes') }];
  const path = join(bench.folder, 'metrics.sock');
  let collected = 0;
  let now = 0;
  const listener = await ScrapeListener.open({
    place: { path },
    tokens: () => tokens,
    health: reporting('is not well'),
    logger: silent,
    now: () => now,
    collect: async () => {
      collected++;
      const labels = { version: '1', node: '20', openssl: '3' };
      return { families: [familyOf('culvert_build_info', [{ labels, value: 1 }])], gateways: [] };
    },
  });
  t.teardown(() => listener.close());
  const get = (token: string | undefined, over: object = {}, headers: object = {}) =>
    raw({
      ...{ socketPath: path, path: '/metrics', ...over },
      headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
    });
  for (const wrong of [undefined, 'another', '']) {
    const refused = await get(wrong);
    t.equal(refused.status, 401);
    t.equal(refused.headers['www-authenticate'], 'Bearer');
  }
  t.equal((await get(undefined, { path: '/health?x=1' })).status, 200, 'probes have no token');
  const ready = await get(undefined, { path: '/ready' });
  t.equal(ready.status, 503);
  t.match(JSON.parse(ready.body.toString()), { checks: [{ name: 'it', message: 'is not well' }] });
  t.equal((await get(undefined, { path: '/ready', method: 'HEAD' })).body.length, 0);
  t.equal((await get(undefined, { path: '/ready', method: 'POST' })).status, 401);
  t.equal((await get('a-token-for-scrapes', { path: '/toString' })).status, 404);
  t.equal(collected, 0, 'nothing is read for who may not');
  const plain = await get('a-token-for-scrapes');
  t.equal(plain.status, 200);
  t.match(plain.headers['content-type'], /text\/plain; version=0\.0\.4/);
  t.match(plain.body.toString(), /^culvert_build_info\{version="1",node="20",openssl="3"\} 1$/m);
  const accept = { accept: 'application/openmetrics-text;version=1.0.0,text/plain;q=0.5' };
  const open = await get('a-token-for-scrapes', {}, { ...accept, 'accept-encoding': 'gzip' });
  t.match(open.headers['content-type'], /application\/openmetrics-text/);
  t.equal(open.headers['content-encoding'], 'gzip');
  t.match(gunzipSync(open.body).toString(), /# EOF\n$/);
  t.equal(collected, 1, 'two scrapes within half a second are one look');
  now = 501;
  await get('a-token-for-scrapes');
  t.equal(collected, 2, 'and a later one is another');
  t.equal((await get('a-token-for-scrapes', { path: '/' })).status, 404);
  t.equal((await get('a-token-for-scrapes', { method: 'POST' })).status, 405);
  t.equal((await get('a-token-for-scrapes', { method: 'HEAD' })).body.length, 0);
  tokens = [];
  t.equal((await get('a-token-for-scrapes')).status, 401, 'a token that was taken away');
});

t.test('a listener that cannot be had says why; a look that fails is an error of the server', async (t) => {
  const bench = new GatewayBench();
  t.teardown(() => bench.dispose());
  const collect = async (): Promise<never> => {
    throw new Error('no');
  };
  const place = { path: join(bench.folder, 'no', 'such', 'folder.sock') };
  await t.rejects(ScrapeListener.open({ place, health: reporting(), logger: silent, collect }), {
    message: /metrics cannot be served at the Unix socket/,
    remedy: /another path/,
  });
  const path = join(bench.folder, 'failing.sock');
  const failing = await ScrapeListener.open({
    ...{ place: { path }, health: reporting(), logger: silent, collect },
  });
  t.teardown(() => failing.close());
  t.equal((await raw({ socketPath: path, path: '/metrics' })).status, 500);
});

t.test('a place is an address with a port, or the path of a socket', async (t) => {
  t.same(readMetricsPlace('127.0.0.1:9464'), { ok: true, value: { host: '127.0.0.1', port: 9464 } });
  t.same(readMetricsPlace('[::1]:9464'), { ok: true, value: { host: '::1', port: 9464 } });
  t.same(readMetricsPlace('./m.sock'), { ok: true, value: { path: './m.sock' } });
  for (const wrong of ['9464', 'localhost', '127.0.0.1', '127.0.0.1:99999', 'host.example:9464'])
    t.equal(readMetricsPlace(wrong).ok, false, wrong);
});
