import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { KIND, SECRET_FIELDS } from '../../src/store/records.js';
import { createSealer } from '../../src/store/sealing.js';
import { openSqliteStore } from '../../src/store/sqlite-store.js';
import { SecretKey } from '../../src/util/secret.js';
import { ApiLab, IKE, IPSEC, type LabOptions, PSK, policyConnection, SITE } from '../helpers/api-lab.js';
import { commandLine } from '../helpers/command-line.js';
import { EDITOR, TWO_ROLES, VIEWER } from '../helpers/two-roles.js';

/** A machine: a store in a folder of its own, a server over it, and command lines that go there. */
async function machine(t: Test, options: LabOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-backup-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const sealer = createSealer(new SecretKey(crypto.getRandomValues(new Uint8Array(32))));
  const store = openSqliteStore({ path: join(folder, 'store.db'), secretFields: SECRET_FIELDS, sealer });
  const lab = await ApiLab.open(t, { store, ...options });
  const socketPath = join(folder, 'api.sock');
  await lab.server.listen({ socketPath });
  const cli = (...argv: string[]) => commandLine(...argv, '--endpoint', `unix:${socketPath}`);
  const revision = async (): Promise<number> => (await lab.store.snapshot()).revision;
  return { lab, folder, cli, revision };
}

/** What a server has of every kind: gateways of both modes, policies used and unused, a host name, identities. */
async function furnish(lab: ApiLab): Promise<void> {
  const tick = (): void => {
    lab.now = new Date(lab.now.getTime() + 61_000);
  };
  const made = async (target: string, body: object): Promise<string> => {
    tick();
    const answer = await lab.post(target, body);
    if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
    return answer.body.id;
  };
  const late = await made('/ike_policies', { ...IKE, name: 'later-in-the-alphabet' });
  await made('/ike_policies', { ...IKE, name: 'early', ike_version: 1, resource_group: { id: 'rg1' } });
  const ipsec = await made('/ipsec_policies', { ...IPSEC, name: 'esp', key_lifetime: 7200 });
  const gateway = await lab.gateway('gw');
  const list = `/vpn_gateways/${gateway}/connections`;
  await made(list, policyConnection(2, { ike_policy: { id: late }, ipsec_policy: { id: ipsec } }));
  await made(list, policyConnection(1, { admin_state_up: false }));
  tick();
  const routed = await lab.gateway('routed', 'route', '0717-sub2');
  await made(`/vpn_gateways/${routed}/connections`, {
    name: 'by-name',
    psk: 'another-key-of-ours',
    peer: { fqdn: 'vpn.example.com' },
  });
  await lab.put(`/vpn_gateways/${routed}/advertised_cidrs/10.45.0.0%2F16`);
  await lab.put(`${list}/${(await lab.get(list)).body.connections[0].id}/local/cidrs/192.168.101.0%2F24`);
}

/** Every document that there is to be read, by its path. */
async function documents(lab: ApiLab): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>();
  const read = async (path: string) => {
    const { status, body } = await lab.get(path);
    if (status !== 200) throw new Error(`${path}: ${status}`);
    found.set(path, body);
    return body;
  };
  for (const list of ['ike_policies', 'ipsec_policies'] as const) {
    for (const { id } of (await read(`/${list}`))[list]) {
      await read(`/${list}/${id}`);
      await read(`/${list}/${id}/connections`);
    }
  }
  for (const { id, mode } of (await read('/vpn_gateways')).vpn_gateways) {
    await read(`/vpn_gateways/${id}`);
    if (mode === 'route') await read(`/vpn_gateways/${id}/advertised_cidrs`);
    for (const { id: own } of (await read(`/vpn_gateways/${id}/connections`)).connections) {
      await read(`/vpn_gateways/${id}/connections/${own}`);
      if (mode === 'route') continue;
      for (const side of ['local', 'peer'])
        await read(`/vpn_gateways/${id}/connections/${own}/${side}/cidrs`);
    }
  }
  return found;
}

const running = ({ runner }: ApiLab) => [...runner.desired.values()].flatMap(({ members }) => members);
const keyFile = (folder: string, name: string, octet: string): string => {
  const path = join(folder, name);
  writeFileSync(path, octet.repeat(32), { mode: 0o600 });
  return path;
};

t.test('an empty machine becomes what the other one was, keys sealed on the way', async (t) => {
  const old = await machine(t);
  await furnish(old.lab);
  const file = join(old.folder, 'vpn.backup');
  const key = keyFile(old.folder, 'backup.key', 'a5');
  const sealed = ['--sealing-key-file', key];
  const made = await old.cli('backup', file, ...sealed);
  t.match(made, { code: 0, out: /8 objects at revision \d+, pre-shared keys sealed/ });
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.notMatch(readFileSync(file, 'utf8'), /another-key-of-ours|lkj14b1oi0alcniejkso/);
  t.same(
    readdirSync(old.folder).filter((name) => name.startsWith('.')),
    [],
    'no temporary file is left',
  );
  t.match(old.lab.log.join(''), /culvert\.backup\.read/, 'who has read the keys is in the audit log');

  const fresh = await machine(t);
  t.match(await fresh.cli('restore', file), {
    code: 1,
    err: /are sealed; name their key with --sealing-key-file/,
  });
  const wrong = keyFile(fresh.folder, 'other.key', '5a');
  t.match(await fresh.cli('restore', file, '--sealing-key-file', wrong), {
    code: 1,
    err: /sealed with another key; name the key file that the backup was made with/,
  });
  t.match(await fresh.cli('restore', file, ...sealed, '--dry-run'), {
    code: 0,
    out: /^this would be done: 8 objects made, 0 changed, 0 deleted, 0 as they were/,
  });
  t.equal(await fresh.revision(), 0, 'until here nothing is changed');
  t.match(await fresh.cli('restore', file, ...sealed), { code: 0, out: /^done: 8 objects made/ });
  await fresh.lab.until(() => running(fresh.lab).flatMap(({ connections }) => connections).length === 4);
  t.same(await documents(fresh.lab), await documents(old.lab));
  t.equal((await documents(fresh.lab)).size > 20, true);

  fresh.lab.runner.calls.length = 0;
  t.match(await fresh.cli('restore', file, ...sealed, '--replace', '--output', 'json'), {
    code: 0,
    out: /"unchanged": 8/,
  });
  t.same(fresh.lab.runner.calls, [], 'once more: no gateway is touched');
  const made1 = await fresh.lab.post('/ike_policies', { ...IKE, name: 'after-all' });
  t.equal(made1.status, 201);
  t.equal((await fresh.lab.get('/ike_policies')).body.ike_policies[0].name, 'after-all', 'the youngest');
});

t.test('without keys connections are down, say why, and take one', async (t) => {
  const old = await machine(t);
  await furnish(old.lab);
  const file = join(old.folder, 'vpn.backup');
  t.match(await old.cli('backup', file, '--without-keys'), { code: 0, out: /pre-shared keys left out/ });
  t.notMatch(readFileSync(file, 'utf8'), /another-key-of-ours|lkj14b1oi0alcniejkso/);

  const fresh = await machine(t);
  const restored = await fresh.cli('restore', file);
  t.match(restored, { code: 0, out: /routed\/by-name is down, it has no key/ });
  const { lab } = fresh;
  await lab.until(() => lab.runner.desired.size === 2);
  t.same(
    running(lab).flatMap(({ connections }) => connections),
    [],
    'no gateway hears of them',
  );
  const [gateway] = (await lab.get('/vpn_gateways?sort=name')).body.vpn_gateways;
  const list = `/vpn_gateways/${gateway.id}/connections`;
  const [, one] = (await lab.get(list)).body.connections;
  t.match(one, {
    name: 'connection-2',
    admin_state_up: false,
    status: 'down',
    status_reasons: [
      { code: 'cannot_authenticate_connection', message: /without its pre-shared key: set psk/ },
    ],
  });
  t.notOk('psk' in one);
  const up = await lab.patch(`${list}/${one.id}`, { admin_state_up: true });
  t.match(up, {
    status: 400,
    body: { errors: [{ code: 'validation_required_field', target: { name: 'psk' } }] },
  });
  const given = await lab.patch(`${list}/${one.id}`, { admin_state_up: true, psk: PSK });
  t.match(given, { status: 200, body: { psk: PSK, admin_state_up: true, status_reasons: [] } });
  await lab.until(() => running(lab).some(({ connections }) => connections.some(({ id }) => id === one.id)));

  const again = join(fresh.folder, 'again.backup');
  t.match(
    await fresh.cli('backup', again),
    { code: 0, out: /in clear/ },
    'a connection without key is backed up',
  );
  t.match(await fresh.cli('restore', file, '--replace'), { code: 0, out: /0 deleted/ });
  t.equal((await lab.get(`${list}/${one.id}`)).body.psk, PSK, 'a key that is there stays');
});

t.test('going back: what is not in the backup goes, what has changed is as it was', async (t) => {
  const { lab, folder, cli, revision } = await machine(t);
  await furnish(lab);
  const before = await documents(lab);
  const file = join(folder, 'vpn.backup');
  await cli('backup', file);
  const [gateway] = (await lab.get('/vpn_gateways?sort=name')).body.vpn_gateways;
  const list = `/vpn_gateways/${gateway.id}/connections`;
  const [one, two] = (await lab.get(list)).body.connections;
  await lab.delete(`${list}/${one.id}`);
  await lab.patch(`${list}/${two.id}`, { psk: 'changed-in-haste' });
  const stray = await lab.gateway('stray');
  const now = await revision();
  t.match(await cli('restore', file), { code: 1, err: /has 8 objects already: .*--replace/ });
  t.equal(await revision(), now);
  t.match(await cli('restore', file, '--replace'), {
    code: 0,
    out: /1 objects made, 1 changed, 1 deleted, 6 as/,
  });
  t.equal(await revision(), now + 1, 'one commit');
  t.same(await documents(lab), before);
  await lab.until(() => !lab.runner.desired.has(stray));
  const notes = await lab.store.notes(now, 9);
  t.match(notes[0]?.note, { who: 'root', changes: [{ action: 'is.vpn.vpn-gateway.delete' }, {}, {}] });
  t.notMatch(JSON.stringify(notes), /changed-in-haste|lkj14b1oi0alcniejkso/);
});

t.test('a gateway that is being deleted while it is restored lives', async (t) => {
  const { lab, folder, cli } = await machine(t);
  const gateway = await lab.gateway('gw');
  const file = join(folder, 'vpn.backup');
  await cli('backup', file);
  let stopped = (): void => undefined;
  lab.runner.stopping = new Promise((resolve) => {
    stopped = resolve;
  });
  await lab.delete(`/vpn_gateways/${gateway}`);
  await lab.until(() => lab.runner.calls.includes(`stop ${gateway}`));
  t.match(await cli('restore', file, '--replace'), { code: 0 });
  stopped();
  await lab.until(() => lab.runner.calls.at(-1) === `start ${gateway}`);
  t.equal((await lab.get(`/vpn_gateways/${gateway}`)).body.lifecycle_state, 'stable');
});

t.test('what cannot hold on this server is refused by its place, and nothing is changed', async (t) => {
  const old = await machine(t);
  await furnish(old.lab);
  const file = join(old.folder, 'vpn.backup');
  await old.cli('backup', file);
  const { subnets } = SITE;
  for (const [site, message] of [
    [{ region: 'eu-de' }, /backup\.region is "us-south" and this server's is "eu-de", so the CRNs/],
    [{ account: 'b'.repeat(32) }, /backup\.account is/],
    [{ subnets: [subnets[0]] }, /value\.subnet names "0717-sub2", in which gateway routed is/],
    [
      { subnets: [{ ...subnets[0], public_addresses: ['169.61.161.9'] }, subnets[1]] },
      /"169\.61\.161\.1" is not an address of subnet subnet-1 here/,
    ],
    [{ subnets: [{ ...subnets[0], zone: 'us-south-9' }, subnets[1]] }, /zone "us-south-9" here/],
    [{ resource_groups: [{ id: 'rg2', name: 'default' }] }, /resourceGroup names "rg1"/],
  ] as const) {
    const other = await machine(t, { site });
    t.match(await other.cli('restore', file), { code: 1, err: message }, String(message));
    t.equal(await other.revision(), 0);
  }
});

t.test('rules between the objects of a backup', async (t) => {
  const { lab, folder, cli, revision } = await machine(t);
  await furnish(lab);
  const file = join(folder, 'vpn.backup');
  await cli('backup', file);
  const { makeBackup, readBackup } = await import('../../src/store/backup.js');
  const { ObjectImage } = await import('../../src/store/object-image.js');
  const backup = readBackup(readFileSync(file, 'utf8'));
  const origin = { ...SITE, madeAt: backup.made_at, program: backup.program };
  const now = await revision();
  // biome-ignore lint/suspicious/noExplicitAny: the values are of several kinds
  const changed = async (change: (value: any, kind: string) => any, message: RegExp): Promise<void> => {
    const objects = backup.objects.flatMap(({ kind, id, created, value, secrets }) => {
      const after = change({ ...value, ...secrets }, kind);
      return after === undefined ? [] : [{ kind, id, created, revision: created, value: after }];
    });
    const image = ObjectImage.of(backup.revision, objects);
    writeFileSync(file, JSON.stringify(makeBackup(image, origin, true)));
    t.match(await cli('restore', file, '--replace'), { code: 1, err: message }, String(message));
    t.equal(await revision(), now);
  };
  const of = (kind: string, change: (value: object) => object) => (value: object, own: string) =>
    own === kind ? change(value) : value;
  await changed(
    (value, kind) => (kind === KIND.gateway ? undefined : value),
    /gateway names .* not in the backup/,
  );
  await changed((value, kind) => (kind === KIND.ikePolicy ? undefined : value), /ikePolicy names/);
  await changed(
    of(KIND.ikePolicy, (value) => ({ ...value, name: 'same' })),
    /name "same" is taken/,
  );
  await changed(
    of(KIND.connection, (value) => ({ ...value, name: 'same' })),
    /name "same" is taken/,
  );
  await changed(
    of(KIND.gateway, (value) => ({ ...value, mode: 'policy' })),
    /publicAddress does not go with mode policy/,
  );
  const network = { cidrs: ['10.9.0.0/16'], address: '169.21.50.1' };
  const unlike = (value: object) => ({
    ...value,
    peer: { ...network, address: `169.21.50.${value.toString.length}` },
  });
  await changed(
    of(KIND.ipsecPolicy, (value) => ({ ...value, encryption: ['rot13'] })),
    /is not one of/,
  );
  await changed(
    of(KIND.connection, (value) => ('psk' in value ? unlike(value) : value)),
    /peer\.cidrs/,
  );
});

t.test('a damaged file, and a file that cannot be written', async (t) => {
  const { lab, folder, cli, revision } = await machine(t);
  await furnish(lab);
  const file = join(folder, 'vpn.backup');
  const link = join(folder, 'link');
  symlinkSync(file, link);
  writeFileSync(file, 'the last good one', { mode: 0o644 });
  t.match(await cli('backup', join(folder, 'none', 'x')), { code: 1, err: /cannot be written: ENOENT/ });
  t.match(await cli('backup', link), { code: 0 });
  t.equal(statSync(file).mode & 0o777, 0o600, 'through a link, and no longer open to others');
  const now = await revision();
  writeFileSync(file, readFileSync(file).subarray(0, -200));
  t.match(await cli('restore', file, '--replace'), {
    code: 1,
    err: /vpn\.backup: the backup is damaged: it ends early, or is no backup of Culvert; take another copy of it\n$/,
  });
  t.match(await cli('restore', join(folder, 'nowhere')), { code: 1, err: /cannot be read/ });
  t.match(await cli('backup', file, '--sealing-key-file', file, '--without-keys'), { code: 2 });
  t.match(await cli('backup', file, '--sealing-key-file', file), { code: 1, err: /make one: openssl rand/ });
  t.equal(await revision(), now);
});

t.test('a viewer may take a backup without keys, and restore none', async (t) => {
  const { lab, folder } = await machine(t, { auth: TWO_ROLES });
  const url = await lab.server.listen({ tcp: { host: '127.0.0.1', port: 0 } });
  const file = join(folder, 'vpn.backup');
  const token = join(folder, 'token');
  const cli = (secret: string, ...argv: string[]) => {
    writeFileSync(token, `${secret}\n`);
    return commandLine(...argv, '--endpoint', url!, '--token-file', token);
  };
  t.match(await cli(VIEWER, 'backup', file), {
    code: 1,
    err: /vi is a viewer, who sees no pre-shared key: .*leave the keys out/,
  });
  t.match(await cli(VIEWER, 'backup', file, '--without-keys'), { code: 0 });
  t.match(await cli(VIEWER, 'restore', file), { code: 1, err: /vi is a viewer/ });
  t.match(await cli(EDITOR, 'backup', file), { code: 0 });
});
