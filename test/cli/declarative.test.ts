import { readFileSync, statSync } from 'node:fs';
import t from 'tap';
import { ApiLab } from '../helpers/api-lab.js';
import { openApplyLab as open } from '../helpers/apply-lab.js';
import { commandLine } from '../helpers/command-line.js';

const FILE = `ike_policies:
  - { name: strong, encryption_algorithm: aes256, authentication_algorithm: sha256, dh_group: 14 }
ipsec_policies:
  - { name: gcm, encryption_algorithm: aes256gcm16, pfs: group_14, key_lifetime: 7200 }
vpn_gateways:
  - name: left
    subnet: subnet-1
    connections:
      - name: to-right
        psk_file: key
        ike_policy: strong
        ipsec_policy: gcm
        local: { cidrs: [192.168.100.0/24] }
        peer: { address: 169.61.162.1, cidrs: [192.168.0.0/24] }
      - name: to-branch
        psk: correct-horse-battery
        establish_mode: peer_only
        dead_peer_detection: { action: clear, interval: 33, timeout: 100 }
        local: { cidrs: [192.168.100.0/24], ike_identities: [{ type: key_id, value: MTIzNA== }] }
        peer: { fqdn: branch.example, cidrs: [10.9.0.0/16], ike_identity: { type: fqdn, value: b.example } }
  - { name: right, subnet: 0717-sub2, mode: policy }
`;

t.test('from nothing to what a file says, and no further', async (t) => {
  const { lab, apply, plan } = await open(t);
  t.match(await apply(FILE, '--dry-run'), { code: 0, out: /create +connection to-right of left/ });
  t.equal((await lab.get('/vpn_gateways')).body.total_count, 0, 'a dry run does nothing');
  t.match(await apply(FILE), { code: 0, out: /done\n$/ });
  const { body } = await lab.get('/vpn_gateways');
  const left = body.vpn_gateways.find((one: { name: string }) => one.name === 'left');
  const { connections } = (await lab.get(`/vpn_gateways/${left.id}/connections`)).body;
  t.match(
    connections.find((one: { name: string }) => one.name === 'to-right'),
    {
      psk: 'a-key-in-a-file',
      ike_policy: { name: 'strong' },
      ipsec_policy: { name: 'gcm' },
    },
  );
  t.match(
    connections.find((one: { name: string }) => one.name === 'to-branch'),
    {
      establish_mode: 'peer_only',
      dead_peer_detection: { action: 'clear', interval: 33, timeout: 100 },
      peer: { fqdn: 'branch.example', ike_identity: { type: 'fqdn', value: 'b.example' } },
    },
  );
  const { revision } = await lab.store.snapshot();
  t.same(await plan(FILE), [], 'the second time there is nothing to do');
  t.equal((await lab.store.snapshot()).revision, revision, 'and nothing is written');
});

t.test('export writes what apply reads', async (t) => {
  const { cli, file, apply, plan } = await open(t);
  await apply(FILE);
  t.match(await cli('export', '-f', file), { code: 0 });
  t.equal(statSync(file).mode & 0o777, 0o600);
  const text = readFileSync(file, 'utf8');
  t.match(text, /psk: a-key-in-a-file/);
  t.same(await plan(text, '--prune'), []);
  const { out } = await cli('export', '--without-keys');
  t.notMatch(out, /psk/);
  t.same(await plan(out, '--prune'), [], 'without keys the present ones stay');
  t.match(await apply('', '--prune', '--force'), { code: 0 });
  t.match(await cli('export'), { code: 0, out: '{}\n' });
  t.match(await apply(text), { code: 0 }, 'from an export everything is made again');
  t.same(await plan(FILE), []);
});

t.test('the smallest steps', async (t) => {
  const { lab, plan, apply } = await open(t);
  await apply(FILE);
  const ids = async () =>
    (await lab.store.snapshot()).list<{ name: string }>('vpn_gateway_connection').map(({ id }) => id);
  const before = await ids();
  t.same(await plan(FILE.replace('dh_group: 14', 'dh_group: 15')), [
    'update | IKE policy strong | dh_groups: 14 -> 15',
  ]);
  t.same(await plan(FILE.replace('169.61.162.1', '169.61.162.2')), [
    'update | IKE policy strong | dh_groups: 15 -> 14',
    'update | connection to-right of left | peer.address: 169.61.162.1 -> 169.61.162.2',
  ]);
  t.same(await plan(FILE.replace('[10.9.0.0/16]', '[10.8.0.0/16, 10.7.0.0/16]')), [
    'update | connection to-right of left | peer.address: 169.61.162.2 -> 169.61.162.1',
    'update | connection to-branch of left | peer.cidrs: + 10.8.0.0/16 | peer.cidrs: + 10.7.0.0/16 | peer.cidrs: - 10.9.0.0/16',
  ]);
  t.same(
    await plan(FILE.replace('[192.168.0.0/24]', '[10.7.0.0/16, 192.168.0.0/24]')),
    [
      'update | connection to-right of left | peer.cidrs: + 10.7.0.0/16',
      'update | connection to-branch of left | peer.cidrs: + 10.9.0.0/16 | peer.cidrs: - 10.8.0.0/16 | peer.cidrs: - 10.7.0.0/16',
    ],
    'a network moves from one connection to another',
  );
  t.same(await plan(FILE.replace('        ike_policy: strong\n', '')), [
    'update | connection to-right of left | ike_policy: strong -> auto | peer.cidrs: - 10.7.0.0/16',
  ]);
  t.same(await plan(FILE.replace('correct-horse-battery', 'another-key')), [
    'update | connection to-right of left | ike_policy: auto -> strong',
    'update | connection to-branch of left | psk: another key',
  ]);
  t.same(await ids(), before, 'the connections are the same all along');
});

t.test(
  'identities and the kind of a peer are changed in place, a gateway elsewhere is made anew',
  async (t) => {
    const { lab, plan, apply } = await open(t);
    await apply(FILE);
    const ids = async () => (await lab.store.snapshot()).list('vpn_gateway_connection').map(({ id }) => id);
    const before = await ids();
    const renamed = FILE.replace('value: b.example', 'value: c.example');
    t.same(await plan(renamed), [
      'update | connection to-branch of left | peer.ike_identity: fqdn:b.example -> fqdn:c.example',
    ]);
    const addressed = renamed.replace('fqdn: branch.example', 'address: 169.61.162.7');
    t.same(await plan(addressed), [
      'update | connection to-branch of left | peer: branch.example -> 169.61.162.7',
    ]);
    t.same(await plan(renamed), [
      'update | connection to-branch of left | peer: 169.61.162.7 -> branch.example',
    ]);
    t.same(await ids(), before, 'the connections are the same all along');
    const routed = renamed.replace('mode: policy', 'mode: route');
    t.match(await apply(routed), { code: 2, err: /--force/ });
    t.same(await plan(routed, '--force'), ['replace | gateway right | mode: policy -> route']);
    t.same(await plan(routed), []);
    const plain = renamed.replace(', ike_identities: [{ type: key_id, value: MTIzNA== }]', '');
    t.same(await plan(plain, '--dry-run'), [
      'update | connection to-branch of left | local.ike_identities: key_id:MTIzNA== -> automatic',
      'replace | gateway right | mode: route -> policy',
    ]);
    const named = routed.replace(
      '{ cidrs: [192.168.100.0/24] }',
      '{ cidrs: [192.168.100.0/24], ike_identities: [{ type: ipv4_address, value: 169.61.161.1 }] }',
    );
    t.same(await plan(named), [], "naming the gateway's own address is no change");
  },
);

t.test('what the file does not name stays, unless it is to be pruned', async (t) => {
  const { lab, apply, plan } = await open(t);
  await apply(FILE);
  const less = FILE.slice(0, FILE.indexOf('      - name: to-branch'))
    .replace(/^ipsec_policies:\n.*\n/m, '')
    .replace('        ipsec_policy: gcm\n', '');
  const { err } = await apply(less);
  t.match(err, /kept \(--prune deletes it\): IPsec policy gcm, connection to-branch of left, gateway right/);
  t.same(await plan(less, '--prune', '--force'), [
    'delete | IPsec policy gcm',
    'delete | connection to-branch of left',
    'delete | gateway right with its 0 connections',
  ]);
  t.equal((await lab.get('/vpn_gateways')).body.total_count, 1);
  t.equal((await lab.get('/ipsec_policies')).body.total_count, 0);
});

t.test('a file that is wrong, and a step that is refused', async (t) => {
  const { lab, apply } = await open(t);
  t.match(await apply(FILE.replace('subnet: subnet-1', 'subnet: subnet-9')), {
    code: 1,
    err: /did you mean "subnet-/,
  });
  t.match(await apply(FILE.replace('name: right', 'name: left').replace('0717-sub2', 'subnet-1')), {
    code: 1,
    err: /is in the list twice/,
  });
  t.match(await apply(FILE.replace('peer_only', 'sometimes')), {
    code: 1,
    err: /vpn\.yaml:17:\d+: .*establish_mode/,
  });
  t.match(await apply(FILE.replace('fqdn: branch.example, ', '')), {
    code: 1,
    err: /either "address" or "fqdn"/,
  });
  t.match(await apply(FILE.replace('        psk: correct-horse-battery\n', '')), {
    code: 1,
    err: /needs "psk"/,
  });
  for (const name of ['toString', '__proto__', 'constructor', 'valueOf', 'hasOwnProperty']) {
    for (const bad of [
      `${name}: { a: 1 }\n${FILE}`,
      FILE.replace('{ name: strong', `{ ${name}: 1, name: strong`),
      FILE.replace('[10.9.0.0/16]', `[{ ${name}: 1 }, { ${name}: 1 }]`),
    ]) {
      const answer = await apply(bad);
      t.match(answer, { code: 1, err: new RegExp(`vpn\\.yaml:\\d+:\\d+: "${name}" is not a known field`) });
    }
  }
  const overlapping = FILE.replace('[10.9.0.0/16]', '[192.168.100.0/25]');
  for (const argv of [[], ['--dry-run']]) {
    t.match(await apply(overlapping, ...argv), {
      code: 1,
      err: /vpn\.yaml:20:\d+: connection to-branch of left: peer\.cidrs\[0\] "192\.168\.100\.0\/25" overlaps .*\nnothing was changed; correct the file and apply it again/,
    });
  }
  t.equal((await lab.get('/ike_policies')).body.total_count, 0, 'nothing of it is done');
  t.match(await apply(FILE), { code: 0 }, 'the corrected file is taken');
});

t.test('waiting for what was applied', async (t) => {
  const { lab, apply, file } = await open(t);
  lab.runner.startsAs = 'starting';
  const text = FILE.replace(
    '        psk: correct-horse-battery\n',
    '        psk: correct-horse-battery\n        admin_state_up: false\n',
  );
  let ended = false;
  const waiting = apply(text, '--wait').finally(() => {
    ended = true;
  });
  const gateways = async () =>
    (await lab.get('/vpn_gateways')).body.vpn_gateways as { id: string; name: string }[];
  const connections = async () => {
    const left = (await gateways()).find(({ name }) => name === 'left');
    if (left === undefined) return [];
    return (await lab.get(`/vpn_gateways/${left.id}/connections`)).body.connections as {
      id: string;
      name: string;
    }[];
  };
  const soon = async (met: () => Promise<boolean>) => {
    while (!(await met())) await new Promise((resolve) => setTimeout(resolve, 10));
  };
  await soon(async () => (await gateways()).length === 2 && (await connections()).length === 2);
  t.notOk(ended, 'gateways are pending');
  for (const { id } of await gateways()) lab.runner.setState(id, 'running');
  await soon(async () =>
    (await lab.get('/vpn_gateways')).body.vpn_gateways.every(
      (one: { lifecycle_state: string }) => one.lifecycle_state === 'stable',
    ),
  );
  t.notOk(ended, 'the connection that is to be up is down');
  const wanted = (await connections()).find(({ name }) => name === 'to-right')!;
  lab.runner.setConnection(wanted.id, { status: 'up' });
  t.match(await waiting, { code: 0, out: /done\nevery connection is up\n$/ });

  lab.runner.startsAs = 'failed';
  const failed = FILE.replace('name: right', 'name: third');
  t.match(await apply(failed, '--wait'), {
    code: 1,
    err: /gateway third has failed: The gateway cannot be started/,
  });

  const early = commandLine('apply', '-f', file, '--wait', '--dry-run', '--endpoint', `unix:${file}.sock`);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const later = await ApiLab.open(t);
  await later.server.listen({ socketPath: `${file}.sock` });
  t.match(await early, { code: 0, out: /nothing to do|ACTION/ }, 'a server that comes later');
});
