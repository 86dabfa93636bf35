import t from 'tap';
import { ApiLab, EARLY, PSK, policyConnection } from '../helpers/api-lab.js';

const VPC = '/vpcs/r006-vpc-two';
const ZONE = { name: 'us-south-2' };

/** A route mode gateway in the second VPC with a connection. */
async function open(t: { teardown(end: () => unknown): unknown }) {
  const lab = await ApiLab.open(t);
  const gateway = await lab.gateway('routed', 'route', '0717-sub2');
  const path = `/vpn_gateways/${gateway}/connections`;
  const { body } = await lab.post(path, { name: 'c', psk: PSK, peer: { address: '169.21.50.9' } });
  const up = (status: 'up' | 'down') =>
    lab.runner.setConnection(body.id, { status, ...(status === 'up' ? { interface: 'cvx' } : {}) });
  return { lab, gateway, connection: body.id as string, up };
}

t.test('every VPC has a default table, the same at every start', async (t) => {
  const { lab } = await open(t);
  const { body, headers } = await lab.get(`${VPC}/default_routing_table`);
  t.match(body, {
    is_default: true,
    accept_routes_from: [{ resource_type: 'vpn_gateway' }, { resource_type: 'vpn_server' }],
    advertise_routes_to: [],
    subnets: [{ id: '0717-sub2' }],
    routes: [],
    lifecycle_state: 'stable',
    resource_type: 'routing_table',
    crn: `crn:v1:bluemix:public:is:us-south:a/b668aa2600ac21c890aef16a6210b2fd::vpc-routing-table:r006-vpc-two/${body.id}`,
  });
  const again = (await (await ApiLab.open(t)).get(`${VPC}/default_routing_table`)).body;
  t.same([again.id, again.name], [body.id, body.name]);
  t.equal((await lab.get(VPC)).body.default_routing_table.id, body.id);
  t.equal((await lab.get('/subnets/0717-sub2')).body.routing_table.id, body.id);
  t.same((await lab.get(`${VPC}/routing_tables?is_default=false`)).body.routing_tables, []);
  const renamed = await lab.patch(`${VPC}/routing_tables/${body.id}`, { name: 'main' });
  t.match(renamed, { status: 200, body: { id: body.id, name: 'main', is_default: true } });
  t.not(renamed.headers.etag, headers.etag);
  t.equal((await lab.get(`${VPC}/default_routing_table`, { version: EARLY })).body.name, 'main');
});

t.test('a route to a connection is skipped while that is down', async (t) => {
  const { lab, connection, gateway, up } = await open(t);
  const body = { name: 'r', destination: '10.9.0.0/16', zone: ZONE, next_hop: { id: connection } };
  const { body: route } = await lab.post(`${VPC}/routes`, body);
  t.match(route, {
    action: 'deliver',
    advertise: false,
    origin: 'user',
    priority: 2,
    lifecycle_state: 'waiting',
    next_hop: { id: connection, resource_type: 'vpn_gateway_connection', name: 'c' },
  });
  const state = async () => (await lab.get(`${VPC}/routes/${route.id}`)).body.lifecycle_state;
  const laid = () =>
    lab.runner.routes.vpcs.flatMap(({ tables }) =>
      tables.flatMap(({ routes }) => routes.map(({ way }) => way)),
    );
  t.same(laid(), []);
  up('up');
  await lab.until(async () => (await state()) === 'stable');
  t.same(laid(), [{ device: 'cvx' }]);
  t.match(lab.runner.routes.vpcs[1], {
    vpc: { namespace: 'two' },
    gateways: ['169.61.162.1', '169.61.162.2'],
  });

  lab.runner.routes.refused.set(route.id, 'route r is not in force: no');
  lab.runner.routeFaults.set(gateway, ['route r is not in force: no']);
  t.equal(await state(), 'failed');
  t.match((await lab.get(`/vpn_gateways/${gateway}`)).body, {
    health_state: 'degraded',
    health_reasons: [{ code: 'cannot_create_vpc_route', message: 'Route r is not in force: no.' }],
  });
  lab.runner.routes.refused.clear();
  lab.runner.routeFaults.clear();
  up('down');
  await lab.until(async () => (await state()) === 'waiting');
  t.same(laid(), []);

  const path = `/vpn_gateways/${gateway}/connections/${connection}`;
  t.match(await lab.delete(path), { status: 409, body: { errors: [{ code: 'vpn_connection_in_use' }] } });
  const at = {
    vpc: { id: 'r006-vpc-two' },
    table: { id: (await lab.get(`${VPC}/default_routing_table`)).body.id },
  };
  const both = [
    { operation: 'delete_vpn_gateway_connection', gateway: { id: gateway }, id: connection },
    { operation: 'delete_vpc_routing_table_route', ...at, id: route.id },
  ];
  t.equal((await lab.transact(both)).status, 200, 'together they may go, in either order');
});

t.test('which tunnels carry the packets of a route, and why none does', async (t) => {
  const { lab, connection, gateway } = await open(t);
  const body = { name: 'r', destination: '10.9.0.0/16', zone: ZONE, next_hop: { id: connection } };
  const { body: route } = await lab.post(`${VPC}/routes`, body);
  const path = `/vpn_gateways/${gateway}/connections/${connection}`;
  const state = async () => (await lab.get(`${VPC}/route_states`)).body.route_states[0];
  t.match(await state(), {
    id: route.id,
    name: 'r',
    destination: '10.9.0.0/16',
    lifecycle_state: 'waiting',
    reason: /^no tunnel of connection c is up/,
    distribute_traffic: false,
    tunnels: [
      { member: 1, public_ip: { address: '169.61.162.1' }, status: 'down', carries: false },
      { member: 2, public_ip: { address: '169.61.162.2' }, status: 'down', carries: false },
    ],
    moved_at: null,
    moves: 0,
    notes: [],
  });
  for (const [member, device] of ['cva', 'cvb'].entries()) {
    lab.runner.setTunnel(connection, member, { status: 'up', interface: device });
  }
  const way = () => lab.runner.routes.vpcs[1]!.tables[0]!.routes[0]?.way;
  await lab.until(() => way() !== undefined);
  t.same(way(), { device: 'cva', standby: 'cvb' });
  t.equal((await lab.patch(path, { distribute_traffic: true })).status, 200);
  const spread = (...devices: (string | null)[]) => ({ spread: { connection, devices } });
  await lab.until(() => 'spread' in (way() ?? {}));
  t.same(way(), spread('cva', 'cvb'));

  lab.runner.routes.trails.set(route.id, { devices: ['cvb'], movedAt: Date.UTC(2026, 0, 2), moves: 3 });
  t.match(await state(), {
    lifecycle_state: 'stable',
    reason: undefined,
    distribute_traffic: true,
    tunnels: [
      { member: 1, interface: 'cva', status: 'up', carries: false },
      { member: 2, interface: 'cvb', status: 'up', carries: true },
    ],
    moved_at: '2026-01-02T00:00:00.000Z',
    moves: 3,
  });
  const { body: diagnosis } = await lab.get(`${path}/diagnosis`);
  t.match(diagnosis.routes, [{ id: route.id, tunnels: [{ carries: false }, { carries: true }] }]);
  lab.runner.setTunnel(connection, 0, { status: 'down' });
  await lab.until(() => JSON.stringify(way()) === JSON.stringify(spread(null, 'cvb')));

  t.equal((await lab.patch(path, { admin_state_up: false })).status, 200);
  await lab.until(async () => (await state()).lifecycle_state === 'waiting');
  t.match(await state(), { reason: /^connection c is administratively down: packets take the next route/ });
  lab.runner.routes.refused.set(route.id, 'route r is not in force: no');
  t.match(await state(), { lifecycle_state: 'failed', reason: 'route r is not in force: no' });
});

t.test('by href, by two addresses in turn, and nowhere', async (t) => {
  const { lab, connection, gateway } = await open(t);
  const create = async (more: object) =>
    (await lab.post(`${VPC}/routes`, { destination: '10.9.0.0/16', zone: ZONE, ...more })).body;
  const href = `http://localhost/v1/vpn_gateways/${gateway}/connections/${connection}`;
  t.equal((await create({ next_hop: { href }, priority: 0 })).next_hop.id, connection);
  const first = await create({ next_hop: { address: '192.168.0.8' } });
  const second = await create({ next_hop: { address: '192.168.0.9' } });
  t.match(await create({ next_hop: { address: '192.168.0.7' } }), {
    errors: [{ code: 'route_duplicate_destination' }],
  });
  t.match(await create({ action: 'drop', next_hop: { address: '0.0.0.0' }, priority: 4 }), {
    next_hop: { address: '0.0.0.0' },
  });
  await lab.until(() =>
    lab.runner.routes.vpcs.some(({ tables }) => tables.some(({ routes }) => routes.length === 2)),
  );
  t.match(lab.runner.routes.vpcs[1]!.tables[0], {
    sources: ['192.168.0.0/24'],
    routes: [
      { ids: [first.id, second.id], metric: 48, way: { routers: ['192.168.0.8', '192.168.0.9'] } },
      { metric: 80, way: { rule: 'drop' } },
    ],
  });
});

t.test('policy mode gateways make their routes themselves', async (t) => {
  const lab = await ApiLab.open(t);
  const one = '/vpcs/r006-vpc-one';
  const gateway = await lab.gateway('gw');
  await lab.post(`/vpn_gateways/${gateway}/connections`, policyConnection(1));
  await lab.until(async () => (await lab.get(`${one}/routes`)).body.routes[0].lifecycle_state === 'stable');
  const { body } = await lab.get(`${one}/routes`);
  const { private_ip } = (await lab.get(`/vpn_gateways/${gateway}`)).body.members[0];
  t.match(body.routes, [
    {
      name: /^ibm-vpn-gateway-/,
      origin: 'service',
      creator: { id: gateway, name: 'gw', resource_type: 'vpn_gateway' },
      destination: '10.1.0.0/16',
      next_hop: { address: private_ip.address },
      lifecycle_state: 'stable',
    },
  ]);
  const { body: table } = await lab.post(`${one}/routing_tables`, { name: 'mine' });
  t.same((await lab.get(`${one}/routing_tables/${table.id}/routes`)).body.routes, [], 'it accepts none');
  await lab.put('/subnets/0717-sub/routing_table', { body: { id: table.id } });
  const laid = () => lab.runner.routes.vpcs[0]!.tables.map(({ sources, routes }) => [sources, routes]);
  await lab.until(() => laid()[1]?.[0]?.length === 1);
  t.match(laid(), [
    [[], []],
    [['192.168.100.0/24'], [{ ids: [], destination: '10.1.0.0/16', way: { rule: 'refuse' } }]],
  ]);
  const tag = {
    headers: { 'if-match': String((await lab.get(`${one}/routing_tables/${table.id}`)).headers.etag) },
  };
  const body2 = { accept_routes_from: [{ resource_type: 'vpn_gateway' }] };
  t.equal((await lab.patch(`${one}/routing_tables/${table.id}`, body2, tag)).status, 200);
  t.equal((await lab.get(`${one}/routing_tables/${table.id}/routes`)).body.routes.length, 1);
  lab.runner.setConnection((await lab.get(`/vpn_gateways/${gateway}/connections`)).body.connections[0].id, {
    status_reasons: [
      { code: 'internal_error', message: 'in the way', details: { cause: 'local_route_conflict' } },
    ],
  });
  t.equal((await lab.get(`${one}/routes`)).body.routes[0].lifecycle_state, 'failed');
});

t.test('what Terraform sends is taken, and what it reads is there', async (t) => {
  const { lab, connection } = await open(t);
  // ibm_is_vpc_routing_table: an empty name, booleans only when true.
  const { body: table } = await lab.post(`${VPC}/routing_tables`, {
    name: '',
    accept_routes_from: [{ resource_type: 'vpn_server' }, { resource_type: 'vpn_gateway' }],
    advertise_routes_to: ['direct_link'],
    route_direct_link_ingress: true,
  });
  t.match(table, { name: /^[a-z-]+$/, crn: /^crn:/, accept_routes_from: [{}, {}], subnets: [] });
  const path = `${VPC}/routing_tables/${table.id}`;
  const etag = String((await lab.get(path)).headers.etag);
  const change = {
    name: 'tf-table',
    accept_routes_from: [],
    advertise_routes_to: [],
    route_direct_link_ingress: false,
  };
  t.match(await lab.patch(path, change, { headers: { 'if-match': etag } }), {
    status: 200,
    body: {
      name: 'tf-table',
      accept_routes_from: [],
      advertise_routes_to: [],
      route_direct_link_ingress: false,
    },
  });
  t.equal(
    (await lab.patch(path, change, { headers: { 'if-match': etag } })).status,
    412,
    'the tag of before',
  );
  t.equal((await lab.patch(path, { route_internet_ingress: true })).status, 200, 'without a tag');
  t.equal((await lab.patch(path, { route_internet_ingress: false })).status, 200);

  // ibm_is_vpc_routing_table_route: always an action, the next hop as an id unless it is an address.
  const made = await lab.post(`${path}/routes`, {
    action: 'deliver',
    destination: '10.8.0.0/16',
    zone: ZONE,
    next_hop: { id: connection },
    name: 'tf-route',
    priority: 0,
  });
  t.match(made, {
    status: 201,
    body: { name: 'tf-route', destination: '10.8.0.0/16', zone: ZONE, priority: 0, created_at: /^2026/ },
  });
  const route = `${path}/routes/${made.body.id}`;
  const moved = await lab.patch(route, {
    next_hop: { address: '192.168.0.7' },
    priority: 1,
    advertise: true,
  });
  t.match(moved, {
    status: 200,
    body: { next_hop: { address: '192.168.0.7' }, priority: 1, advertise: true },
  });
  for (const action of ['drop', 'delegate']) {
    const body = {
      action,
      destination: '10.7.0.0/16',
      zone: ZONE,
      next_hop: { address: '0.0.0.0' },
      priority: 2,
    };
    const { status, body: other } = await lab.post(`${path}/routes`, { ...body, name: action });
    t.equal(status, 201);
    t.equal((await lab.delete(`${path}/routes/${other.id}`)).status, 204);
  }

  // ibm_is_subnet_routing_table_attachment: by id or CRN; its deletion puts the default table back.
  for (const body of [{ crn: table.crn }, { id: (await lab.get(VPC)).body.default_routing_table.id }]) {
    const { status, body: attached } = await lab.put('/subnets/0717-sub2/routing_table', { body });
    t.equal(status, 201);
    t.match(attached.subnets, [{ id: '0717-sub2', name: 'subnet-2' }]);
    t.equal((await lab.get('/subnets/0717-sub2')).body.routing_table.id, attached.id);
  }
  t.equal((await lab.delete(route)).status, 204);
  t.equal((await lab.get(route)).status, 404);
  t.equal((await lab.delete(path)).status, 204);
  t.equal((await lab.get(path)).status, 404);
});

t.test('changes are in the audit trail under the words of the documents', async (t) => {
  const { lab } = await open(t);
  const { body: table } = await lab.post(`${VPC}/routing_tables`, { name: 'mine' });
  const path = `${VPC}/routing_tables/${table.id}`;
  const route = { destination: '10.8.0.0/16', zone: ZONE, action: 'drop' };
  const { body: one } = await lab.post(`${path}/routes`, route);
  const { body: old } = await lab.post(`${VPC}/routes`, route);
  await lab.put('/subnets/0717-sub2/routing_table', { body: { id: table.id } });
  const { id } = (await lab.get(VPC)).body.default_routing_table;
  await lab.patch('/subnets/0717-sub2', { routing_table: { id } });
  await lab.get(`${VPC}/routing_tables`);
  await lab.get(`${path}/routes/${one.id}`);
  await lab.get('/subnets/0717-sub2/routing_table');
  await lab.patch(`${path}/routes/${one.id}`, { priority: 1 });
  await lab.delete(`${VPC}/routes/${old.id}`);
  await lab.patch(path, { name: 'renamed' });
  await lab.delete(path);
  const { entries } = (await lab.get('/audit?limit=100', { prefix: '/culvert/v1' })).body;
  const actions = (entries as { action: string }[]).map(({ action }) => action).reverse();
  t.same(
    actions.filter((action) => /^is\.(vpc|subnet)\./.test(action)),
    [
      'is.vpc.routing-table.create',
      'is.vpc.routing-table_route.create',
      'is.vpc.vpc-route.create',
      'is.subnet.routing-table.attach',
      'is.vpc.routing-table.detach',
      'is.vpc.routing-table.read',
      'is.vpc.routing-table_route.read',
      'is.subnet.routing-table.read',
      'is.vpc.routing-table_route.update',
      'is.vpc.vpc-route.delete',
      'is.vpc.routing-table.update',
      'is.vpc.routing-table_route.delete',
      'is.vpc.routing-table.delete',
    ],
  );
});

t.test('a backup has tables and routes, and a restore judges them', async (t) => {
  const { lab, connection } = await open(t);
  const { body: table } = await lab.post(`${VPC}/routing_tables`, {
    name: 'mine',
    routes: [{ name: 'r', destination: '10.8.0.0/16', zone: ZONE, next_hop: { id: connection } }],
  });
  await lab.put('/subnets/0717-sub2/routing_table', { body: { id: table.id } });
  await lab.post(`${VPC}/routes`, { name: 'd', destination: '10.8.0.0/16', zone: ZONE, action: 'drop' });
  const own = { prefix: '/culvert/v1' };
  const { body: backup } = await lab.get('/backup', own);
  const other = await ApiLab.open(t);
  t.match(await other.post('/restore', { backup }, own), { status: 200, body: { made: 5 } });
  for (const path of [`${VPC}/routing_tables`, `${VPC}/routing_tables/${table.id}/routes`, `${VPC}/routes`]) {
    // Whether a route is in force comes a moment later.
    const read = async (from: ApiLab) =>
      JSON.stringify((await from.get(path)).body).replace(/"lifecycle_state":"[a-z]+"/g, '');
    t.equal(await read(other), await read(lab), path);
  }
  const elsewhere = await ApiLab.open(t, {
    site: { vpcs: [{ id: 'r006-vpc-one', name: 'vpc-one' }], subnets: [SUBNET] },
  });
  const refused = await elsewhere.post('/restore', { backup }, own);
  t.equal(refused.status, 400);
  t.match(JSON.stringify(refused.body), /routing_table|\\"r006-vpc-two\\", which the server does not have/);
});

const SUBNET = {
  id: '0717-sub',
  name: 'subnet-1',
  vpc: 'vpc-one',
  zone: 'us-south-1',
  cidr: '192.168.100.0/24',
  public_addresses: ['169.61.161.1'],
};
