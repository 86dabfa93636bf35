import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ApiLab, PSK, policyConnection } from '../helpers/api-lab.js';
import { commandLine } from '../helpers/command-line.js';

/*
 * "Adding connections to a VPN gateway" (2025), what it says of members, of the distribution of traffic and as next
 * steps: each sentence by its line, and a test that it is so. How traffic moves is in test/e2e/serve-distribution.
 */

const SEED = new URL('../../../shared/reference/seeds/seed-000-adding-connections.txt', import.meta.url);
const LINES = existsSync(SEED) ? readFileSync(SEED, 'utf8').replaceAll('â€™', '’').split('\n') : undefined;
const quoted = new Map<number, string[]>();

type Quote = readonly [line: number, text: string];

/** Sentences of the document, and what makes them true. */
function says(quotes: readonly Quote[], body: (t: Test) => Promise<void>): void {
  for (const [line, text] of quotes) quoted.set(line, [...(quoted.get(line) ?? []), text]);
  const title = quotes.map(([line, text]) => `line ${line}: ${text}`).join(' / ');
  t.test(title, async (t) => {
    for (const [line, text] of quotes) {
      if (LINES !== undefined) t.ok(LINES[line - 1]!.includes(text), `line ${line} has it`);
    }
    await body(t);
  });
}

const VPC = '/vpcs/r006-vpc-two';
const ZONE = { name: 'us-south-2' };
const PEER = { address: '169.21.50.9' };
const FQDN = { type: 'fqdn', value: 'my-vpn.example.com' };
const KEY_ID = { type: 'key_id', value: 'MTIzNA==' };

/** A route mode gateway with a connection and a route to it, as `culvert` and the API make them. */
async function routed(t: Test, more: object = {}) {
  const lab = await ApiLab.open(t);
  const gateway = await lab.gateway('routed', 'route', '0717-sub2');
  const made = await lab.post(`/vpn_gateways/${gateway}/connections`, { psk: PSK, peer: PEER, ...more });
  const connection: string = made.body.id;
  await lab.until(() => lab.runner.desired.get(gateway)?.members[1]?.connections.length === 1);
  await lab.post(`${VPC}/routes`, { destination: '10.9.0.0/16', zone: ZONE, next_hop: { id: connection } });
  const way = () => lab.runner.routes.vpcs[1]?.tables[0]?.routes[0]?.way;
  return {
    ...{ lab, gateway, connection },
    /** Brings the tunnels of both members to a status. @returns where packets by the route go */
    tunnels: async (...states: ('up' | 'down')[]) => {
      states.forEach((status, member) => {
        lab.runner.setTunnel(connection, member, { status, interface: `tunnel-${member + 1}` });
      });
      const before = lab.runner.routes.arrangements;
      await lab.until(() => lab.runner.routes.arrangements > before);
      return way();
    },
    status: async (body: object) =>
      (
        await lab.post(`/vpn_gateways/${gateway}/connections`, {
          psk: PSK,
          peer: { address: '169.21.50.7' },
          ...body,
        })
      ).status,
  };
}

/** The identities that each member of a gateway runs a connection with. */
function identities(lab: ApiLab, gateway: string, connection: string) {
  const { members } = lab.runner.desired.get(gateway)!;
  return members.map(
    ({ connections }) => connections.find(({ id }) => id === connection)?.local.ikeIdentities,
  );
}

says(
  [
    [59, 'Distribute traffic (Route-based VPN only)'],
    [
      59,
      "Enable this option to automatically distribute traffic between the active tunnels of the VPN gateway when a VPC route's next hop is the VPN connection.",
    ],
    [
      59,
      'This option is useful to maximize throughput wherein two VPN tunnels connect to your remote peer network.',
    ],
    [
      149,
      "Set to `true` to distribute traffic between the `Up` tunnels of the VPN gateway connection when a VPC route's next hop is the VPN connection.",
    ],
  ],
  async (t) => {
    const { connection, tunnels } = await routed(t, { distribute_traffic: true });
    const over = (...devices: (string | null)[]) => ({ spread: { connection, devices } });
    t.same(await tunnels('up', 'up'), over('tunnel-1', 'tunnel-2'));
    t.same(await tunnels('down', 'up'), over(null, 'tunnel-2'), 'between those that are up');
    t.same(await tunnels('up', 'up'), over('tunnel-1', 'tunnel-2'));
    const lab = await ApiLab.open(t);
    const policy = await lab.gateway('policy');
    const made = await lab.post(
      `/vpn_gateways/${policy}/connections`,
      policyConnection(1, { distribute_traffic: true }),
    );
    t.notOk('distribute_traffic' in made.body, 'not of a policy mode gateway');
  },
);

says(
  [
    [
      59,
      "If this option isn't enabled, the VPN gateway chooses the tunnel with the smaller public IP as the primary path, and switches to the secondary tunnel only if the primary goes down.",
    ],
  ],
  async (t) => {
    const { tunnels } = await routed(t);
    t.same(await tunnels('up', 'up'), { device: 'tunnel-1', standby: 'tunnel-2' });
    t.same(await tunnels('down', 'up'), { device: 'tunnel-2' });
    t.same(await tunnels('up', 'up'), { device: 'tunnel-1', standby: 'tunnel-2' });
    t.same(await tunnels('up', 'down'), { device: 'tunnel-1' });
  },
);

says(
  [
    [59, 'For more information, see [Use case 4: Distributing traffic for a route-based VPN]'],
    [149, 'For more information, see [Distributing traffic for a route-based VPN]'],
  ],
  async (t) => {
    const api = readFileSync(new URL('../../docs/api.md', import.meta.url), 'utf8');
    t.match(api, /^### Distribution of traffic$/m);
  },
);

says(
  [
    [79, 'For policy-based VPN gateways, you can configure one local IKE identity at most.'],
    [180, 'Policy-based VPN gateways can have only one local IKE identity.'],
  ],
  async (t) => {
    const lab = await ApiLab.open(t);
    const list = `/vpn_gateways/${await lab.gateway('policy')}/connections`;
    const local = (ike_identities: object[]) => ({ local: { cidrs: ['192.168.100.0/24'], ike_identities } });
    t.equal((await lab.post(list, policyConnection(1, local([FQDN])))).status, 201);
    t.equal((await lab.post(list, policyConnection(2, local([FQDN, KEY_ID])))).status, 400);
  },
);

says(
  [
    [
      79,
      'For route-based VPN gateways, if you want to configure a local IKE identity, you must provide two.',
    ],
    [79, 'You can provide values for the members or leave the input fields empty.'],
    [
      84,
      'Static route mode consists of two members in active-active mode, where the first identity applies to the first member and the second identity applies to the second member.',
    ],
    [
      182,
      'If a route-based VPN gateway has local IKE identities that are specified, then there must be at least two; the first identity applies to the first member of the VPN gateway, and the second identity applies to the second member.',
    ],
  ],
  async (t) => {
    const own = { local: { ike_identities: [FQDN, KEY_ID] } };
    const { lab, gateway, connection, status } = await routed(t, own);
    const { body } = await lab.get(`/vpn_gateways/${gateway}`);
    const roles = (body.members as { role: string }[]).map(({ role }) => role);
    t.same(roles, ['active', 'active']);
    t.same(identities(lab, gateway, connection), [[FQDN], [KEY_ID]]);
    t.equal(await status({ local: { ike_identities: [FQDN] } }), 400, 'not one');
    t.equal(await status({ local: { ike_identities: [] } }), 201, 'or none');
  },
);

says(
  [
    [
      84,
      'If you do not specify local IKE identities, then the type is an IPv4 address, and the value is the public IP address of the member’s VPN connection tunnel.',
    ],
  ],
  async (t) => {
    const { lab, gateway, connection } = await routed(t);
    const { body } = await lab.get(`/vpn_gateways/${gateway}/connections/${connection}`);
    const addresses = (body.tunnels as { public_ip: { address: string } }[]).map(
      ({ public_ip }) => public_ip.address,
    );
    t.equal(new Set(addresses).size, 2);
    t.same(
      identities(lab, gateway, connection),
      addresses.map((value) => [{ type: 'ipv4_address', value }]),
    );
  },
);

says(
  [
    [86, 'Policy mode consists of two members in active-standby mode.'],
    [86, 'The local IKE identity applies to the active member.'],
    [
      86,
      'If you do not specify a value, then the local IKE identity is the public IP address of the VPN gateway.',
    ],
    [90, 'The peer IKE identity applies to the active member.'],
    [90, "If you do not specify a value, then use the peer gateway's IPv4 address or FQDN."],
  ],
  async (t) => {
    const lab = await ApiLab.open(t);
    const gateway = await lab.gateway('policy');
    const { body } = await lab.get(`/vpn_gateways/${gateway}`);
    const members = body.members as { role: string; public_ip: { address: string } }[];
    t.same(members.map(({ role }) => role).sort(), ['active', 'standby']);
    const active = members.find(({ role }) => role === 'active')!;
    const list = `/vpn_gateways/${gateway}/connections`;
    const make = async (n: number, more: object) =>
      (await lab.post(list, policyConnection(n, more))).body.id as string;
    const usual = await make(1, {});
    const named = await make(2, { peer: { fqdn: 'on-prem.my-company.com', cidrs: ['10.2.0.0/16'] } });
    const given = await make(3, {
      local: { cidrs: ['192.168.100.0/24'], ike_identities: [FQDN] },
      peer: { address: '169.21.50.3', cidrs: ['10.3.0.0/16'], ike_identity: KEY_ID },
    });
    await lab.until(() => lab.runner.desired.get(gateway)?.members[0]?.connections.length === 3);
    const [run] = lab.runner.desired.get(gateway)!.members;
    const of = (id: string) => {
      const { local, peer } = run!.connections.find((one) => one.id === id)!;
      return [local.ikeIdentities, peer.ikeIdentity];
    };
    const own = [{ type: 'ipv4_address', value: active.public_ip.address }];
    t.same(of(usual), [own, { type: 'ipv4_address', value: '169.21.50.1' }]);
    t.same(of(named), [own, { type: 'fqdn', value: 'on-prem.my-company.com' }]);
    t.same(of(given), [[FQDN], KEY_ID]);
  },
);

says(
  [
    [106, '[--distribute-traffic true | false]'],
    [148, '`--distribute-traffic`'],
    [149, 'This value can be either `true` or `false`.'],
    [
      203,
      'Create a VPN connection for a route-based VPN gateway with the [distribute traffic feature](/docs/vpc?topic=vpc-using-vpn&interface=terraform#use-case-4-vpn) enabled:',
    ],
    [
      206,
      'ibmcloud is vpn-gateway-connection-create CONNECTION_NAME VPN_GATEWAY PEER PRESHARED_KEY --distribute-traffic true',
    ],
    [436, '"distribute_traffic":true'],
    [
      580,
      'The following Terraform example creates a VPN connection for a route-based VPN gateway with the [distribute traffic feature](/docs/vpc?topic=vpc-using-vpn&interface=terraform#use-case-4-vpn) enabled:',
    ],
    [589, 'distribute-traffic = true'],
  ],
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'culvert-seed-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const { lab, gateway } = await routed(t);
    const socketPath = join(folder, 'api.sock');
    await lab.server.listen({ socketPath });
    const create = (name: string, peer: string, value: string) =>
      commandLine(
        ...['vpn-gateway-connection-create', name, gateway, peer, 'VPNDemoPassword'],
        ...['--distribute-traffic', value, '--endpoint', `unix:${socketPath}`],
      );
    for (const [n, value] of ['true', 'false'].entries()) {
      t.equal((await create(`c-${value}`, `169.21.50.2${n}`, value)).code, 0, value);
    }
    t.equal((await create('c', '169.21.50.29', 'maybe')).code, 2, 'and nothing else');
    const list = `/vpn_gateways/${gateway}/connections`;
    const { connections } = (await lab.get(list)).body;
    const settings = (connections as { name: string; distribute_traffic: boolean }[])
      .filter(({ name }) => name.startsWith('c-'))
      .map(({ name, distribute_traffic }) => [name, distribute_traffic]);
    t.same(settings.sort(), [
      ['c-false', false],
      ['c-true', true],
    ]);
    // What the Terraform provider sends for its example.
    const body = {
      name: 'example-vpn-gateway-connection',
      psk: 'VPNDemoPassword',
      peer: { address: '169.21.50.30' },
    };
    t.match(await lab.post(list, { ...body, distribute_traffic: true }), {
      status: 201,
      body: { distribute_traffic: true },
    });
  },
);

says(
  [
    [620, '## Next steps'],
    [
      623,
      'To create a route-based VPN, first [create a routing table](/docs/vpc?topic=vpc-create-vpc-routing-table), then [create a route using the VPN connection type](/docs/vpc?topic=vpc-create-vpc-route).',
    ],
  ],
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'culvert-seed-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const lab = await ApiLab.open(t);
    const gateway = await lab.gateway('routed', 'route', '0717-sub2');
    const made = await lab.post(`/vpn_gateways/${gateway}/connections`, { name: 'c', psk: PSK, peer: PEER });
    const socketPath = join(folder, 'api.sock');
    await lab.server.listen({ socketPath });
    const cli = async (...argv: string[]) => {
      const { code, out, err } = await commandLine(
        ...argv,
        '--endpoint',
        `unix:${socketPath}`,
        '--output',
        'json',
      );
      if (code !== 0) throw new Error(`${argv.join(' ')}: ${err}`);
      return JSON.parse(out);
    };
    const table = await cli('vpc-routing-table-create', 'vpc-two', '--name', 'my-table');
    const where = [
      '--zone',
      ZONE.name,
      '--destination',
      '10.9.0.0/16',
      '--next-hop',
      'c',
      '--vpngw',
      'routed',
    ];
    const route = await cli('vpc-routing-table-route-create', 'vpc-two', table.id, '--name', 'r', ...where);
    t.match(route.next_hop, { id: made.body.id, resource_type: 'vpn_gateway_connection' });
    await cli('subnet-update', 'subnet-2', '--routing-table-id', table.id);
    lab.runner.setConnection(made.body.id, { status: 'up', interface: 'tunnel-1' });
    const state = async () => (await lab.get(`${VPC}/routing_tables/${table.id}/routes/${route.id}`)).body;
    await lab.until(async () => (await state()).lifecycle_state === 'stable');
    const wanted = lab.runner.routes.vpcs[1]!.tables.find(({ routes }) => routes.length > 0);
    t.match(wanted, {
      sources: ['192.168.0.0/24'],
      routes: [{ destination: '10.9.0.0/16', way: { device: 'tunnel-1' } }],
    });
  },
);

t.test('no sentence is left out', { skip: LINES === undefined && 'the document is not here' }, async (t) => {
  const about = /distribut|\bmembers?\b|routing table|next steps/i;
  for (const [index, text] of LINES!.entries()) {
    if (!about.test(text) || text.startsWith('[') || text.startsWith('{:')) continue;
    let rest = text;
    for (const quote of quoted.get(index + 1) ?? []) rest = rest.replace(quote, '');
    // What is left are signs of the markup and where a link leads.
    rest = rest.replace(/\(\/docs\/[^)]*\)/g, '');
    t.notMatch(rest, /[a-z]{2}/i, `line ${index + 1}`);
  }
});
