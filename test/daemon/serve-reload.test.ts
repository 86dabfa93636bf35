import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { hashSecret } from '../../src/api/auth/credentials.js';
import { ControlPlane } from '../../src/daemon/serve/serve.js';
import { serveChanges } from '../../src/daemon/serve/serve-changes.js';
import { readServeFile, type ServeFile } from '../../src/daemon/serve/serve-file.js';
import { readTlsFiles } from '../../src/daemon/serve/tls-files.js';
import { KIND } from '../../src/store/records.js';
import { makeCertificate } from '../helpers/certificates.js';
import { commandLine } from '../helpers/command-line.js';
import { openMemoryStore } from '../helpers/memory-store.js';

function folderOf(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'culvert-reload-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const SITE = {
  listen: '127.0.0.1:0',
  socket: 'api.sock',
  store: 'store.db',
  run_folder: 'run',
  vpcs: [{ name: 'v', namespace: 'blue' }],
  subnets: [{ name: 's', vpc: 'v', cidr: '10.1.0.0/24', public_addresses: ['192.0.2.1', '192.0.2.2'] }],
};

function fileOf(input: object, source = '/etc/culvert/site.yaml'): ServeFile {
  const read = readServeFile(stringify(input, { aliasDuplicateObjects: false }), source);
  if (!read.ok) throw new Error(JSON.stringify(read.error));
  return read.value;
}

/** A POST over HTTPS, whoever signed the certificate. */
function fetchJson(url: string, token: string): Promise<{ status: number | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    request(url, { method: 'POST', headers, rejectUnauthorized: false, agent: false }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('end', () => resolve({ status: answer.statusCode, text }));
    })
      .on('error', reject)
      .end();
  });
}

t.test('certificate and key: each fault names its file and the remedy', async (t) => {
  const folder = folderOf(t);
  const good = makeCertificate(folder);
  const other = makeCertificate(folder, 'other');
  const log: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line: string) => void log.push(line) });
  const read = (files: { certificate: string; key: string }, now = new Date()) =>
    readTlsFiles(files, now, logger);
  chmodSync(good.key, 0o600);
  t.match(read(good).cert.toString(), /BEGIN CERTIFICATE/);
  t.same(log, [], 'a good pair needs no word');
  const wrong = (files: { certificate: string; key: string }, message: RegExp, remedy: RegExp) =>
    t.throws(() => read(files), { name: 'StartError', message, remedy });
  wrong(
    { ...good, key: other.key },
    /other-key\.pem does not belong to the certificate in .*server\.pem/,
    /"tls"/,
  );
  wrong({ ...good, certificate: good.key }, /server-key\.pem holds a key/, /"tls\.certificate"/);
  wrong({ ...good, key: good.certificate }, /server\.pem holds a certificate/, /"tls\.key"/);
  wrong({ ...good, key: join(folder, 'none') }, /none cannot be read \(ENOENT\)/, /"tls\.key"/);
  writeFileSync(join(folder, 'noise'), 'noise');
  wrong(
    { ...good, key: join(folder, 'noise') },
    /noise holds no private key in PEM form/,
    /BEGIN PRIVATE KEY/,
  );
  wrong({ ...good, certificate: join(folder, 'noise') }, /noise holds no certificate/, /BEGIN CERTIFICATE/);
  chmodSync(good.key, 0o644);
  read(good, new Date(Date.now() + 40 * 86_400_000));
  t.match(log.join(''), /server-key\.pem is accessible by group or others \(mode 644\): run chmod 600 on it/);
  t.match(log.join(''), /the TLS certificate has expired/);
});

t.test('what a running server takes over of its file, and what not', async (t) => {
  const now = fileOf(SITE);
  const store = openMemoryStore();
  t.teardown(() => store.close());
  const subnet = now.site.subnets[0]!;
  const gateway = {
    name: 'g',
    vpc: subnet.vpc,
    subnet: subnet.id,
    zone: subnet.zone,
    members: [{ publicAddress: '192.0.2.1' }],
  };
  await store.commit([{ type: 'put', kind: KIND.gateway, id: 'g1', value: gateway }]);
  const objects = await store.snapshot();
  const changes = (difference: object) => {
    return serveChanges(now, fileOf({ ...SITE, ...difference }), objects).map(({ field, refused }) => {
      return refused === undefined ? field : `${field}: ${refused}`;
    });
  };
  t.same(changes({}), []);
  const token = { name: 'ann', role: 'editor', hash: hashSecret('x') };
  t.same(changes({ tokens: [token], api_keys: [token] }), ['tokens', 'api_keys']);
  t.same(changes({ on_stop: 'keep', log_level: 'debug' }), ['orphan_seconds', 'on_stop', 'log_level']);
  const webhook = { name: 'a', url: 'https://hooks.example/', secret: 'a-secret-for-tests' };
  t.same(changes({ webhooks: [webhook] }), ['webhooks']);
  t.same(changes({ quotas: { ike_policies: 99 }, endpoint: 'https://vpn.example' }), ['quotas', 'endpoint']);
  t.match(changes({ listen: '127.0.0.1:1', store: 'other.db' }), [
    /^listen: is fixed .* "on_stop: keep"/,
    /^store: /,
  ]);
  t.match(changes({ tls: { certificate: 'c', key: 'k' } }), [/^tls: is fixed/]);
  const more = [
    ...SITE.subnets,
    { name: 's2', vpc: 'v', cidr: '10.2.0.0/24', public_addresses: ['192.0.2.9'] },
  ];
  t.same(changes({ subnets: more }), ['subnets'], 'a new subnet');
  const fewer = (addresses: string[]) => [{ ...SITE.subnets[0], public_addresses: addresses }];
  t.same(changes({ subnets: fewer(['192.0.2.1']) }), ['subnets'], 'an address that nobody has');
  t.match(changes({ subnets: fewer(['192.0.2.2']) }), [
    'subnets: gateway g listens on 192.0.2.1, which the new file takes out of subnet s: delete the gateway first, or leave that as it is',
  ]);
  t.match(changes({ subnets: [{ ...SITE.subnets[0], cidr: '10.9.0.0/24' }] }), [
    /^subnets: gateway g is in subnet s, whose VPC, zone or network/,
  ]);
  t.match(changes({ subnets: [{ ...SITE.subnets[0], name: 'renamed' }] }), [
    /^subnets: gateway g is in subnet s, which/,
  ]);
  t.match(changes({ vpcs: [{ name: 'v', namespace: 'red' }] }), [
    /^vpcs: gateway g runs in the namespace of VPC v/,
  ]);
});

t.test('a VPC with routes or tables stays', async (t) => {
  const vpcs = [...SITE.vpcs, { name: 'w', namespace: 'green' }];
  const now = fileOf({ ...SITE, vpcs });
  const vpc = now.site.vpcs.find(({ name }) => name === 'w')!.id;
  const store = openMemoryStore();
  t.teardown(() => store.close());
  const changes = async () => serveChanges(now, fileOf(SITE), await store.snapshot());
  const put = (kind: string, value: object) => store.commit([{ type: 'put', kind, id: kind, value }]);
  t.same(await changes(), [{ field: 'vpcs' }]);
  await put(KIND.routingTable, { name: 'inner', vpc: now.site.vpcs[0]!.id });
  t.same(await changes(), [{ field: 'vpcs' }], 'those of another VPC are not lost');
  await put(KIND.routingTable, { name: 'inner', vpc });
  t.match(await changes(), [
    {
      field: 'vpcs',
      refused: /^routing table inner is of VPC w, which the new file does not have: delete the routes and/,
    },
  ]);
  await put(KIND.route, { name: 'out', vpc });
  t.match(await changes(), [{ field: 'vpcs', refused: /^route out is of VPC w/ }]);
});

t.test('a reload of the server while it runs', async (t) => {
  const folder = folderOf(t);
  const source = join(folder, 'site.yaml');
  const pair = makeCertificate(folder, 'first');
  copyFileSync(pair.certificate, join(folder, 'cert.pem'));
  copyFileSync(pair.key, join(folder, 'key.pem'));
  chmodSync(join(folder, 'key.pem'), 0o600);
  const tokens = (...names: string[]) =>
    names.map((name) => ({ name, role: 'editor', hash: hashSecret(`${name}-token-of-16`) }));
  let config: object = { ...SITE, tls: { certificate: 'cert.pem', key: 'key.pem' }, tokens: tokens('ann') };
  const write = (difference: object = {}): void => {
    config = { ...config, ...difference };
    writeFileSync(source, stringify(config));
  };
  write();
  const reread = () => readServeFile(readFileSync(source, 'utf8'), source);
  const log: string[] = [];
  const logger = pino({ level: 'info' }, { write: (line: string) => void log.push(line) });
  const first = reread();
  if (!first.ok) throw new Error(JSON.stringify(first.error));
  const plane = await ControlPlane.start({
    file: first.value,
    reread,
    program: [],
    logFormat: 'json',
    logger,
  });
  t.teardown(() => plane.stop());
  /** Status for the holder of a token, and the name in the server's certificate. */
  const ask = (holder: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Bearer ${holder}-token-of-16` };
      const url = `${plane.url}/v1/subnets?version=2026-03-24&generation=2`;
      request(url, { headers, rejectUnauthorized: false, agent: false }, (answer) => {
        const { CN } = (answer.socket as TLSSocket).getPeerCertificate().subject;
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => (text += part));
        answer.on('end', () => resolve(`${answer.statusCode} ${CN} ${JSON.parse(text).subnets?.length}`));
      })
        .on('error', reject)
        .end();
    });
  t.equal(await ask('ann'), '200 first 1');
  t.match(await ask('bob'), /^401/);

  const renewed = makeCertificate(folder, 'second');
  copyFileSync(renewed.certificate, join(folder, 'cert.pem'));
  copyFileSync(renewed.key, join(folder, 'key.pem'));
  const subnets = [
    ...SITE.subnets,
    { name: 's2', vpc: 'v', cidr: '10.2.0.0/24', public_addresses: ['192.0.2.9'] },
  ];
  write({ tokens: tokens('bob'), subnets, log_level: 'debug' });
  t.match(await plane.reload(true), {
    applied: false,
    errors: [],
    changes: [{ field: 'tokens' }, { field: 'log_level' }, { field: 'subnets' }],
  });
  t.equal(await ask('ann'), '200 first 1', 'a dry run changes nothing');
  t.match(await plane.reload(), { applied: true });
  t.match(await ask('ann'), /^401 second/, 'the old token is out, a renewed certificate in');
  t.equal(await ask('bob'), '200 second 2');
  t.equal(logger.level, 'debug');

  const cli = (...argv: string[]) =>
    commandLine('serve-reload', ...argv, '--endpoint', `unix:${join(folder, 'api.sock')}`);
  write({ quotas: { ike_policies: 7 } });
  t.match(await cli('--dry-run'), { code: 0, out: 'this would be taken over: quotas\n' });
  t.match(await cli(), { code: 0, out: 'done: quotas\n' });
  t.match(await cli('--output', 'json'), { code: 0, out: /"applied": ?true,\s*"changes": ?\[\]/ });
  write({ run_folder: 'elsewhere' });
  t.match(await cli(), { code: 1, err: /"run_folder" is fixed while the server runs/ });
  write({ run_folder: 'run' });
  const overTcp = await fetchJson(`${plane.url}/culvert/v1/reload`, 'bob-token-of-16');
  t.match(overTcp, { status: 403, text: /by its Unix socket only/ });

  write({ tokens: tokens('eve'), socket: 'other.sock' });
  const report = await plane.reload();
  t.match(report, { applied: false });
  t.match(report.changes.find(({ field }) => field === 'socket')?.refused, /restart it/);
  t.equal(await ask('bob'), '200 second 2', 'all or nothing');
  write({ socket: 'api.sock' });
  writeFileSync(join(folder, 'key.pem'), readFileSync(pair.key));
  t.match((await plane.reload()).errors, [/key\.pem does not belong to the certificate/]);
  writeFileSync(source, 'vpcs: [');
  t.match(await plane.reload(), { applied: false, errors: [/the file:1/] });
  rmSync(source);
  t.match((await plane.reload()).errors, [/ENOENT/]);
  t.equal(await ask('bob'), '200 second 2');
});
