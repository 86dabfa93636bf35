import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { hashSecret } from '../../src/api/auth/credentials.js';
import type { ConnectionRecord } from '../../src/store/records.js';
import { IKE } from '../helpers/api-lab.js';
import { openApplyLab } from '../helpers/apply-lab.js';
import { commandLine } from '../helpers/command-line.js';

interface Wish {
  readonly name: string;
  readonly peer: string;
  readonly networks: readonly string[];
  readonly more?: object;
}

const connection = ({ name, peer, networks, more = {} }: Wish) => ({
  name,
  psk: 'correct-horse-battery',
  local: { cidrs: ['10.1.0.0/24'] },
  peer: { address: peer, cidrs: networks },
  ...more,
});

/** Two gateways of one VPC, as the text of a file: JSON is YAML. */
const file = (left: readonly Wish[], right: readonly Wish[] = [], more: object = {}): string =>
  JSON.stringify({
    vpn_gateways: [
      { name: 'left', subnet: 'subnet-1', mode: 'policy', connections: left.map(connection) },
      { name: 'right', subnet: 'subnet-1', mode: 'policy', connections: right.map(connection) },
    ],
    ...more,
  });

async function open(t: Test, before: string) {
  const lab = await openApplyLab(t);
  const { apply } = lab;
  const done = await apply(before);
  if (done.code !== 0) throw new Error(done.err);
  const connections = async () =>
    (await lab.lab.store.snapshot()).list<ConnectionRecord>('vpn_gateway_connection');
  const ids = async () => (await connections()).map(({ id }) => id).sort();
  const networks = async () =>
    Object.fromEntries((await connections()).map(({ value }) => [value.name, value.peer.cidrs]));
  /** Applies a file and gives back how many times the store was written for it. */
  const commits = async (text: string, ...argv: string[]): Promise<number> => {
    const { revision } = await lab.lab.store.snapshot();
    const { code, err } = await apply(text, ...argv);
    if (code !== 0) throw new Error(err);
    const notes = await lab.lab.store.notes(revision, 100);
    return notes.filter(({ note }) => (note as { request_id: string }).request_id !== 'lifecycle').length;
  };
  return { ...lab, connections, ids, networks, commits };
}

const ONE = { name: 'one', peer: '198.51.100.1', networks: ['10.2.0.0/24'] };
const TWO = { name: 'two', peer: '198.51.100.2', networks: ['10.3.0.0/24'] };

for (const [title, before, after] of [
  ['a network is widened', file([ONE]), file([{ ...ONE, networks: ['10.2.0.0/23'] }])],
  ['a network is narrowed', file([ONE]), file([{ ...ONE, networks: ['10.2.0.128/25'] }])],
  [
    'both ends are widened',
    file([ONE]),
    file([{ ...ONE, networks: ['10.2.0.0/23'], more: { local: { cidrs: ['10.1.0.0/23'] } } }]),
  ],
  [
    'a network is split into two, beside one that stays',
    file([{ ...ONE, networks: ['10.2.0.0/24', '10.9.0.0/24'] }]),
    file([{ ...ONE, networks: ['10.9.0.0/24', '10.2.0.0/25', '10.2.0.128/25'] }]),
  ],
  [
    'two connections swap their networks',
    file([ONE, TWO]),
    file([
      { ...ONE, networks: TWO.networks },
      { ...TWO, networks: ONE.networks },
    ]),
  ],
  [
    'two connections swap their names',
    file([ONE, TWO]),
    file([
      { ...ONE, name: 'two' },
      { ...TWO, name: 'one' },
    ]),
  ],
  [
    'three connections pass their networks on, wider',
    file([ONE, TWO, { ...ONE, name: 'three', peer: '198.51.100.3', networks: ['10.4.0.0/24'] }]),
    file([
      { ...ONE, networks: ['10.3.0.0/23'] },
      { ...TWO, networks: ['10.4.0.0/23'] },
      { ...ONE, name: 'three', peer: '198.51.100.3', networks: ['10.2.0.0/23'] },
    ]),
  ],
  [
    'a network moves to a connection of another gateway, and back the other way',
    file([ONE], [TWO]),
    file([{ ...ONE, networks: TWO.networks }], [{ ...TWO, networks: ONE.networks }]),
  ],
  [
    'two connections that only their networks tell apart get another key',
    file([ONE, { ...TWO, peer: ONE.peer }]),
    file([
      { ...ONE, more: { psk: 'a-new-key-for-both' } },
      { ...TWO, peer: ONE.peer, more: { psk: 'a-new-key-for-both' } },
    ]),
  ],
  [
    'and another policy, in the place of the one that goes',
    file(
      [ONE, { ...TWO, peer: ONE.peer }].map((one) => ({ ...one, more: { ike_policy: 'old' } })),
      [],
      { ike_policies: [{ ...IKE, name: 'old' }] },
    ),
    file(
      [ONE, { ...TWO, peer: ONE.peer }].map((one) => ({ ...one, more: { ike_policy: 'new' } })),
      [],
      { ike_policies: [{ ...IKE, name: 'new' }] },
    ),
  ],
  [
    'two connections swap their peers',
    file([ONE, TWO]),
    file([
      { ...ONE, peer: TWO.peer },
      { ...TWO, peer: ONE.peer },
    ]),
  ],
  [
    'a peer whose address was named as its identity gets another address',
    file([
      {
        ...ONE,
        more: {
          peer: {
            address: ONE.peer,
            cidrs: ONE.networks,
            ike_identity: { type: 'ipv4_address', value: ONE.peer },
          },
        },
      },
    ]),
    file([{ ...ONE, peer: '198.51.100.9' }]),
  ],
  [
    'a peer gets a name, and identities of its own',
    file([ONE, TWO]),
    file([
      {
        ...ONE,
        more: {
          peer: {
            fqdn: 'branch.example',
            cidrs: ['10.2.0.0/23'],
            ike_identity: { type: 'fqdn', value: 'b.example' },
          },
        },
      },
      TWO,
    ]),
  ],
] as const) {
  t.test(title, async (t) => {
    const { lab, ids, commits, plan, apply } = await open(t, before);
    const kept = await ids();
    await lab.until(() => lab.runner.desired.size === 2);
    t.match(await apply(after, '--prune', '--dry-run'), { code: 0 });
    lab.runner.calls.length = 0;
    t.equal(await commits(after, '--prune', '--force'), 1, 'in one commit');
    t.same(await ids(), kept, 'every connection is the one it was');
    t.same(await plan(after, '--prune'), [], 'the file is reached');
    await lab.until(() => lab.runner.calls.length > 0);
    for (const id of lab.runner.desired.keys()) {
      t.ok(lab.runner.calls.filter((call) => call === `patch ${id}`).length <= 1, 'one desired state');
    }
    t.equal(await commits(before, '--prune', '--force'), 1, 'and back again');
    t.same(await ids(), kept);
    t.same(await plan(before, '--prune'), []);
  });
}

t.test('a renamed connection keeps its tunnel, and so does a wider one beside it', async (t) => {
  const { ids, plan } = await open(t, file([ONE, TWO]));
  const kept = await ids();
  const after = file([
    { ...ONE, name: 'uno' },
    { ...TWO, networks: ['10.3.0.0/23'] },
  ]);
  t.same(await plan(after, '--prune'), [
    'update | connection uno of left | name: one -> uno',
    'update | connection two of left | peer.cidrs: + 10.3.0.0/23 | peer.cidrs: - 10.3.0.0/24',
  ]);
  t.same(await ids(), kept);
});

t.test(
  'without --prune the old one stays and is in the way: that is said before anything is done',
  async (t) => {
    const { apply, lab } = await open(t, file([ONE]));
    const { revision } = await lab.store.snapshot();
    const { code, err } = await apply(file([{ ...ONE, name: 'uno' }]));
    t.equal(code, 1);
    t.match(
      err,
      /connection uno of left: peer\.cidrs\[0\] "10\.1\.0\.0\/24" to "10\.2\.0\.0\/24" overlaps a pair/,
    );
    t.match(err, /--prune deletes it\): connection one of left/);
    t.equal((await lab.store.snapshot()).revision, revision);
  },
);

t.test(
  'two that could be the renamed one are told apart by nothing: the rest goes as it is written',
  async (t) => {
    const down = { admin_state_up: false, psk: 'another-good-key' };
    const { ids, plan } = await open(t, file([ONE]));
    const kept = await ids();
    const after = file([
      { ...ONE, name: 'uno', networks: ['10.5.0.0/24'] },
      { ...ONE, name: 'due', networks: ['10.6.0.0/24'], more: down },
    ]);
    t.same(await plan(after, '--prune', '--force'), [
      'create | connection uno of left',
      'create | connection due of left',
      'delete | connection one of left',
    ]);
    t.equal((await ids()).filter((id) => kept.includes(id)).length, 0);
  },
);

t.test('a renamed gateway keeps its address and its tunnels', async (t) => {
  const { lab, ids, plan } = await open(t, file([ONE], [TWO]));
  const kept = await ids();
  await lab.until(() => lab.runner.desired.size === 2);
  t.same(await plan(file([ONE], [TWO]).replace('"left"', '"west"'), '--prune'), [
    'update | gateway west | name: left -> west',
  ]);
  t.same(await ids(), kept);
  t.equal(lab.runner.calls.filter((call) => call.startsWith('stop')).length, 0);
});

t.test('a gateway that is replaced keeps the keys that the file leaves out', async (t) => {
  const { connections, apply, plan } = await open(t, file([ONE]));
  const moved = file([ONE]).replace('"subnet-1"', '"subnet-2"').replace('"psk":"correct-horse-battery",', '');
  // Another VPC: the name is free there, so that the old gateway is one that the file does not name.
  t.match(await apply(moved, '--prune', '--force'), {
    code: 1,
    err: /connection one of left is to be made: it needs "psk"/,
  });
  const routed = file([ONE])
    .replace('"policy"', '"route"')
    .replace('"psk":"correct-horse-battery",', '')
    .replace(/"local":[^}]*},/, '')
    .replace(',"cidrs":["10.2.0.0/24"]', '');
  t.match(await apply(routed, '--force'), { code: 0 });
  t.same(
    (await connections()).map(({ value }) => [value.name, value.psk]),
    [['one', 'correct-horse-battery']],
  );
  t.same(await plan(routed), []);
});

t.test('a file that leads nowhere is refused before its first phase', async (t) => {
  const { lab, apply } = await open(t, file([ONE], [TWO]));
  const { revision } = await lab.store.snapshot();
  const { code, err } = await apply(
    file([ONE], [TWO]).replace('"policy"', '"route"').replace(',"cidrs":["10.2.0.0/24"]', ''),
    '--force',
  );
  t.equal(code, 1);
  t.match(err, /vpn\.yaml:1:\d+: connection one of left: local\.cidrs is not used in route mode/);
  t.match(err, /nothing was changed/);
  t.equal((await lab.store.snapshot()).revision, revision, 'the gateway is not deleted');
});

t.test('a phase that fails says what is done and what is not, and the same file does the rest', async (t) => {
  const { lab, apply, plan } = await open(t, file([], []));
  await lab.until(() => lab.runner.desired.size === 2);
  let release = (): void => undefined;
  lab.runner.stopping = new Promise((resolve) => {
    release = resolve;
  });
  const after = file([], [TWO], { ike_policies: [{ ...IKE, name: 'late' }] }).replace('"policy"', '"route"');
  const applying = apply(after, '--force');
  await lab.until(async () =>
    (await lab.get('/vpn_gateways')).body.vpn_gateways.some(
      (one: { lifecycle_state: string }) => one.lifecycle_state === 'deleting',
    ),
  );
  // Somebody else is faster with the name.
  await lab.post('/ike_policies', { ...IKE, name: 'late' });
  release();
  const { code, err } = await applying;
  t.equal(code, 1);
  t.match(err, /IKE policy late: name "late" is taken by/);
  t.match(
    err,
    /done: delete gateway left; not done: create IKE policy late, create gateway left, create connection two of right; apply the file again/,
  );
  t.match(await apply(after, '--force'), { code: 0 });
  t.same(await plan(after), []);
});

t.test('a gateway that is still going away is waited for', async (t) => {
  const { lab, apply, plan } = await open(t, file([ONE]));
  await lab.until(() => lab.runner.desired.size === 2);
  let release = (): void => undefined;
  lab.runner.stopping = new Promise((resolve) => {
    release = resolve;
  });
  const { body } = await lab.get('/vpn_gateways');
  const left = body.vpn_gateways.find(({ name }: { name: string }) => name === 'left');
  await lab.delete(`/vpn_gateways/${left.id}`);
  const applying = apply(file([ONE]));
  setTimeout(release, 20);
  t.match(await applying, { code: 0 });
  t.same(await plan(file([ONE])), []);
});

t.test('who may not change anything is told so, and not to correct the file', async (t) => {
  const token = { name: 'vi', role: 'viewer' as const, hash: hashSecret('viewer-secret') };
  const auth = { mode: 'tokens' as const, tokens: [token], apiKeys: [] };
  const { lab, folder } = await openApplyLab(t, { auth });
  const url = await lab.server.listen({ tcp: { host: '127.0.0.1', port: 0 } });
  const path = join(folder, 'one.yaml');
  writeFileSync(path, file([ONE]));
  writeFileSync(join(folder, 'token'), 'viewer-secret\n', { mode: 0o600 });
  const argv = ['--endpoint', url!, '--token-file', join(folder, 'token')];
  const { code, err } = await commandLine('apply', '-f', path, '--dry-run', ...argv);
  t.equal(code, 1);
  t.match(err, /vi is a viewer: changes need a token with the role editor/);
  t.notMatch(err, /correct the file/);
});

t.test('a server without transactions is named as the reason', async (t) => {
  const { lab, folder } = await openApplyLab(t);
  const old = createServer(async (request, response) => {
    const known = !request.url!.startsWith('/culvert/');
    const url = known ? request.url! : '/nowhere';
    const answer = await lab.server.app.inject({ method: 'GET', url, headers: { host: 'localhost' } });
    response.writeHead(answer.statusCode, { 'content-type': 'application/json' }).end(answer.payload);
  });
  const socket = join(folder, 'old.sock');
  await new Promise<void>((resolve) => old.listen(socket, resolve));
  t.teardown(() => old.close());
  writeFileSync(join(folder, 'one.yaml'), file([ONE]));
  const answer = await commandLine('apply', '-f', join(folder, 'one.yaml'), '--endpoint', `unix:${socket}`);
  t.match(answer, {
    code: 1,
    err: /the server is older than this program and knows no transactions; update the server/,
  });
});
