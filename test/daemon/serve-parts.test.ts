import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { hashSecret } from '../../src/api/auth/credentials.js';
import type { DesiredGateway } from '../../src/api/runner.js';
import { ControlClient } from '../../src/daemon/control/client.js';
import { guardTable } from '../../src/daemon/host/clear-guard.js';
import { ownerMetric } from '../../src/daemon/host/fence.js';
import { openHost } from '../../src/daemon/host/host-side.js';
import { ProcessRunner } from '../../src/daemon/serve/process-runner.js';
import { readServeFile } from '../../src/daemon/serve/serve-file.js';
import { decodeDesired, encodeDesired } from '../../src/daemon/supervised/desired-state.js';
import { readDeviceMark, removeDeviceMark, writeDeviceMark } from '../../src/daemon/supervised/marks.js';
import { type AddressTable, ensureAddress, removeMarked } from '../../src/daemon/supervised/own-address.js';
import { runSupervised } from '../../src/daemon/supervised/run-supervised.js';
import { toEngineConfig } from '../../src/store/engine-config.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import { connectionIdOf } from '../../src/store/hashed-id.js';
import { readPsks } from '../../src/store/psk.js';
import { cidrOf, parseIp } from '../../src/util/ip.js';
import { EXAMPLE_KEY, exampleGateway } from '../helpers/example-gateway.js';
import { FakeHost } from '../helpers/fake-host.js';
import { RequestMutator } from '../helpers/request-mutator.js';
import { SeededRandom } from '../helpers/seeded-random.js';

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'culvert-parts-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const ID = connectionIdOf('c');
const GATEWAY = readGatewayFile(
  `gateway: { name: g, address: 192.0.2.1 }
ike_policies:
  - { name: used, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14 }
  - { name: idle, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14 }
connections:
  - name: c
    psk: correct-horse-battery
    ike_policy: used
    local: { cidrs: [10.1.0.0/24] }
    peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] }
`,
  'test',
);

t.test('a desired state goes over the wire and comes back', async (t) => {
  if (!GATEWAY.ok) throw new Error(JSON.stringify(GATEWAY.error));
  const sent = JSON.parse(JSON.stringify(encodeDesired(GATEWAY.value)));
  const { config } = decodeDesired(sent);
  t.same(
    config.file.ikePolicies.map(({ name }) => name),
    ['used'],
    'what nothing uses is not sent',
  );
  const [connection] = config.file.connections;
  t.match(connection, { id: ID, name: 'c', ikePolicy: 'used', peer: { address: '192.0.2.2' } });
  t.equal(Buffer.from(config.psks.get(ID)!.expose()).toString(), 'correct-horse-battery');
  const again = readPsks(config.file);
  t.ok(again.ok && again.value.has(ID), 'and can be read as one from a file');
  t.throws(() => decodeDesired({}), { code: 'bad_request' });
  t.throws(() => decodeDesired({ file: { connections: [{ name: 'c' }] } }), { code: 'bad_request' });
});

t.test('desired state with one thing wrong anywhere is a bad request, or a configuration', async (t) => {
  const sent = JSON.parse(JSON.stringify(encodeDesired(exampleGateway('to-b'))));
  t.ok(decodeDesired(sent).config, 'as it is it is taken');
  const mutator = new RequestMutator(new SeededRandom(4));
  const counts = { taken: 0, refused: 0 };
  const faults: string[] = [];
  for (let n = 0; n < 3000; n++) {
    const params = mutator.anywhere(sent) as Record<string, unknown>;
    try {
      const { config } = decodeDesired(params);
      toEngineConfig(config.file, config.psks, new Map());
      counts.taken++;
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      const leaks = [EXAMPLE_KEY, sent.file.connections[0].psk].some((key) => message.includes(key));
      if (code !== 'bad_request' || leaks) faults.push(`${error}: ${JSON.stringify(params)}`);
      counts.refused++;
    }
  }
  t.same(faults.slice(0, 5), []);
  t.ok(counts.taken > 100 && counts.refused > 1000, JSON.stringify(counts));
  const [connection] = sent.file.connections;
  const of = (file: object) => ({ file: { ...sent.file, ...file } });
  for (const [params, said] of [
    [
      of({ connections: [{ ...connection, ikePolicy: 'none' }] }),
      /connections\[0\]\.ikePolicy names a policy/,
    ],
    [of({ connections: [connection, connection] }), /connections\[1\]\.id is the id of two/],
    [
      of({ connections: [connection, { ...connection, id: 'other' }] }),
      /connections\[1\]\.name is the name of two/,
    ],
    [of({ connections: [{ ...connection, routes: ['10.0.0.1/8'] }] }), /routes\[0\] has host bits/],
    [of({ connections: [{ ...connection, psk: 7 }] }), /connections\[0\]\.psk needs a text/],
    [
      of({ connections: [{ ...connection, peer: { ...connection.peer, port: 443 } }] }),
      /connections\[0\]\.peer\.port/,
    ],
    [of({ limits: { ...sent.file.limits, ikeSas: '9' } }), /limits\.ikeSas needs a whole number/],
    [of({ connections: [{ ...connection, id: undefined }] }), /connections\[0\]\.id is missing/],
  ] as const) {
    t.throws(() => decodeDesired(params), { code: 'bad_request', message: said });
  }
});

class FakeTable implements AddressTable {
  readonly rows: { device: string; text: string; prefix: number }[];

  constructor(...rows: readonly (readonly [device: string, address: string])[]) {
    this.rows = rows.map(([device, address]) => row(device, address));
  }

  list() {
    return this.rows.map(({ device, text, prefix }) => ({
      device,
      address: parseIp(text)!,
      prefix,
      index: 1,
    }));
  }

  add(device: string, address: string): void {
    this.rows.push(row(device, address));
  }

  remove(device: string, address: string): void {
    const at = this.rows.findIndex((one) => one.device === device && `${one.text}/${one.prefix}` === address);
    if (at < 0) throw new Error(`${address} is not on ${device}`);
    this.rows.splice(at, 1);
  }

  get texts(): string[] {
    return this.rows.map(({ device, text, prefix }) => `${device} ${text}/${prefix}`);
  }
}

function row(device: string, address: string) {
  const [text = '', prefix = ''] = address.split('/');
  return { device, text, prefix: Number(prefix) };
}

t.test('a gateway brings its address and takes it away', async (t) => {
  const mark = join(folder(t), 'mark');
  const before = ['lo 127.0.0.1/8', 'wan 192.0.2.254/24', 'lan 10.1.0.1/24'];
  const table = new FakeTable(['lo', '127.0.0.1/8'], ['wan', '192.0.2.254/24'], ['lan', '10.1.0.1/24']);
  const giveBack = ensureAddress('192.0.2.1', mark, table);
  t.same(table.texts, [...before, 'wan 192.0.2.1/32'], 'on the device of its network');
  giveBack();
  t.same(table.texts, before);
  t.notOk(existsSync(mark));
  ensureAddress('198.51.100.1', mark, table);
  t.equal(table.texts.at(-1), 'lo 198.51.100.1/32', 'on the loopback device when it is on no network');
  ensureAddress('198.51.100.1', mark, table)();
  t.same(table.texts, before, 'a successor of one that was killed takes it over, and away');
  const own = ensureAddress('10.1.0.1', mark, table);
  own();
  t.same(table.texts, before, "the operator's address stays");
  removeMarked(mark, table);
  writeFileSync(mark, 'wan 192.0.2.77\n');
  removeMarked(mark, table);
  t.notOk(existsSync(mark), 'a mark of what is gone is removed');
  t.throws(() => ensureAddress('nowhere', mark, table), RangeError);
});

t.test('what outlives a gateway goes by the name of its device', async (t) => {
  const mark = join(folder(t), 'device');
  t.equal(readDeviceMark(mark), undefined);
  writeFileSync(mark, '');
  t.equal(readDeviceMark(mark), undefined, 'half a file names nothing');
  writeDeviceMark(mark, 'culvert0');
  t.equal(readDeviceMark(mark), 'culvert0');
  removeDeviceMark(mark);
  t.notOk(existsSync(mark));

  const host = new FakeHost();
  const { network, filter } = host;
  const cidr = (text: string) => cidrOf(text);
  for (const device of ['culvert0', 'culvert1']) {
    network.addRoute({ cidr: cidr('198.51.100.7/32'), device: 'wan', metric: ownerMetric(device) });
    network.addUnreachable(cidr('198.51.100.0/24'), ownerMetric(device));
    filter.install(
      guardTable(device),
      { devices: [device], pairs: [], gateway: parseIp('192.0.2.1')!, ports: [], peers: [] },
      true,
    );
  }
  openHost(host, 'culvert0');
  t.same([...new Set(network.held.map(({ metric }) => metric))], [ownerMetric('culvert1')]);
  t.same([...filter.tables.keys()], [guardTable('culvert1')]);
  openHost(host, 'culvert0');
  t.equal(network.held.length, 2, 'what is gone already is no error');
});

const SITE = `vpcs: [{ name: v, namespace: /proc/1/ns/net }]
subnets: [{ name: s, vpc: v, cidr: 10.1.0.0/24, public_addresses: [192.0.2.1] }]
`;

t.test('the file of the server', async (t) => {
  const path = folder(t);
  const source = join(path, 'site.yaml');
  const read = (text: string) => {
    const file = readServeFile(text, source);
    return file.ok ? file.value : file.error.map((one) => `${one.path}: ${one.message}`).join('\n');
  };
  t.match(read(SITE), {
    socket: '/run/culvert/api.sock',
    auth: 'tokens',
    tokens: [],
    orphanSeconds: 60,
    site: { vpcs: [{ namespace: '/proc/1/ns/net' }] },
  });
  writeFileSync(join(path, 'token'), 'a-token-of-some-length\n', { mode: 0o600 });
  const full = read(`${SITE}listen: "[::1]:8443"
tls: { certificate: cert.pem, key: key.pem }
tokens: [{ name: a, role: viewer, file: token }]
store: data/store.db
`);
  t.match(full, {
    listen: { host: '::1', port: 8443 },
    tls: { certificate: join(path, 'cert.pem') },
    tokens: [{ name: 'a', role: 'viewer', hash: hashSecret('a-token-of-some-length') }],
    store: { engine: 'sqlite', path: join(path, 'data/store.db') },
  });
  t.match(read(''), /"vpcs" and "subnets" are needed/);
  t.match(read(`${SITE}listen: 8080`), /listen/);
  t.match(read(`${SITE}listen: example.com:80`), /no address with a port/);
  t.match(read(`${SITE}lissten: 127.0.0.1:80`), /did you mean "listen"/);
  t.match(read(SITE.replace('vpc: v', 'vpc: w')), /subnets\[0\]\.vpc: "w" is not in vpcs/);
  t.match(read(`${SITE}tokens: [{ name: a, role: viewer }]`), /either "hash" or "file"/);
  t.match(read(`${SITE}tokens: [{ name: a, role: viewer, file: none }]`), /"none" is not there/);
  chmodSync(join(path, 'token'), 0o644);
  t.match(read(`${SITE}tokens: [{ name: a, role: viewer, file: token }]`), /chmod 600/);
  const hash = hashSecret('x');
  const twice = `{ name: a, role: viewer, hash: "${hash}" }`;
  t.match(read(`${SITE}tokens: [${twice}, ${twice}]`), /is the name of tokens\[0\] already/);
  for (const name of Object.getOwnPropertyNames(Object.prototype)) {
    for (const value of ['1', '{ a: 1 }', '[{ valueOf: 1 }, { valueOf: 1 }]']) {
      const unknown = new RegExp(`"${name}" is not a known field`);
      t.match(read(`${SITE}${name}: ${value}`), unknown);
      t.match(read(SITE.replace('{ name: v', `{ ${name}: ${value}, name: v`)), unknown);
    }
  }
  t.match(read('a: [b'), /^: |\[|bracket/);
});

const quiet = pino({ level: 'silent' });

t.test('a supervised gateway without a supervisor', async (t) => {
  const control = join(folder(t), 'g.sock');
  const ended = runSupervised({
    control,
    orphanSeconds: 1,
    logger: quiet,
    signals: { on() {}, removeListener() {} },
  });
  let client: ControlClient | undefined;
  while (client === undefined) {
    client = await ControlClient.connect(control).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  t.match(await client.attach(), { pid: process.pid, configured: false });
  t.same(await client.names(), { gateway: null, connections: {} }, 'before it is configured');
  await client.ping();
  await t.rejects(client.status(), { code: 'starting' });
  await t.rejects(client.configure({ nonsense: true }), { code: 'bad_request' });
  await new Promise((resolve) => setTimeout(resolve, 1500));
  t.match(await client.attach(), { configured: false }, 'as long as one is attached it lives');
  client.close();
  t.equal(await ended, 0, 'and ends by itself when it is left alone');
  t.notOk(existsSync(control));
});

t.test('gateways that do not start', async (t) => {
  if (!GATEWAY.ok) throw new Error('no gateway');
  const path = folder(t);
  const runner = new ProcessRunner({
    folder: path,
    program: ['false'],
    orphanSeconds: 1,
    standby: false,
    logLevel: 'info',
    logFormat: 'json',
    logger: quiet,
    publish: () => undefined,
  });
  const desired = (id: string, namespace?: string): DesiredGateway => ({
    id,
    name: id,
    vpc: { id: 'v', name: 'v', ...(namespace === undefined ? {} : { namespace }) },
    subnetCidr: '10.1.0.0/24',
    members: [GATEWAY.value],
  });
  t.equal(runner.observe('a'), undefined);
  const failed = (id: string) =>
    new Promise<void>((resolve) => {
      const end = runner.subscribe((changed) => {
        if (changed !== id || runner.observe(id)?.state !== 'failed') return;
        end();
        resolve();
      });
    });
  const both = Promise.all([failed('a'), failed('b')]);
  await runner.start(desired('a'));
  await runner.start(desired('b', 'no-such-namespace'));
  t.equal(runner.observe('a')?.state, 'starting');
  await both;
  t.match(runner.observe('a'), { state: 'failed', reason: /exit code 1/, members: [undefined] });
  t.match(runner.observe('b'), { state: 'failed', reason: /ip netns add no-such-namespace/ });
  await runner.patch(desired('a'));
  await runner.stop('b');
  t.equal(runner.observe('b'), undefined);
  await runner.stop('unknown');
  await runner.close();
  t.same(readdirSync(path), [], 'nothing is left of them');
});

t.test('what killed gateways have left is taken away where they ran', async (t) => {
  const path = folder(t);
  const log = join(path, 'log');
  const program = join(path, 'program');
  writeFileSync(program, `echo "$(readlink /proc/self/ns/net) $*" >> ${log}\n`);
  const run = join(path, 'run');
  const runner = new ProcessRunner({
    folder: run,
    program: ['/bin/sh', program],
    orphanSeconds: 1,
    standby: false,
    logLevel: 'info',
    logFormat: 'json',
    logger: quiet,
    publish: () => undefined,
  });
  const leave = (member: string, ...suffixes: string[]) => {
    for (const suffix of suffixes) writeFileSync(join(run, `${member}.sock${suffix}`), '');
  };
  leave('a-0', '', '.address', '.namespace');
  leave('b-0', '.device');
  leave('b-1', '.address');
  leave('c-0', '', '.namespace');
  leave('d-0', '.address');
  writeFileSync(join(run, 'd-0.sock.namespace'), '/run/netns/there-is-none');
  writeFileSync(join(run, 'notes.txt'), '');
  await runner.sweep(new Set(['a']));
  const cleaned = () =>
    readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => /--control \S*\/(\S+) .*--clean/.exec(line)?.[1])
      .sort();
  t.same(
    cleaned(),
    ['b-0.sock', 'b-1.sock'],
    'those that had something; a namespace that is gone took it along',
  );
  t.same(readdirSync(run).sort(), ['a-0.sock', 'a-0.sock.address', 'a-0.sock.namespace', 'notes.txt']);
  await runner.stop('a');
  t.same(cleaned(), ['a-0.sock', 'b-0.sock', 'b-1.sock']);
  t.same(readdirSync(run), ['notes.txt']);
});
