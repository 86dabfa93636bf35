import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ApiLab } from '../helpers/api-lab.js';
import { type CommandOutcome, commandLine } from '../helpers/command-line.js';

interface Cli {
  readonly lab: ApiLab;
  readonly folder: string;
  (...argv: string[]): Promise<CommandOutcome>;
  /** The command must succeed; its JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests reach into answers of every form
  json(...argv: string[]): Promise<any>;
}

/** An API server with a fake runner behind a Unix socket, and command lines that go there. */
async function open(t: Test): Promise<Cli> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-cli-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const lab = await ApiLab.open(t);
  const socketPath = join(folder, 'api.sock');
  await lab.server.listen({ socketPath });
  const run = (...argv: string[]) => commandLine(...argv, '--endpoint', `unix:${socketPath}`);
  const json = async (...argv: string[]) => {
    const { code, out, err } = await run(...argv, '--output', 'JSON');
    if (code !== 0) throw new Error(`${argv.join(' ')}: ${err}`);
    return JSON.parse(out);
  };
  return Object.assign(run, { lab, folder, json });
}

const PSK = 'lkj14b1oi0alcniejkso';
const CORE = ['--local-cidr', '10.240.0.0/24', '--peer-cidr', '192.168.1.0/24'];

t.test('policies: made, shown, changed, listed, deleted', async (t) => {
  const cli = await open(t);
  t.match(await cli.json('ike-policy-create', 'my-ike', 'sha256,sha384', '14,19', 'aes256', '2'), {
    name: 'my-ike',
    authentication_algorithms: ['sha256', 'sha384'],
    authentication_algorithm: 'multiple',
    dh_groups: [14, 19],
    encryption_algorithm: 'aes256',
    ike_version: 2,
    key_lifetime: 28_800,
  });
  t.match(await cli.json('ike-policy-update', 'my-ike', '--key-lifetime', '3600', '--dh-groups', '15'), {
    dh_group: 15,
    key_lifetime: 3600,
    encryption_algorithm: 'aes256',
  });
  t.match(
    await cli.json('ike-policy-update', 'my-ike', '--dh-group', '16'),
    { dh_group: 16 },
    'the older name',
  );
  t.match(
    await cli.json(
      'ipsec-policy-create',
      'my-ipsec',
      'disabled',
      'aes256gcm16',
      'group_19',
      '--key-lifetime',
      '7200',
    ),
    {
      encryption_algorithm: 'aes256gcm16',
      authentication_algorithm: 'disabled',
      pfs: 'group_19',
      key_lifetime: 7200,
    },
  );
  t.match(await cli.json('ipsec-policy-update', 'my-ipsec', '--pfsgs', 'disabled', '--name', 'renamed'), {
    name: 'renamed',
    pfs: 'disabled',
  });
  const [policy] = await cli.json('ipsec-policies');
  t.match(await cli.json('ipsec-policy', policy.id), { name: 'renamed' }, 'by id');
  const table = await cli('ike-policies');
  t.match(table.out, /^my-ike +2 +aes256 +sha256, sha384 +16 +3600 +0 +r006-/m);
  t.match(await cli('ike-policy-delete', 'my-ike', '-f'), { code: 0, out: 'my-ike: deleted\n' });
  t.match(
    await cli('ipsec-policy-delete', 'renamed', 'nobody', '--force'),
    { code: 1 },
    'all are looked up first',
  );
  t.equal((await cli.json('ipsec-policies')).length, 1);
});

t.test('gateways: made, shown, changed, listed, deleted', async (t) => {
  const cli = await open(t);
  const made = await cli.json(
    'vpn-gateway-create',
    'my-gateway',
    'subnet-1',
    '--resource-group-name',
    'other',
  );
  t.match(
    made,
    { name: 'my-gateway', mode: 'policy', resource_group: { name: 'other' } },
    'policy mode unless asked',
  );
  await cli.json('vpn-gateway-create', 'my-gateway', '0717-sub2');
  t.match(await cli('vpn-gateway', 'my-gateway'), { code: 1, err: /2 of the kind VPN gateway.*--vpc/ });
  t.equal((await cli.json('vpn-gateway', 'my-gateway', '--vpc', 'vpc-one')).id, made.id);
  t.match(await cli('vpn-gateway-update', made.id, '--name', 'renamed', '-q'), {
    code: 0,
    out: `${made.id}\n`,
  });
  t.match(
    (await cli('vpn-gateways', '--vpc', 'vpc-one')).out,
    /^renamed +stable +ok +policy +169\.61\.161\.1 +subnet-1 +vpc-one +0 +0717-/m,
  );
  t.equal((await cli.json('vpn-gateways', '--resource-group-id', 'rg1')).length, 1);
  t.match(await cli('vpn-gateway', 'renamed'), { code: 0, out: /^subnet +subnet-1 \(0717-sub\)$/m });
  t.match(await cli('vpn-gateway-delete', 'renamed'), { code: 2, err: /--force/ }, 'nobody can be asked');
  t.match(await cli.json('vpn-gateway-delete', 'renamed', '-f'), [{ id: made.id, deleted: true }]);
  await cli.lab.until(async () => (await cli.json('vpn-gateways')).length === 1);
});

t.test('route mode: advertised networks', async (t) => {
  const cli = await open(t);
  const create = ['vpn-gateway-create', 'r', 'subnet-1', '--mode', 'route'];
  const made = await cli.json(
    ...create,
    '--advertised-cidrs',
    '10.1.0.0/16,10.2.0.0/16',
    '--local-asn',
    '64999',
  );
  t.match(made, { mode: 'route', local_asn: 64_999 });
  t.same(await cli.json('vpn-gateway-advertised-cidrs', 'r'), ['10.1.0.0/16', '10.2.0.0/16']);
  t.match(await cli('vpn-gateway-advertised-cidr-add', 'r', '--cidr', '10.3.0.0/16'), { code: 0 });
  t.match(await cli('vpn-gateway-advertised-cidr', 'r', '--cidr', '10.3.0.0/16'), { code: 0 });
  t.match(await cli('vpn-gateway-advertised-cidr', 'r', '--cidr', '10.4.0.0/16'), { code: 1 });
  t.match(await cli('vpn-gateway-advertised-cidr-delete', 'r', '10.1.0.0/16', '10.3.0.0/16', '-f'), {
    code: 0,
  });
  t.same(await cli.json('vpn-gateway-advertised-cidrs', 'r'), ['10.2.0.0/16']);
  t.match(await cli('vpn-gateway-advertised-cidr-delete', 'r', '10.9.0.0/16'), {
    code: 1,
    err: /does not advertise this network/,
  });
  t.same(await cli.json('vpn-gateway-service-connections', 'r'), []);
  t.match(await cli('vpn-gateway-service-connection', 'r', '--service-connection-id', '0717-x'), { code: 1 });
  const connection = ['vpn-gateway-connection-create', 'c', 'r', '169.21.50.5', PSK];
  t.match(await cli.json(...connection, '--distribute-traffic', 'true'), {
    mode: 'route',
    distribute_traffic: true,
    tunnels: [{}, {}],
  });
  const second = ['vpn-gateway-connection-create', 'c2', 'r', '169.21.50.6', PSK];
  t.match(await cli(...second, '--routing-protocol', 'bgp'), {
    code: 1,
    err: /routing_protocol needs .*BGP/,
  });
  t.match(await cli.json(...second, '--routing-protocol', 'none'), { routing_protocol: 'none' });
});

t.test('every example of "Adding connections to a VPN gateway"', async (t) => {
  const cli = await open(t);
  // The documents name gateway and policies by ids; ours have their own.
  const { id } = await cli.json('vpn-gateway-create', 'my-vpn-gateway', 'subnet-1');
  const ike = (await cli.json('ike-policy-create', 'ike', 'sha256', '14', 'aes256', '2')).id;
  const ipsec = (await cli.json('ipsec-policy-create', 'ipsec', 'sha256', 'aes256', 'group_14')).id;
  const create = ['vpn-gateway-connection-create', 'my-connection', id];
  const again = async () => {
    t.equal((await cli('vpn-gateway-connection-delete', id, 'my-connection', '-f', '-q')).code, 0);
  };

  t.match(await cli.json(...create, '169.21.50.5', PSK, ...CORE), {
    name: 'my-connection',
    psk: PSK,
    establish_mode: 'bidirectional',
    admin_state_up: true,
    dead_peer_detection: { action: 'restart', interval: 2, timeout: 10 },
    local: { cidrs: ['10.240.0.0/24'], ike_identities: [{ type: 'ipv4_address', value: '169.61.161.1' }] },
    peer: { address: '169.21.50.5', type: 'address', cidrs: ['192.168.1.0/24'] },
  });
  await again();
  const dpd = ['--dead-peer-detection-action', 'clear', '--dead-peer-detection-interval', '33'];
  t.match(
    await cli.json(...create, '169.21.50.5', PSK, ...CORE, ...dpd, '--dead-peer-detection-timeout', '100'),
    {
      dead_peer_detection: { action: 'clear', interval: 33, timeout: 100 },
    },
  );
  t.match(
    cli.lab.runner.desired.get(id)?.members[0]?.connections[0],
    { deadPeerDetection: { action: 'clear', interval: 33, timeout: 100 } },
    'and the gateway runs it',
  );
  await again();
  t.match(
    await cli.json(...create, '169.21.50.5', PSK, ...CORE, '--ipsec-policy', ipsec, '--ike-policy', ike),
    {
      ike_policy: { id: ike, name: 'ike' },
      ipsec_policy: { id: ipsec, name: 'ipsec' },
    },
  );
  t.match((await cli('ike-policy-connections', 'ike')).out, /^my-connection /m);
  await again();
  const fqdn = ['--peer-ike-identity-type', 'fqdn', '--peer-ike-identity-value', 'on-prem.my-company.com'];
  const keyId = ['--local-ike-identities', '[{"type":"key_id","value":"MTIzNA=="}]'];
  const peerOnly = ['--establish-mode', 'peer_only'];
  t.match(await cli.json(...create, 'on-prem.my-company.com', PSK, ...CORE, ...keyId, ...fqdn, ...peerOnly), {
    establish_mode: 'peer_only',
    local: { ike_identities: [{ type: 'key_id', value: 'MTIzNA==' }] },
    peer: {
      fqdn: 'on-prem.my-company.com',
      type: 'fqdn',
      ike_identity: { type: 'fqdn', value: 'on-prem.my-company.com' },
    },
  });
  await again();
  t.match(
    await cli.json(
      ...['vpn-gateway-connection-create', 'to-prem', id, 'on-prem.test.com', 'test123'],
      ...['--local-cidr', '10.10.20.0/28', '--peer-cidr', '192.168.0.0/24'],
      ...[
        '--peer-ike-identity-type',
        'ipv4_address',
        '--peer-ike-identity-value',
        '192.168.0.1',
        ...peerOnly,
      ],
    ),
    { psk: 'test123', peer: { ike_identity: { type: 'ipv4_address', value: '192.168.0.1' } } },
  );

  await cli.json(...create, '169.21.50.5', PSK, ...CORE);
  const add = 'vpn-gateway-connection-local-cidr-add';
  t.match(await cli(add, 'my-vpn-gateway', 'my-connection', '3.3.3.0/24'), { code: 0 });
  t.match(await cli(add, 'my-vpn-gateway', 'my-connection', '3.3.4.0', '24'), { code: 0 }, 'in two words');
  t.match(
    await cli('vpn-gateway-connection-peer-cidr-add', 'my-vpn-gateway', 'my-connection', '4.4.4.0/24'),
    { code: 0 },
  );
  const remove = 'vpn-gateway-connection-local-cidr-delete';
  t.match(await cli(remove, id, 'my-connection', '3.3.4.0/24', '-f'), { code: 0 });
  t.match(
    await cli(remove, id, 'my-connection', '3.3.9.0/24'),
    { code: 1, err: /does not have this local network/ },
    'what is not there is not asked about',
  );
  t.match(await cli(remove, id, 'my-connection', '3.3.3.0/24'), { code: 2, err: /no terminal to ask on/ });
  t.match(await cli.json('vpn-gateway-connection', 'my-vpn-gateway', 'my-connection'), {
    local: { cidrs: ['10.240.0.0/24', '3.3.3.0/24'] },
    peer: { cidrs: ['192.168.1.0/24', '4.4.4.0/24'] },
  });

  // Two local identities are for route mode; the quotes are left out, as in the document.
  await cli.json('vpn-gateway-create', 'routed', 'subnet-2', '--mode', 'route');
  const loose = [
    '--local-ike-identities',
    '[{type:ipv4_address,value:2.2.2.2},{type:fqdn,value:sadsadasd.com}]',
  ];
  const peerKey = ['--peer-ike-identity-type', 'key_id', '--peer-ike-identity-value', 'MTIzNA=='];
  t.match(
    await cli.json(
      ...['vpn-gateway-connection-create', 'my-connection', 'routed', '169.21.50.5', PSK],
      ...[...peerOnly, ...loose, ...peerKey],
    ),
    {
      establish_mode: 'peer_only',
      local: {
        ike_identities: [
          { type: 'ipv4_address', value: '2.2.2.2' },
          { type: 'fqdn', value: 'sadsadasd.com' },
        ],
      },
      peer: { ike_identity: { type: 'key_id', value: 'MTIzNA==' } },
    },
  );
});

t.test('a connection is changed', async (t) => {
  const cli = await open(t);
  await cli.json('vpn-gateway-create', 'g', 'subnet-1');
  await cli.json('ike-policy-create', 'ike', 'sha256', '14', 'aes256', '2');
  await cli.json(
    'vpn-gateway-connection-create',
    'c',
    'g',
    '169.21.50.5',
    PSK,
    ...CORE,
    '--ike-policy',
    'ike',
  );
  const key = join(cli.folder, 'key');
  writeFileSync(key, 'another-key\n', { mode: 0o600 });
  const update = ['vpn-gateway-connection-update', 'g', 'c'];
  const changed = [
    '--admin-state-up',
    'false',
    '--psk-file',
    key,
    '--peer-address',
    '169.21.50.6',
    '--name',
    'd',
  ];
  t.match(await cli.json(...update, ...changed, '--dead-peer-detection-timeout', '44'), {
    name: 'd',
    admin_state_up: false,
    psk: 'another-key',
    peer: { address: '169.21.50.6', ike_identity: { value: '169.21.50.6' } },
    dead_peer_detection: { action: 'restart', interval: 2, timeout: 44 },
    ike_policy: { name: 'ike' },
  });
  t.notOk('ike_policy' in (await cli.json('vpn-gateway-connection-update', 'g', 'd', '--reset-ike-policy')));
  t.match(await cli('vpn-gateway-connection-update', 'g', 'd', '--routing-protocol', 'bgp'), {
    code: 1,
    err: /BGP/,
  });
  t.match(await cli('vpn-gateway-connection-update', 'g', 'd'), { code: 2, err: /at least one option/ });
  t.match(await cli(...update, '--ike-policy', 'ike', '--reset-ike-policy'), { code: 2, err: /exclude/ });
  const shown = await cli('vpn-gateway-connection', 'g', 'd');
  t.notMatch(shown.out, /another-key/, 'people are not shown the key');
  t.match(shown.out, /^psk +\(not shown/m);
});

t.test('why a connection is down stands in the table', async (t) => {
  const cli = await open(t);
  await cli.json('vpn-gateway-create', 'g', 'subnet-1');
  const { id } = await cli.json('vpn-gateway-connection-create', 'c', 'g', '169.21.50.5', PSK, ...CORE);
  cli.lab.runner.setConnection(id, {
    status_reasons: [{ code: 'peer_not_responding', message: 'Nothing came back.' }],
  });
  t.match((await cli('vpn-gateway-connections', 'g')).out, /^c +down +up .* Nothing came back\. /m);
});

t.test('what is wrong is told, with the remedy', async (t) => {
  const cli = await open(t);
  await cli.json('vpn-gateway-create', 'gateway', 'subnet-1');
  const create = ['vpn-gateway-connection-create', 'c', 'gateway', '169.21.50.5'];
  t.match(await cli('vpn-gateway', 'gatewya'), { code: 1, err: /did you mean "gateway"/ });
  t.match(await cli(...create, ...CORE), { code: 2, err: /--psk-file/ }, 'no key and nobody to ask');
  t.match(await cli(...create, 'short', ...CORE), { code: 1, err: /^culvert: psk / });
  t.match(await cli(...create, PSK, '--psk-file', 'x', ...CORE), { code: 2, err: /exclude/ });
  t.match(await cli(...create, PSK, ...CORE, '--admin-state-up', 'maybe'), { code: 2, err: /true, false/ });
  t.match(await cli(...create, PSK, ...CORE, '--peer-ike-identity-type', 'fqdn'), {
    code: 2,
    err: /go together/,
  });
  t.match(await cli(...create, PSK, ...CORE, '--local-ike-identities', '[{'), { code: 2, err: /takes JSON/ });
  t.match(await cli(...create, PSK, ...CORE, '--dead-peer-detection-interval', '2s'), {
    code: 2,
    err: /whole number/,
  });
  t.match(await cli('vpn-gateway-connection-local-cidr-add', 'gateway', 'c', '1.1.1.0/24', '24'), {
    code: 1,
  });
  t.match(await cli('vpn-gateway-create', 'x', 'subnet-1', '--vpc', 'vpc-two'), {
    code: 2,
    err: /not in VPC/,
  });
  const nowhere = `unix:${join(cli.folder, 'none.sock')}`;
  t.match(await commandLine('vpn-gateways', '--endpoint', nowhere), { code: 1, err: /culvert serve/ });
  t.match(await commandLine('vpn-gateways', '--endpoint', 'ftp://x'), { code: 2, err: /not an endpoint/ });
  const json = await commandLine('vpn-gateways', '--endpoint', nowhere, '--output', 'json');
  t.match(JSON.parse(json.out), { error: { message: /no server/ } });
});

t.test('many objects, page by page', async (t) => {
  const cli = await open(t);
  const { id } = await cli.json('vpn-gateway-create', 'g', 'subnet-1');
  await cli.lab.store.commit(
    Array.from({ length: 250 }, (_, n) => ({
      type: 'put' as const,
      kind: 'ike_policy',
      id: `r006-${n}`,
      value: {
        name: `p${n}`,
        createdAt: new Date(n * 1000).toISOString(),
        resourceGroup: 'rg1',
        encryption: ['aes256'],
        authentication: ['sha256'],
        dhGroups: [14],
        ikeVersion: 2,
        keyLifetime: 28_800,
      },
    })),
  );
  t.equal((await cli.json('ike-policies')).length, 250);
  t.equal((await cli.json('ike-policy', 'p0')).id, 'r006-0', 'the oldest is on the last page');
  t.match(await cli.json('vpn-gateway', id), { name: 'g' });
});

t.test('a viewer with a token', async (t) => {
  const { hashSecret } = await import('../../src/api/auth/credentials.js');
  const folder = mkdtempSync(join(tmpdir(), 'culvert-cli-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const hash = (secret: string) => hashSecret(secret);
  const lab = await ApiLab.open(t, {
    auth: {
      mode: 'tokens',
      tokens: [{ name: 'eve', role: 'viewer', hash: hash('the-viewers-token') }],
      apiKeys: [{ name: 'ed', role: 'editor', hash: hash('the-editors-key') }],
    },
  });
  const url = await lab.server.listen({ tcp: { host: '127.0.0.1', port: 0 } });
  const token = join(folder, 'token');
  writeFileSync(token, 'the-viewers-token\n');
  const viewer = (...argv: string[]) =>
    commandLine(...argv, '--endpoint', `${url}/v1`, '--token-file', token);
  t.match(await commandLine('vpn-gateways', '--endpoint', url!), { code: 1, err: /--token-file/ });
  t.match(await viewer('vpn-gateways'), { code: 0, out: 'none\n' });
  t.match(await viewer('vpn-gateway-create', 'g', 'subnet-1'), { code: 1 });
  process.env.CULVERT_API_KEY = 'the-editors-key';
  t.teardown(() => delete process.env.CULVERT_API_KEY);
  t.match(await commandLine('vpn-gateway-create', 'g', 'subnet-1', '--endpoint', url!), { code: 0 });
  process.env.CULVERT_API_KEY = 'another-key-altogether';
  t.match(await commandLine('vpn-gateways', '--endpoint', url!), { code: 1, err: /API key/ });
});

t.test('every command has help with an example, and completion knows them', async (t) => {
  const { vpnCommands } = await import('../../src/cli/vpn/commands.js');
  const family = (kind: string, verbs: string) => verbs.split(' ').map((verb) => `${kind}${verb}`);
  const policy = ' -connections -create -delete -update';
  t.same(
    vpnCommands.map(({ name }) => name).sort(),
    [
      ...['ike-policies', 'ipsec-policies', 'vpn-gateways', 'vpn-gateway-connections', 'gateway-switch'],
      ...[
        'vpn-gateway-advertised-cidrs',
        'vpn-gateway-service-connections',
        'vpn-gateway-service-connection',
      ],
      ...family('ike-policy', policy),
      ...family('ipsec-policy', policy),
      ...family('vpn-gateway', ' -create -delete -update'),
      ...family('vpn-gateway-advertised-cidr', ' -add -delete'),
      ...family('vpn-gateway-connection', ' -create -delete -update -explain'),
      ...family('vpn-gateway-connection-local-cidr', '-add -delete'),
      ...family('vpn-gateway-connection-peer-cidr', '-add -delete'),
      ...['vpc-routing-tables', 'vpc-routing-table-routes', 'vpc-default-routing-table'],
      ...['subnet-routing-table', 'subnet-update', 'vpc-route-states'],
      ...family('vpc-routing-table', ' -create -update -delete'),
      ...family('vpc-routing-table-route', ' -create -update -delete'),
    ].sort(),
  );
  for (const { name, examples } of vpnCommands) {
    t.ok(examples.length > 0, name);
    t.match(await commandLine(name, '--help'), { code: 0, out: `Usage: culvert ${name}` });
  }
  t.match(await commandLine('completion'), { code: 0, out: /_culvert_completions/ });
});
