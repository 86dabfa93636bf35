import { BAD_BODIES, BAD_PAGES, no, type OperationCases, ok } from './case-words.js';
import type { ContractCase, World } from './contract-world.js';

const noVpc = no(404, 'vpc_not_found', { params: { vpc: '{none}' } });
const noTable = no(404, 'routing_table_not_found', { params: { id: '{none}' } });
const mismatch = { headers: () => ({ 'if-match': 'W/"old"' }) };
const anyTag = { headers: () => ({ 'if-match': '*' }) };
const TABLE = { vpc: 'r006-vpc-two', id: '{table}' };

const tableFields: readonly ContractCase[] = [
  no(400, 'routing_table_invalid_name', { body: { name: 'No Name' } }),
  no(409, 'routing_table_duplicate_name', { body: { name: 'attached' } }),
  no(400, 'validation_enum', { body: { accept_routes_from: [{ resource_type: 'x' }] }, ...anyTag }),
  no(400, 'validation_failure', { body: { advertise_routes_to: ['direct_link'] }, ...anyTag }),
  no(400, 'validation_failure', { body: { route_internet_ingress: true } }),
];

const route = {
  name: 'fresh',
  destination: '10.77.0.0/16',
  zone: { name: 'us-south-2' },
  next_hop: { address: '192.168.0.9' },
};
const { next_hop: _hop, ...nowhere } = route;
const hop = (next_hop: object, more: object = {}): ContractCase['body'] => ({
  ...nowhere,
  next_hop,
  ...more,
});
const taken = { ...route, destination: '10.8.0.0/16', action: 'drop', next_hop: undefined };

/** Faults that a route can have when it is made and when it is changed. */
const routeFields: readonly ContractCase[] = [
  no(400, 'route_invalid_name', { body: { ...route, name: 'No Name' } }),
  no(400, 'route_invalid_name', { body: { ...route, name: 'ibm-route' } }),
  no(409, 'route_duplicate_name', { body: { ...route, name: 'other' } }),
  no(400, 'validation_min_value', { body: { ...route, priority: -1 } }),
  no(400, 'validation_max_value', { body: { ...route, priority: 5 } }),
  no(400, 'validation_invalid_address', { body: hop({ address: '10.0.0' }) }),
  no(400, 'validation_only_one', { body: hop({ address: '10.0.0.3', id: '{rtc}' }) }),
  no(400, 'route_next_hop_not_valid', { body: hop({ address: '0.0.0.0' }) }),
  no(400, 'route_next_hop_not_valid', { body: hop({ address: '224.0.0.1' }) }),
  no(400, 'route_next_hop_not_valid', { body: hop({ address: '2001:db8::1' }) }),
  no(400, 'route_next_hop_not_valid', { body: hop({ id: '{none}' }) }),
  no(400, 'route_next_hop_not_valid', { body: hop({ id: '{c}' }) }),
];

const patchOf = (one: ContractCase): ContractCase => {
  const { destination: _destination, zone: _zone, action: _action, ...rest } = one.body as typeof taken;
  return { ...one, body: rest };
};

/** By the path of any table, and by that of the default table from before there were others. */
function routeCases(of: '_routing_table' | ''): Record<string, OperationCases> {
  const at = of === '' ? { vpc: 'r006-vpc-two' } : { vpc: 'r006-vpc-two', table: '{default2}' };
  const service = of === '' ? { vpc: 'r006-vpc-one' } : { vpc: 'r006-vpc-one', table: '{default1}' };
  const lost = [
    noVpc,
    ...(of === '' ? [] : [no(404, 'routing_table_not_found', { params: { table: '{none}' } })]),
  ];
  const one = { ...at, id: '{own}' };
  const noRoute = [...lost, no(404, 'route_not_found', { params: { id: '{none}' } })];
  const notOwn = no(409, 'route_not_user_owned', { params: { ...service, id: '{service}' } });
  return {
    [`list_vpc${of}_routes`]: { params: at, cases: [...lost, ...BAD_PAGES, ok(200)] },
    [`create_vpc${of}_route`]: {
      params: at,
      cases: [
        ...lost.map((each) => ({ ...each, body: route })),
        ...BAD_BODIES,
        ...routeFields,
        no(400, 'validation_required_field', { body: nowhere && { ...route, destination: undefined } }),
        no(400, 'validation_invalid_cidr', { body: { ...route, destination: '10.77.0.1/16' } }),
        no(400, 'validation_required_field', { body: { ...route, zone: {} } }),
        no(404, 'not_found', { body: { ...route, zone: { name: 'us-south-9' } } }),
        no(400, 'validation_enum', { body: { ...route, action: 'lose' } }),
        no(400, 'route_next_hop_not_valid', { body: nowhere }),
        no(400, 'route_next_hop_not_valid', { body: { ...route, action: 'drop' } }),
        no(400, 'route_next_hop_not_valid', { body: hop({ id: '{rtc}' }), params: service }),
        no(400, 'route_next_hop_not_valid', { body: hop({ id: '{rdc}' }) }),
        no(400, 'validation_failure', { body: { ...taken, advertise: true } }),
        no(409, 'route_duplicate_destination', { body: taken }),
        no(400, 'routes_quota_exceeded', { body: route, quotas: { routes_per_routing_table: 2 } }),
        no(400, 'route_prefix_lengths_quota_exceeded', {
          body: { ...route, destination: '10.77.7.0/24' },
          quotas: { prefix_lengths_per_routing_table: 1 },
        }),
        ok(201, { body: route }),
      ],
    },
    [`get_vpc${of}_route`]: { params: one, cases: [...noRoute, ok(200)] },
    [`update_vpc${of}_route`]: {
      params: one,
      cases: [
        ...noRoute.map((each) => ({ ...each, body: {} })),
        { ...notOwn, body: {} },
        ...BAD_BODIES,
        ...routeFields.map(patchOf),
        no(400, 'bad_field', { body: { destination: '10.0.0.0/8' } }),
        ok(200, { body: { name: 'renamed', priority: 0, next_hop: { id: '{rtc}' } } }),
      ],
    },
    [`delete_vpc${of}_route`]: { params: one, cases: [...noRoute, notOwn, ok(204)] },
  };
}

const SUBNET = { id: '0717-empty' };
const noSubnet = no(404, 'subnet_not_found', { params: { id: '{none}' } });
const badAttachments = BAD_BODIES.filter(({ code }) => code !== 'validation_invalid_field_type');
/** What may be wrong with a table that a subnet is to have; `wrap` makes the body of it. */
const attachments = (wrap: (table: object) => object): ContractCase[] => [
  no(400, 'validation_required_field', { body: wrap({}) }),
  no(400, 'validation_only_one', { body: wrap({ id: 'a', href: 'http://x/b' }) }),
  no(404, 'routing_table_not_found', { body: wrap({ id: '{none}' }) }),
  no(404, 'routing_table_not_found', { body: wrap({ id: '{default1}' }) }),
  no(409, 'routing_table_in_use', { body: wrap({ id: '{ingress}' }) }),
];

/** Routing tables, routes and subnets of the world. */
export const routingCases: Record<string, OperationCases> = {
  list_vpc_route_states: { params: { vpc: 'r006-vpc-two' }, cases: [noVpc, ...BAD_PAGES, ok(200)] },
  list_vpc_routing_tables: {
    params: { vpc: TABLE.vpc },
    cases: [noVpc, ...BAD_PAGES, no(400, 'validation_enum', { query: 'is_default=maybe' }), ok(200)],
  },
  create_vpc_routing_table: {
    params: { vpc: TABLE.vpc },
    cases: [
      { ...noVpc, body: {} },
      ...BAD_BODIES,
      ...tableFields,
      no(400, 'routing_tables_quota_exceeded', { body: {}, quotas: { routing_tables_per_vpc: 4 } }),
      no(409, 'route_duplicate_name', {
        body: { routes: [route, { ...route, destination: '10.1.0.0/16' }] },
      }),
      ok(201, { body: { name: '', routes: [route], route_vpc_zone_ingress: true } }),
    ],
  },
  get_vpc_routing_table: { params: TABLE, cases: [noVpc, noTable, ok(200)] },
  update_vpc_routing_table: {
    params: TABLE,
    cases: [
      { ...noVpc, body: {} },
      { ...noTable, body: {} },
      ...BAD_BODIES,
      ...tableFields,
      no(400, 'bad_request', { body: { advertise_routes_to: [] } }),
      no(409, 'routing_table_in_use', {
        body: { route_vpc_zone_ingress: true },
        params: { id: '{attached}' },
      }),
      no(412, 'precondition_failed', { body: { name: 'x' }, ...mismatch }),
      ok(200, { body: { name: 'renamed', accept_routes_from: [] }, ...anyTag }),
    ],
  },
  delete_vpc_routing_table: {
    params: TABLE,
    cases: [
      noVpc,
      noTable,
      no(409, 'routing_table_is_default', { params: { id: '{default2}' } }),
      no(409, 'routing_table_in_use', { params: { id: '{attached}' } }),
      no(412, 'precondition_failed', mismatch),
      ok(204),
    ],
  },
  get_vpc_default_routing_table: { params: { vpc: TABLE.vpc }, cases: [noVpc, ok(200)] },
  ...routeCases('_routing_table'),
  ...routeCases(''),
  get_subnet_routing_table: { params: SUBNET, cases: [noSubnet, ok(200)] },
  replace_subnet_routing_table: {
    params: SUBNET,
    cases: [
      { ...noSubnet, body: { id: '{table}' } },
      ...badAttachments,
      ...attachments((table) => table),
      ok(201, { body: { id: '{table}' } }),
    ],
  },
  update_subnet: {
    params: SUBNET,
    cases: [
      { ...noSubnet, body: {} },
      ...badAttachments,
      ...attachments((routing_table) => ({ routing_table })),
      ok(200, { body: { routing_table: { id: '{default2}' } } }),
    ],
  },
};

/** Adds what these cases find to a world: tables in every state, and routes of every origin. */
export async function addRouting(
  lab: World['lab'],
  ids: Record<string, string>,
  make: (name: string, target: string, body: object) => Promise<unknown>,
): Promise<void> {
  const vpc = `/vpcs/${TABLE.vpc}`;
  await make('rtc', `/vpn_gateways/${ids.rtgw}/connections`, {
    psk: 'lkj14b1oi0alcniejkso',
    peer: { address: '169.21.50.10' },
  });
  await make('table', `${vpc}/routing_tables`, { name: 'table' });
  await make('attached', `${vpc}/routing_tables`, { name: 'attached' });
  await make('ingress', `${vpc}/routing_tables`, { name: 'ingress', route_internet_ingress: true });
  await lab.put('/subnets/0717-empty/routing_table', { body: { id: ids.attached } });
  const zone = { name: 'us-south-2' };
  const own = { name: 'own', destination: '10.9.0.0/16', zone, next_hop: { address: '192.168.0.8' } };
  await make('own', `${vpc}/routes`, own);
  await make('other', `${vpc}/routes`, { name: 'other', destination: '10.8.0.0/16', zone, action: 'drop' });
  await make('led', `${vpc}/routing_tables/${ids.table}/routes`, {
    name: 'led',
    destination: '10.7.0.0/16',
    zone,
    next_hop: { id: ids.rtc },
  });
  ids.default1 = (await lab.get('/vpcs/r006-vpc-one/default_routing_table')).body.id;
  ids.default2 = (await lab.get(`${vpc}/default_routing_table`)).body.id;
  const { routes } = (await lab.get('/vpcs/r006-vpc-one/routes')).body;
  const living = routes as { id: string; creator?: { id: string } }[];
  ids.service = living.find(({ creator }) => creator?.id === ids.gw)!.id;
}
