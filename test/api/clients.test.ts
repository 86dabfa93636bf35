import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';
import { OPERATIONS } from '../../src/api/routes.js';
import { ApiLab, EARLY, IKE, IPSEC, type LabAnswer, NEW, PSK } from '../helpers/api-lab.js';

/** What clients that were written for the cloud service send. */
const RECORDED = new URL('../../../shared/reference/sdk-requests.json', import.meta.url);

interface Recorded {
  readonly operation: string;
  readonly method: string;
  readonly url_as_sent: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/** Ids in the recordings, by what they stand for. */
const IDS = {
  gateway: '0717-ddf51bec-3424-11e8-b467-0ed5f89f718b',
  connection: '0717-52f69dc3-6a5c-4bcf-b264-e7fae279b15c',
  ike: 'r006-e98f46a3-1e4e-4195-b4e5-b8155192689d',
  ipsec: 'r006-51eae621-dbbc-4c47-b623-b57a43c19876',
  tag: 'W/"96d225c4-56bd-43d9-98fc-d7148e5c5028"',
} as const;

/** The status each recorded operation has on objects as these; 200 where none is named. */
const STATUS: Readonly<Record<string, number>> = {
  createIkePolicy: 201,
  'createIkePolicy (required only)': 201,
  createIpsecPolicy: 201,
  deleteIkePolicy: 204,
  deleteIpsecPolicy: 204,
  'createVpnGateway (policy)': 201,
  'createVpnGateway (route+bgp attrs)': 201,
  'createVpnGateway (no mode, subnet by crn)': 201,
  deleteVpnGateway: 202,
  addVpnGatewayAdvertisedCidr: 204,
  checkVpnGatewayAdvertisedCidr: 204,
  removeVpnGatewayAdvertisedCidr: 204,
  'createVpnGatewayConnection (policy)': 201,
  'createVpnGatewayConnection (static route)': 201,
  // There is no BGP here.
  'createVpnGatewayConnection (dynamic route)': 400,
  'updateVpnGatewayConnection (array + If-Match)': 400,
  'deleteVpnGatewayConnection (If-Match)': 202,
  addVpnGatewayConnectionsLocalCidr: 204,
  checkVpnGatewayConnectionsLocalCidr: 204,
  removeVpnGatewayConnectionsLocalCidr: 204,
  addVpnGatewayConnectionsPeerCidr: 204,
  checkVpnGatewayConnectionsPeerCidr: 204,
  removeVpnGatewayConnectionsPeerCidr: 204,
  // None was ever made.
  getVpnGatewayServiceConnection: 404,
};

t.test(
  'the requests of the SDK',
  { skip: !existsSync(RECORDED) && 'the recordings are not here' },
  async (t) => {
    const { requests } = JSON.parse(readFileSync(RECORDED, 'utf8')) as { requests: Recorded[] };
    t.equal(requests.length, 49);
    const gcm = {
      authentication_algorithm: 'disabled',
      encryption_algorithm: 'aes256gcm16',
      pfs: 'group_19',
    };
    for (const recorded of requests) {
      const { operation, method, headers } = recorded;
      const lab = await ApiLab.open(t);
      const routed = /AdvertisedCidr|static route|dynamic route|updateVpnGateway$/.test(operation);
      const ike = (await lab.post('/ike_policies', IKE)).body.id;
      const ipsec = (await lab.post('/ipsec_policies', gcm)).body.id;
      const gateway = /^createVpnGateway \(/.test(operation)
        ? ''
        : await lab.gateway('lab', routed ? 'route' : 'policy');
      let connection = { id: '', tag: '' };
      if (gateway !== '' && !routed && !/^createVpnGatewayConnection/.test(operation)) {
        const made = await lab.post(`/vpn_gateways/${gateway}/connections`, {
          psk: PSK,
          local: {
            cidrs: ['192.168.5.0/24', operation.includes('Local') ? '192.168.1.0/24' : '192.168.6.0/24'],
          },
          peer: {
            address: '169.21.50.7',
            cidrs: ['10.45.1.0/24', operation.includes('Peer') ? '192.168.1.0/24' : '10.45.2.0/24'],
          },
        });
        t.equal(made.status, 201);
        connection = { id: made.body.id, tag: made.headers.etag as string };
      }
      if (/^(check|remove)VpnGatewayAdvertised/.test(operation)) {
        await lab.put(`/vpn_gateways/${gateway}/advertised_cidrs/10.45.0.0%2F24`);
      }
      const start = recorded.url_as_sent.includes('start=')
        ? new URL((await secondPage(lab, recorded.url_as_sent)) ?? 'http://x/').searchParams.get('start')
        : null;
      const own = (text: string): string =>
        text
          .replaceAll(IDS.gateway, gateway)
          .replaceAll(IDS.connection, connection.id)
          .replaceAll(IDS.ike, ike)
          .replaceAll(IDS.ipsec, ipsec)
          .replaceAll(IDS.tag, connection.tag);
      const url = own(recorded.url_as_sent).replace(
        /start=[a-z]+/,
        start === null ? 'x=y' : `start=${start}`,
      );
      const { 'accept-encoding': _encoding, ...rest } = headers;
      const answer = await lab.server.app.inject({
        method: method as 'GET',
        url,
        headers: {
          host: '127.0.0.1',
          ...rest,
          'x-request-id': '5f0b6c1e-0000-4000-8000-000000000000',
          ...(rest['if-match'] && { 'if-match': connection.tag }),
        },
        ...(recorded.body === undefined ? {} : { payload: own(JSON.stringify(recorded.body)) }),
      });
      const checked: LabAnswer = lab.checked(method, url, answer);
      t.equal(
        checked.status,
        STATUS[operation] ?? 200,
        `${operation}: ${JSON.stringify(checked.body?.errors)}`,
      );
      t.equal(checked.headers['x-request-id'], '5f0b6c1e-0000-4000-8000-000000000000');
      await lab.server.stop();
    }
  },
);

/** Address of the second page of a list that is made longer than one. */
async function secondPage(lab: ApiLab, url: string): Promise<string | undefined> {
  const limit = Number(/limit=([0-9]+)/.exec(url)?.[1]);
  const query = /resource_group|mode|sort/.test(url) ? '' : `?limit=${limit}`;
  if (!url.includes('/vpn_gateways') || query === '') return undefined;
  for (let n = 0; n < limit; n++) await lab.gateway(`more-${n}`, 'policy', n % 2 ? '0717-sub' : '0717-sub2');
  return (await lab.get(`/vpn_gateways${query}`)).body.next?.href;
}

/** As curl sends it: a form by its media type, JSON by what is in it, no generation. */
async function curl(lab: ApiLab, method: string, target: string, data?: string): Promise<LabAnswer> {
  const answer = await lab.server.app.inject({
    method: method as 'GET',
    url: target,
    headers: {
      host: 'localhost',
      accept: '*/*',
      ...(data === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }),
    },
    ...(data === undefined ? {} : { payload: data }),
  });
  return lab.checked(method, target, answer);
}

t.test('two VPCs, in the words of 2019', async (t) => {
  const lab = await ApiLab.open(t);
  const v = `version=${EARLY}`;
  const made: { id: string; address: string }[] = [];
  for (const [n, subnet] of ['0717-sub', '0717-sub2'].entries()) {
    const data = `{ "name": "vpn-gateway-${n + 1}", "subnet": {"id": "${subnet}"} }`;
    const { status, body } = await curl(lab, 'POST', `/v1/vpn_gateways?${v}`, data);
    t.equal(status, 201);
    t.equal(body.status, 'pending');
    made.push({ id: body.id, address: body.public_ip.address });
    await lab.until(
      async () => (await curl(lab, 'GET', `/v1/vpn_gateways/${body.id}?${v}`)).body.status === 'available',
    );
  }
  const [one, two] = made as [(typeof made)[0], (typeof made)[0]];
  for (const [own, other, local, peer] of [
    [one, two, '192.168.100.0/24', '192.168.0.0/24'],
    [two, one, '192.168.0.0/24', '192.168.100.0/24'],
  ] as const) {
    const data = `{ "name": "vpn-connection", "peer_address": "${other.address}", "psk": "VPNDemoPassword",
      "local_cidrs": [ "${local}" ], "peer_cidrs": [ "${peer}" ] }`;
    const list = `/v1/vpn_gateways/${own.id}/connections?${v}`;
    const { status, body } = await curl(lab, 'POST', list, data);
    t.equal(status, 201);
    const printed = 'id name href local_cidrs peer_cidrs peer_address admin_state_up psk dead_peer_detection';
    for (const field of `${printed} created_at route_mode authentication_mode status`.split(' ')) {
      t.ok(field in body, field);
    }
    t.equal(body.status, 'down');
    lab.runner.setConnection(body.id, { status: 'up' });
    await lab.until(async () => (await curl(lab, 'GET', list)).body.connections[0].status === 'up');
    t.equal((await curl(lab, 'GET', list)).body.limit, 10);
  }
  t.equal((await curl(lab, 'DELETE', `/v1/vpn_gateways/${one.id}?${v}`)).status, 204);
});

t.test('the FAQ of 2019', async (t) => {
  const lab = await ApiLab.open(t);
  const gateway = await lab.gateway('gw');
  const kept = await lab.delete('/subnets/0717-sub');
  t.same([kept.status, kept.body.errors[0].code], [409, 'subnet_not_empty_vpn_gway_exists']);
  await lab.delete(`/vpn_gateways/${gateway}`);
  await lab.until(async () => (await lab.get(`/vpn_gateways/${gateway}`)).status === 404);
  t.equal((await lab.delete('/subnets/0717-sub')).status, 403, 'the configuration has it');
  t.equal((await lab.delete('/subnets/none')).status, 404);
});

t.test('adding connections, in the words of 2025', async (t) => {
  const lab = await ApiLab.open(t);
  const v = `version=${NEW}&generation=2`;
  const gateway = await lab.gateway('gw');
  const ike = (await lab.post('/ike_policies', IKE)).body.id;
  const ipsec = (await lab.post('/ipsec_policies', IPSEC)).body.id;
  const list = `/v1/vpn_gateways/${gateway}/connections?${v}`;
  // The comma that is missing in print stands before ike_policy.
  const simple = (comma: string) => `{
    "name": "my-vpn-connection", "psk": "${PSK}",
    "dead_peer_detection": { "action": "restart", "interval": 2, "timeout": 10 },
    "local": { "cidrs": ["10.240.0.0/24"] },
    "peer": { "cidrs": ["192.168.1.0/24"], "address": "7.8.9.10" }${comma}
    "ike_policy": { "id": "${ike}" }, "ipsec_policy": { "id": "${ipsec}" } }`;
  t.equal((await curl(lab, 'POST', list, simple(''))).body.errors[0].code, 'bad_request');
  const first = await curl(lab, 'POST', list, simple(','));
  t.equal(first.status, 201);
  const advanced = await curl(
    lab,
    'POST',
    list,
    `{ "name": "my-advanced-vpn-connection", "establish_mode": "peer_only", "psk": "test123",
      "dead_peer_detection": { "action": "restart", "interval": 2, "timeout": 10 },
      "local": { "cidrs": ["10.240.1.0/24"], "ike_identities": [ { "type": "key_id", "value": "dGVzdGtleQ==" } ] },
      "peer": { "cidrs": ["192.168.2.0/24"], "ike_identity": { "type": "hostname", "value": "cisco-asa" },
        "fqdn": "on-prem.test.com" },
      "ike_policy": { "id": "${ike}" }, "ipsec_policy": { "id": "${ipsec}" }, "distribute_traffic":true }`,
  );
  t.equal(advanced.status, 201);
  t.match(advanced.body, {
    establish_mode: 'peer_only',
    local: { ike_identities: [{ type: 'key_id', value: 'dGVzdGtleQ==' }] },
    peer: { type: 'fqdn', fqdn: 'on-prem.test.com', ike_identity: { type: 'hostname', value: 'cisco-asa' } },
  });
  const path = `/v1/vpn_gateways/${gateway}/connections/${first.body.id}`;
  t.equal((await curl(lab, 'PUT', `${path}/local_cidrs/3.3.3.0/24?${v}`)).status, 204);
  t.equal((await curl(lab, 'PUT', `${path}/peer_cidrs/4.4.4.0/24?${v}`)).status, 204);
  t.match((await curl(lab, 'GET', `${path}?${v}`)).body, {
    local: { cidrs: ['10.240.0.0/24', '3.3.3.0/24'] },
    peer: { cidrs: ['192.168.1.0/24', '4.4.4.0/24'] },
  });
  // What the command line makes of its further examples.
  for (const [n, body] of [
    {
      dead_peer_detection: { action: 'clear', interval: 33, timeout: 100 },
      peer: { address: '169.21.50.5' },
    },
    {
      local: { cidrs: ['10.10.20.0/28'], ike_identities: [{ type: 'key_id', value: 'MTIzNA==' }] },
      peer: {
        fqdn: 'on-prem.my-company.com',
        ike_identity: { type: 'fqdn', value: 'on-prem.my-company.com' },
      },
      establish_mode: 'peer_only',
    },
    {
      peer: { fqdn: 'on-prem.test.com', ike_identity: { type: 'ipv4_address', value: '192.168.0.1' } },
      establish_mode: 'peer_only',
    },
  ].entries()) {
    const full = {
      psk: 'lkj14b1oi0alcniejkso',
      local: { cidrs: ['10.240.2.0/24'] },
      ...body,
      peer: { ...body.peer, cidrs: [`172.16.${n}.0/24`] },
    };
    const answer = await lab.post(`/vpn_gateways/${gateway}/connections`, full);
    t.equal(answer.status, 201, JSON.stringify(answer.body?.errors));
  }
});

t.test('lookups', async (t) => {
  const lab = await ApiLab.open(t);
  await lab.gateway('gw');
  t.match((await lab.get('/subnets')).body, {
    total_count: 2,
    subnets: [
      {
        id: '0717-sub',
        ipv4_cidr_block: '192.168.100.0/24',
        available_ipv4_address_count: 249,
        vpc: { name: 'vpc-one' },
      },
      { id: '0717-sub2', zone: { name: 'us-south-2' } },
    ],
  });
  t.equal((await lab.get('/subnets?limit=1')).body.subnets.length, 1);
  t.equal((await lab.get('/subnets/0717-sub')).body.name, 'subnet-1');
  t.equal((await lab.get('/subnets/none')).status, 404);
  t.equal((await lab.get('/vpcs')).body.total_count, 2);
  t.equal((await lab.get('/vpcs/r006-vpc-two')).body.name, 'vpc-two');
  t.equal((await lab.get('/vpcs/none')).status, 404);
  t.match((await lab.get('/resource_groups')).body.resources, [
    { id: 'rg1', default: true },
    { default: false },
  ]);
  t.equal((await lab.get('/resource_groups/rg1')).body.name, 'default');
  t.equal((await lab.get('/resource_groups/none')).status, 404);
  const manager = await lab.server.app.inject({
    url: '/v2/resource_groups?account_id=x',
    headers: { host: 'localhost' },
  });
  t.equal(manager.statusCode, 200);
});

t.test('the OpenAPI document', async (t) => {
  const lab = await ApiLab.open(t);
  const answer = await lab.server.app.inject({ url: '/openapi.json', headers: { host: 'localhost' } });
  const document = answer.json();
  t.match(document, { openapi: '3.1.0', info: { title: 'Culvert VPN API' } });
  const operations = Object.entries<Record<string, { operationId: string; responses: object }>>(
    document.paths,
  ).flatMap(([path, methods]) => Object.entries(methods).map(([method, one]) => ({ path, method, ...one })));
  const ids = operations.map(({ operationId }) => operationId);
  t.equal(new Set(ids).size, ids.length, 'ids are unique');
  t.same(
    OPERATIONS.map(({ id }) => id).filter((id) => !ids.includes(id)),
    [],
    'every operation is in it',
  );
  for (const { path, method, responses } of operations) {
    const statuses = Object.keys(responses).map(Number);
    t.ok(
      statuses.some((status) => status >= 400) && statuses.some((status) => status < 300),
      `${method} ${path}`,
    );
  }
  t.same(document.servers, [{ url: 'http://localhost' }], 'where the client found it');
  t.same(document.info.license.identifier, 'Apache-2.0');
  const fixed = await ApiLab.open(t, { site: { endpoint: 'https://vpn.example' } });
  const { servers } = (await fixed.server.app.inject('/openapi.json')).json();
  t.same(servers, [{ url: 'https://vpn.example' }], 'or where it is said to be');
  for (const name of ['VPNGateway', 'VPNGatewayConnection', 'IKEPolicy', 'IPsecPolicy', 'Errors']) {
    t.ok(name in document.components.schemas, name);
  }
  for (const [, name] of answer.body.matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
    if (!(name! in document.components.schemas)) t.fail(`${name} is referred to and not there`);
  }
});
