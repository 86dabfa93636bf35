import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { EtcdClient } from '../../src/store/etcd/client.js';
import { type EtcdReport, openEtcdStore } from '../../src/store/etcd/etcd-store.js';
import type { EtcdPlace } from '../../src/store/etcd/place.js';
import type { Commit } from '../../src/store/store.js';
import { EtcdLab, skipWithoutEtcd } from '../helpers/etcd-lab.js';
import { skipWithoutProgram } from '../helpers/prerequisites.js';

/* What takes a real etcd: its errors, TLS, users, compaction, a member that hangs. */

const skip = skipWithoutEtcd() || skipWithoutProgram('etcdctl') || skipWithoutProgram('openssl');

const put = (id: string, value: unknown) => ({ type: 'put', kind: 'door', id, value }) as const;

/** Tests of refusals do not wait. */
const NOW = { patience: 0 } as const;

async function openStore(t: Test, place: EtcdPlace) {
  const reports: EtcdReport[] = [];
  const store = await openEtcdStore({
    ...{ kv: new EtcdClient(place), cluster: place.cluster },
    report: (event) => void reports.push(event),
  });
  t.teardown(() => store.close());
  return { store, reports };
}

t.test('two hosts', { skip }, async (t) => {
  const lab = await (await EtcdLab.open(t)).ready();

  t.test('hear of each other, and of what a member that hangs has missed', async (t) => {
    const a = await openStore(t, lab.place('hang', 0));
    const b = await openStore(t, lab.place('hang', 1));
    const heard: number[] = [];
    b.store.watch(0, ({ revision }: Commit) => void heard.push(revision));
    t.equal(await a.store.commit([put('x', { n: 1 })]), 1);
    t.same((await b.store.snapshot()).get('door', 'x')?.value, { n: 1 });
    for (const member of lab.members) {
      member.signal('SIGSTOP');
      const revision = await a.store.commit([put('x', { by: member.name })]);
      const snapshot = await b.store.snapshot();
      t.equal(snapshot.revision, revision, `without ${member.name}`);
      t.same(snapshot.get('door', 'x')?.value, { by: member.name });
      member.signal('SIGCONT');
      await lab.ready();
    }
    await pause(20);
    t.same(heard.at(-1), 4);
    t.notMatch(
      [...a.reports, ...b.reports].map(({ kind }) => kind),
      ['uncertain'],
    );
  });

  t.test('a commit of many megabytes, as restoring a backup makes it', async (t) => {
    const a = await openStore(t, lab.place('large', 0));
    const b = await openStore(t, lab.place('large', 1));
    const text = 'x'.repeat(6000);
    const many = Array.from({ length: 3000 }, (_, n) => put(`d${n}`, { n, text }));
    t.equal(await a.store.commit(many, { note: { text: text.repeat(1000) } }), 1);
    t.equal((await b.store.snapshot()).list('door').length, 3000);
    t.equal(await b.store.commit([put('d0', { n: 'new' })]), 2, 'which folds it');
    const c = await openStore(t, lab.place('large', 2));
    const doors = (await c.store.snapshot()).list<{ n: unknown }>('door');
    t.equal(doors.length, 3000);
    t.match(
      doors.find(({ id }) => id === 'd0'),
      { created: 1, revision: 2, value: { n: 'new' } },
    );
    t.match(await c.store.notes(0, 1), [{ revision: 1, note: { text: text.repeat(1000) } }]);
    t.same([...a.reports, ...b.reports, ...c.reports], []);
  });

  t.test('a host that was away while etcd was compacted', async (t) => {
    const a = await openStore(t, lab.place('compacted', 0));
    const b = await openStore(t, lab.place('compacted', 1));
    for (let n = 0; n < 20; n++) await a.store.commit([put('x', { n })]);
    const { revision } = JSON.parse(lab.ctl('get', 'nothing', '-w', 'json')).header;
    lab.ctl('compaction', String(revision));
    await a.store.commit([put('x', { n: 'last' })]);
    t.same((await b.store.snapshot()).get('door', 'x')?.value, { n: 'last' });
    const c = await openStore(t, lab.place('compacted', 2));
    t.equal((await c.store.snapshot()).revision, 21);
  });

  t.test('without a majority writes are refused, reads go on, and it mends itself', async (t) => {
    const { store, reports } = await openStore(t, lab.place('majority'));
    await store.commit([put('x', { n: 1 })]);
    await Promise.all(lab.members.slice(1).map((member) => member.kill()));
    t.same((await store.snapshot()).get('door', 'x')?.value, { n: 1 });
    await t.rejects(store.commit([put('x', { n: 2 })]), { code: /unavailable|uncertain/ });
    t.same((await store.snapshot()).get('door', 'x')?.value, { n: 1 });
    await t.rejects(store.probe(), { code: 'unavailable' });
    t.match(
      reports.filter(({ kind }) => kind === 'lost'),
      [{ kind: 'lost' }],
    );
    for (const member of lab.members.slice(1)) member.start();
    await lab.ready();
    await store.probe();
    for (let tries = 0; !reports.some(({ kind }) => kind === 'found') && tries < 50; tries++)
      await pause(100);
    t.ok(reports.some(({ kind }) => kind === 'found'));
    t.type(await store.commit([put('x', { n: 3 })]), 'number');
    t.same((await store.snapshot()).get('door', 'x')?.value, { n: 3 });
  });
});

t.test('etcd that is not there', async (t) => {
  const place = { endpoints: ['http://127.0.0.1:1'], cluster: 'none', tls: {} };
  const error = await openEtcdStore({ ...NOW, kv: new EtcdClient(place), cluster: 'none' }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  t.match(error, { code: 'unavailable', message: /127\.0\.0\.1:1 cannot be reached/, remedy: /members run/ });
});

t.test('etcd that is full', { skip }, async (t) => {
  // A page for each of a few hundred writes is more than this.
  const lab = await (
    await EtcdLab.open(t, { members: 1, args: ['--quota-backend-bytes', String(4 * 1024 * 1024)] })
  ).ready();
  const { store } = await openStore(t, lab.place('full'));
  const fill = async (): Promise<void> => {
    for (let n = 0; n < 50; n++) await store.commit([put('x', { n, text: 'x'.repeat(300_000) })]);
  };
  await t.rejects(fill(), { code: 'full', remedy: /alarm disarm/ });
  const { revision } = await store.snapshot();
  t.ok(revision > 0, 'reads go on');
  const etcd = JSON.parse(lab.ctl('get', 'nothing', '-w', 'json')).header.revision;
  lab.ctl('compaction', String(etcd));
  lab.ctl('defrag');
  lab.ctl('alarm', 'disarm');
  t.equal(await store.commit([put('x', { n: 0 })]), revision + 1);
});

/** An authority, and certificates of it by name. */
function makeAuthority(
  folder: string,
): (name: string, address?: string) => { certificate: string; key: string } {
  const file = (name: string): string => join(folder, name);
  const openssl = (...args: readonly string[]): void =>
    void execFileSync('openssl', [...args], { stdio: 'ignore' });
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...curve, '-keyout', file('ca-key.pem'), '-out', file('ca.pem'), '-subj', '/CN=ca');
  return (name, address = '127.0.0.1') => {
    const [certificate, key, request] = [file(`${name}.pem`), file(`${name}-key.pem`), file(`${name}.csr`)];
    openssl('req', ...curve, '-keyout', key, '-out', request, '-subj', `/CN=${name}`);
    writeFileSync(file('ext'), `subjectAltName=IP:${address}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    openssl(
      ...['x509', '-req', '-in', request, '-CA', file('ca.pem'), '-CAkey', file('ca-key.pem')],
      ...['-CAcreateserial', '-out', certificate, '-days', '2', '-extfile', file('ext')],
    );
    return { certificate, key };
  };
}

t.test('TLS and users', { skip }, async (t) => {
  const folder = t.testdir();
  const issue = makeAuthority(folder);
  const ca = join(folder, 'ca.pem');
  const server = issue('server');
  const args = ['--cert-file', server.certificate, '--key-file', server.key];
  const trusted = ['--trusted-ca-file', ca, '--client-cert-auth'];
  const lab = await EtcdLab.open(t, { members: 1, scheme: 'https', args: [...args, ...trusted] });
  const root = issue('root');
  const own = issue('culvert');
  const stranger = issue('stranger');
  await lab.ready({ tls: { ca, ...root } });
  const ctl = (...words: string[]): string =>
    lab.ctl('--cacert', ca, '--cert', root.certificate, '--key', root.key, ...words);
  ctl('user', 'add', 'root:a-password-of-root');
  ctl('user', 'grant-role', 'root', 'root');
  ctl('role', 'add', 'vpn');
  ctl('role', 'grant-permission', 'vpn', '--prefix=true', 'readwrite', 'culvert/secure/');
  for (const user of ['culvert:a-password', 'named:another-password']) ctl('user', 'add', user);
  for (const user of ['culvert', 'named']) ctl('user', 'grant-role', user, 'vpn');
  ctl('auth', 'enable');
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, 'another-password\n', { mode: 0o600 });
  const place = (more: Partial<EtcdPlace>, cluster = 'secure'): EtcdPlace => lab.place(cluster, 0, more);
  const refusal = (more: Partial<EtcdPlace>, cluster?: string): Promise<unknown> => {
    const where = place(more, cluster);
    return openEtcdStore({ ...NOW, kv: new EtcdClient(where), cluster: where.cluster }).then(
      () => 'opened',
      (error: unknown) => error,
    );
  };

  const { store } = await openStore(t, place({ tls: { ca, ...own } }));
  t.equal(await store.commit([put('x', { n: 1 })], { note: 'one' }), 1, 'the certificate names the user');
  const login = { user: 'named', passwordFile };
  const named = await openStore(t, place({ tls: { ca, ...stranger }, login }));
  t.equal(await named.store.commit([put('x', { n: 2 })]), 2, 'or a password does');
  t.same((await store.snapshot()).get('door', 'x')?.value, { n: 2 }, 'and both watch');

  t.match(await refusal({ tls: { ca, ...own } }, 'other'), {
    message: /permission denied/,
    remedy: /may read and write all keys/,
  });
  t.match(await refusal({ tls: { ca, ...stranger } }), {
    code: 'refused',
    message: /etcd refuses|who asks/,
  });
  writeFileSync(passwordFile, 'a-wrong-password\n', { mode: 0o600 });
  const wrong = await refusal({ tls: { ca, ...stranger }, login });
  t.match(wrong, { code: 'refused', remedy: /password/ });
  t.notMatch(JSON.stringify([String(wrong), wrong]), /a-wrong-password/);
  t.match(await refusal({ tls: { ca } }), { code: 'unavailable', message: /cannot be reached/ });
  t.match(
    await refusal({ tls: own }),
    { code: 'unavailable', message: /cannot be reached/ },
    'an unknown authority',
  );
  t.match(await refusal({ tls: { ca: join(folder, 'none.pem'), ...own } }), {
    message: /none\.pem cannot be read/,
  });
});

t.test('a member whose certificate is for another address', { skip }, async (t) => {
  const folder = t.testdir();
  const { certificate, key } = makeAuthority(folder)('elsewhere', '127.0.0.9');
  const args = ['--cert-file', certificate, '--key-file', key];
  const lab = await EtcdLab.open(t, { members: 1, scheme: 'https', args });
  const tls = { ca: join(folder, 'ca.pem') };
  const ctl = ['--insecure-skip-tls-verify', '--insecure-transport=false', 'endpoint', 'health'];
  let answers = false;
  for (let tries = 0; !answers && tries < 50; tries++) {
    await pause(100);
    try {
      lab.ctl(...ctl);
      answers = true;
    } catch {
      // It is still being started.
    }
  }
  t.ok(answers, 'those who do not look are served');
  const refused = openEtcdStore({ ...NOW, kv: new EtcdClient(lab.place('x', 0, { tls })), cluster: 'x' });
  await t.rejects(refused, { code: 'unavailable', message: /cannot be reached/ });
});
