import t from 'tap';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import { absentSnapshot } from '../../src/telemetry/metrics/absent.js';
import { METRIC_NAMES, metricOf } from '../../src/telemetry/metrics/catalogue.js';
import { CONNECTION_LABELS } from '../../src/telemetry/metrics/definition.js';
import { writeExposition } from '../../src/telemetry/metrics/exposition.js';
import { familyOf } from '../../src/telemetry/metrics/families.js';
import { MetricsRenderer } from '../../src/telemetry/metrics/renderer.js';
import type { GatewaySnapshot } from '../../src/telemetry/metrics/samples.js';
import { readExposition, valueIn } from '../helpers/exposition.js';

const FILE = `
gateway: { name: east, address: 192.0.2.1 }
connections:
  - name: to-west
    psk: correct-horse-k7Qv2X-mJ9wRt4zHc8b
    local: { cidrs: [10.1.0.0/24, 10.3.0.0/24] }
    peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] }
  - name: kept-down
    psk: correct-horse-k7Qv2X-mJ9wRt4zHc8b
    admin_state_up: false
    local: { cidrs: [10.1.0.0/24] }
    peer: { fqdn: north.example, cidrs: [10.4.0.0/24] }
`;

function absent(): GatewaySnapshot {
  const file = readGatewayFile(FILE, 'east.yaml');
  if (!file.ok) throw new Error(JSON.stringify(file.error));
  return absentSnapshot(file.value);
}

const scrape = async (snapshot: GatewaySnapshot, form: 'prometheus' | 'openmetrics' = 'prometheus') =>
  writeExposition({ families: [], gateways: [{ member: 0, snapshot }] }, form);

t.test('of a gateway that does not answer every series of its connections is there', async (t) => {
  const found = readExposition(await scrape(absent()));
  for (const name of METRIC_NAMES) {
    const { labels, values = {}, source } = metricOf(name);
    if (source !== 'gateway' || labels[2] !== CONNECTION_LABELS[2]) continue;
    const own = labels.slice(3);
    const expected = own.reduce((product, label) => product * (values[label]?.length ?? 1), 1);
    const suffix = metricOf(name).type === 'histogram' ? '_count' : '';
    for (const connection of ['to-west', 'kept-down']) {
      const series = found.filter(
        (one) => one.name === `${name}${suffix}` && one.labels.connection === connection,
      );
      const pairs = name === 'culvert_connection_pair_covered' && connection === 'to-west' ? 2 : expected;
      t.equal(series.length, pairs, `${name} of ${connection}`);
      for (const one of series)
        t.same(Object.keys(one.labels), labels, `${name}: the labels of the catalogue`);
    }
  }
  const value = (name: string, labels: Record<string, string>) => valueIn(found, name, labels);
  t.equal(value('culvert_gateway_up', { gateway: 'east', member: '1' }), 0);
  t.equal(value('culvert_gateway_connections', { state: 'down' }), 2);
  t.equal(value('culvert_connection_admin_up', { connection: 'to-west' }), 1);
  t.equal(value('culvert_connection_admin_up', { connection: 'kept-down' }), 0);
  t.equal(value('culvert_connection_state', { connection: 'to-west', state: 'down' }), 1);
  t.equal(value('culvert_connection_cause_info', { connection: 'to-west', cause: 'gateway_down' }), 1);
  t.equal(value('culvert_connection_cause_info', { connection: 'kept-down', cause: 'admin_down' }), 1);
  t.equal(value('culvert_connection_pairs', { connection: 'to-west', state: 'down' }), 2);
  t.equal(
    value('culvert_connection_pair_covered', { local_network: '10.3.0.0/24', peer_network: '10.2.0.0/24' }),
    0,
  );
});

t.test('every family has its help and type once, as the catalogue has them', async (t) => {
  const text = await scrape(absent());
  for (const name of METRIC_NAMES) {
    const { source, type, help, labels } = metricOf(name);
    if (source !== 'gateway' || labels.includes('worker')) continue;
    t.equal(text.split(`# TYPE ${name} ${type}\n`).length, 2, name);
    t.ok(text.includes(`# HELP ${name} ${help}\n`));
  }
  const typed = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!);
  for (const { name } of readExposition(text))
    t.ok(typed.includes(name.replace(/_(bucket|sum|count)$/, '')) || typed.includes(name), name);
});

t.test('OpenMetrics: counters are named without their suffix, and it ends with its mark', async (t) => {
  const text = await scrape(absent(), 'openmetrics');
  t.ok(text.endsWith('# EOF\n'));
  t.match(text, /^# TYPE culvert_connection_bytes counter$/m);
  t.match(text, /^culvert_connection_bytes_total\{.*direction="in"\} 0$/m);
  t.notMatch(await scrape(absent()), /# EOF/);
});

t.test('histograms are cumulative, and the last bucket is the count', async (t) => {
  const base = absent();
  const [first] = base.connections;
  const counts = [0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4];
  const handshakes = [['initiator', { counts, sum: 130.5 }]] as const;
  const samples = { ...first!.samples, culvert_connection_handshake_duration_seconds: handshakes };
  const text = await scrape({ ...base, connections: [{ ...first!, samples }] });
  const found = readExposition(text).filter(({ labels }) => labels.role === 'initiator');
  const buckets = found.filter(({ name }) => name.endsWith('_bucket')).map(({ value }) => value);
  t.same(buckets, [0, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 7]);
  t.equal(found.find(({ name }) => name.endsWith('_sum'))?.value, 130.5);
  t.equal(found.find(({ name }) => name.endsWith('_count'))?.value, 7);
});

t.test('a value of another version of the program is shown, and a value that is none is not', async (t) => {
  const base = absent();
  const [first] = base.connections;
  const failures = [['a_cause_of_tomorrow', 3]] as const;
  const samples = { ...first!.samples, culvert_connection_failures_total: failures };
  const text = await scrape({ ...base, connections: [{ ...first!, samples }] });
  t.match(text, /culvert_connection_failures_total\{[^}]*cause="a_cause_of_tomorrow"\} 3/);
  const none = { ...familyOf('culvert_build_info', []), values: [{ labels: {}, value: null as never }] };
  t.equal((await writeExposition({ families: [none], gateways: [] }, 'prometheus')).trim(), '');
});

t.test('the thread writes the same, packed where that is wanted, and says what it cannot read', async (t) => {
  const renderer = new MetricsRenderer();
  t.teardown(() => renderer.close());
  const json = JSON.stringify({ families: [], gateways: [{ member: 0, snapshot: absent() }] });
  const plain = await renderer.render(json, 'prometheus', false);
  t.equal(Buffer.from(plain).toString(), await scrape(absent()));
  const packed = await renderer.render(json, 'openmetrics', true);
  const { gunzipSync } = await import('node:zlib');
  t.equal(gunzipSync(packed).toString(), await scrape(absent(), 'openmetrics'));
  await t.rejects(renderer.render('{', 'prometheus', false), { message: /JSON/ });
  t.ok((await renderer.render(json, 'prometheus', false)).length > 0, 'and goes on');
});
