import { isIP } from 'node:net';
import type { Options } from 'yargs';
import {
  INGRESS_FIELDS,
  ROUTE_ACTIONS,
  ROUTE_LEARNERS,
  ROUTE_MAKERS,
  ROUTE_PRIORITY,
} from '../../store/records.js';
import { countOf } from '../amounts.js';
import { UsageError } from '../errors.js';
import type { ApiClient, ApiObject } from './api-client.js';
import { operand, switchOption, textOption } from './options.js';
import { resolveConnection, resolveGateway, resolveIn, resolveObject } from './resolve.js';
import { compact, type DeleteCommand, type Given, type VpnCommand } from './spec.js';
import { routeStateView, routeView, routingTableView } from './views.js';

const vpc = operand('VPC by name or id');
const table = operand('Routing table by name or id');
const route = operand('Route by name or id');

/** `--direct-link-ingress` and so on, of the field `route_direct_link_ingress`. */
const ingressOption = (field: string): string => field.replace(/^route_/, '').replaceAll('_', '-');

const tableOptions: Readonly<Record<string, Options>> = {
  ...Object.fromEntries(
    Object.values(INGRESS_FIELDS).map((field) => [
      ingressOption(field),
      switchOption('Whether packets that come from there are routed by the table'),
    ]),
  ),
  'accept-routes-from-resource-type-filters': {
    ...textOption(`Whose routes the table takes: ${ROUTE_MAKERS.join(', ')}; several with commas between`),
    alias: 'ar-rtf',
  },
  'advertise-routes-to': textOption(
    `Who learns routes of the table: ${ROUTE_LEARNERS.join(', ')}; several with commas between`,
  ),
};

const routeOptions: Readonly<Record<string, Options>> = {
  name: textOption('Its name'),
  priority: textOption(`${ROUTE_PRIORITY.min} to ${ROUTE_PRIORITY.max}; the smaller wins`),
  'next-hop': textOption('IP address, or VPN gateway connection by id, with --vpngw by name'),
  vpngw: textOption('VPN gateway by name or id, whose connection --next-hop is'),
  advertise: switchOption('Whether the route is advertised'),
};

async function givenVpc(api: ApiClient, given: Given): Promise<ApiObject> {
  return resolveObject(api, 'vpc', given.operand('vpc'));
}

async function givenTable(api: ApiClient, given: Given) {
  const { id } = await givenVpc(api, given);
  const path = `/vpcs/${id}/routing_tables`;
  const found = await resolveIn(api, path, 'routing_tables', given.operand('routing-table'), 'routing table');
  return { vpc: id, table: found, path: `${path}/${found.id}` };
}

async function givenRoute(api: ApiClient, given: Given, name = given.operand('route')) {
  const { vpc: id, table: owner, path: base } = await givenTable(api, given);
  const found = await resolveIn(api, `${base}/routes`, 'routes', name, `route of ${owner.name}`);
  return { vpc: id, table: owner, route: found, path: `${base}/routes/${found.id}` };
}

function tableFields(given: Given): Record<string, unknown> {
  const flags = Object.values(INGRESS_FIELDS).map((field) => [field, given.flag(ingressOption(field))]);
  const makers = given.list('accept-routes-from-resource-type-filters');
  return compact({
    name: given.text('name'),
    ...Object.fromEntries(flags),
    accept_routes_from: makers?.map((resource_type) => ({ resource_type })),
    advertise_routes_to: given.list('advertise-routes-to'),
  });
}

async function nextHop(api: ApiClient, given: Given, vpcId: string): Promise<object | undefined> {
  const wanted = given.text('next-hop');
  const gateway = given.text('vpngw');
  if (wanted === undefined) {
    if (gateway !== undefined) throw new UsageError('--vpngw is for a connection in --next-hop');
    return undefined;
  }
  if (isIP(wanted) !== 0) return { address: wanted };
  if (gateway === undefined) return { id: wanted };
  return { id: (await resolveConnection(api, await resolveGateway(api, gateway, vpcId), wanted)).id };
}

async function routeFields(api: ApiClient, given: Given, vpcId: string): Promise<Record<string, unknown>> {
  return compact({
    name: given.text('name'),
    priority: given.number('priority'),
    next_hop: await nextHop(api, given, vpcId),
    advertise: given.flag('advertise'),
  });
}

const tableCommands: readonly (VpnCommand | DeleteCommand)[] = [
  {
    name: 'vpc-routing-tables',
    operands: '<vpc>',
    positionals: { vpc },
    description: 'List the routing tables of a VPC',
    examples: [['vpc-routing-tables my-vpc', 'The default table, and those that subnets have of their own']],
    run: async (api, given) => {
      const { id } = await givenVpc(api, given);
      const items = await api.list(`/vpcs/${id}/routing_tables`, 'routing_tables');
      return { kind: 'list', view: routingTableView, items };
    },
  },
  {
    name: 'vpc-default-routing-table',
    operands: '<vpc>',
    positionals: { vpc },
    description: 'Show the routing table of the subnets of a VPC that have no other',
    examples: [['vpc-default-routing-table my-vpc', 'With its subnets and routes']],
    run: async (api, given) => {
      const { id } = await givenVpc(api, given);
      const object = (await api.get(`/vpcs/${id}/default_routing_table`)) as ApiObject;
      return { kind: 'object', object };
    },
  },
  {
    name: 'vpc-routing-table',
    operands: '<vpc> <routing-table>',
    positionals: { vpc, 'routing-table': table },
    description: 'Show one routing table of a VPC',
    examples: [['vpc-routing-table my-vpc my-table', 'By its name']],
    run: async (api, given) => ({ kind: 'object', object: (await givenTable(api, given)).table }),
  },
  {
    name: 'vpc-routing-table-create',
    operands: '<vpc>',
    positionals: { vpc },
    options: { name: textOption('Its name'), ...tableOptions },
    description: 'Create a routing table in a VPC',
    examples: [
      ['vpc-routing-table-create my-vpc --name my-table --ar-rtf vpn_gateway', 'For subnet-update to attach'],
    ],
    run: async (api, given) => {
      const { id } = await givenVpc(api, given);
      const { body } = await api.call('POST', `/vpcs/${id}/routing_tables`, tableFields(given));
      return { kind: 'object', object: body as ApiObject };
    },
  },
  {
    name: 'vpc-routing-table-update',
    operands: '<vpc> <routing-table>',
    positionals: { vpc, 'routing-table': table },
    options: {
      name: textOption('New name'),
      ...tableOptions,
      'clean-all-accept-routes-from-filters': {
        type: 'boolean',
        default: false,
        alias: 'cl-arf',
        describe: 'Take routes from nobody',
      },
    },
    description: 'Change a routing table',
    examples: [['vpc-routing-table-update my-vpc my-table --cl-arf', 'It loses the routes of services']],
    run: async (api, given) => {
      const clean = given.on('clean-all-accept-routes-from-filters');
      const fields = { ...tableFields(given), ...(clean ? { accept_routes_from: [] } : {}) };
      if (Object.keys(fields).length === 0) throw new UsageError('name at least one option to change');
      const { path } = await givenTable(api, given);
      const { etag = '*' } = await api.call('GET', path);
      const { body } = await api.call('PATCH', path, fields, {}, { 'if-match': etag });
      return { kind: 'object', object: body as ApiObject };
    },
  },
  {
    name: 'vpc-routing-table-delete',
    operands: '<vpc> <routing-table>',
    positionals: { vpc, 'routing-table': table },
    description: 'Delete a routing table that no subnet has, with its routes',
    examples: [['vpc-routing-table-delete my-vpc my-table --force', 'Without asking']],
    find: async (api, given) => {
      const { table: object, path } = await givenTable(api, given);
      const routes = countOf((object.routes as unknown[]).length, 'route');
      return [{ object, path, text: `routing table "${object.name}" and its ${routes}` }];
    },
  },
];

const routeCommands: readonly (VpnCommand | DeleteCommand)[] = [
  {
    name: 'vpc-routing-table-routes',
    operands: '<vpc> <routing-table>',
    positionals: { vpc, 'routing-table': table },
    description: 'List the routes of a routing table, and whether they are in force',
    examples: [['vpc-routing-table-routes my-vpc my-table', 'Those of services, too']],
    run: async (api, given) => {
      const { path } = await givenTable(api, given);
      return { kind: 'list', view: routeView, items: await api.list(`${path}/routes`, 'routes') };
    },
  },
  {
    name: 'vpc-routing-table-route',
    operands: '<vpc> <routing-table> <route>',
    positionals: { vpc, 'routing-table': table, route },
    description: 'Show one route of a routing table',
    examples: [['vpc-routing-table-route my-vpc my-table to-branch', 'By its name']],
    run: async (api, given) => ({ kind: 'object', object: (await givenRoute(api, given)).route }),
  },
  {
    name: 'vpc-routing-table-route-create',
    operands: '<vpc> <routing-table>',
    positionals: { vpc, 'routing-table': table },
    options: {
      zone: { ...textOption('Zone of the subnets that it is for'), demandOption: true },
      destination: { ...textOption('Network as address/prefix'), demandOption: true },
      action: { choices: ROUTE_ACTIONS, requiresArg: true, describe: 'What becomes of a packet' },
      ...routeOptions,
    },
    description: 'Create a route in a routing table',
    examples: [
      [
        'vpc-routing-table-route-create my-vpc my-table --zone local-1 --destination 10.2.0.0/24 --next-hop to-branch --vpngw my-gateway',
        'Through the tunnels of a connection',
      ],
    ],
    run: async (api, given) => {
      const { vpc: id, path } = await givenTable(api, given);
      const { body } = await api.call('POST', `${path}/routes`, {
        zone: { name: given.text('zone') },
        destination: given.text('destination'),
        ...compact({ action: given.text('action') }),
        ...(await routeFields(api, given, id)),
      });
      return { kind: 'object', object: body as ApiObject };
    },
  },
  {
    name: 'vpc-routing-table-route-update',
    operands: '<vpc> <routing-table> <route>',
    positionals: { vpc, 'routing-table': table, route },
    options: { ...routeOptions, name: textOption('New name') },
    description: 'Change a route',
    examples: [['vpc-routing-table-route-update my-vpc my-table to-branch --priority 1', 'Prefer it']],
    run: async (api, given) => {
      const { vpc: id, path } = await givenRoute(api, given);
      const fields = await routeFields(api, given, id);
      if (Object.keys(fields).length === 0) throw new UsageError('name at least one option to change');
      const { body } = await api.call('PATCH', path, fields);
      return { kind: 'object', object: body as ApiObject };
    },
  },
  {
    name: 'vpc-routing-table-route-delete',
    operands: '<vpc> <routing-table> <routes...>',
    positionals: {
      vpc,
      'routing-table': table,
      routes: { ...operand('Route by name or id, or several'), array: true },
    },
    description: 'Delete routes',
    examples: [['vpc-routing-table-route-delete my-vpc my-table to-branch --force', 'Without asking']],
    find: async (api, given) => {
      const found = await Promise.all(given.operands('routes').map((name) => givenRoute(api, given, name)));
      return found.map(({ route: object, path }) => ({ object, path, text: `route "${object.name}"` }));
    },
  },
];

/** What the reference CLI does not have: through which tunnels the packets of routes go. */
const stateCommands: readonly VpnCommand[] = [
  {
    name: 'vpc-route-states',
    operands: '<vpc>',
    positionals: { vpc },
    description: 'Show which routes are in force, why others are not, and which tunnels carry their packets',
    examples: [
      ['vpc-route-states my-vpc', 'The routes of all its tables'],
      ['vpc-route-states my-vpc --output json', 'With the TUN devices'],
    ],
    run: async (api, given) => {
      const { id } = await givenVpc(api, given);
      const items = await api.list(`/vpcs/${id}/route_states`, 'route_states');
      return { kind: 'list', view: routeStateView, items };
    },
  },
];

const subnet = operand('Subnet by name or id');

const subnetCommands: readonly VpnCommand[] = [
  {
    name: 'subnet-routing-table',
    operands: '<subnet>',
    positionals: { subnet },
    description: 'Show the routing table of a subnet',
    examples: [['subnet-routing-table my-subnet', 'By the name of the subnet']],
    run: async (api, given) => {
      const { id } = await resolveObject(api, 'subnet', given.operand('subnet'));
      const object = (await api.get(`/subnets/${id}/routing_table`)) as ApiObject;
      return { kind: 'object', object };
    },
  },
  {
    name: 'subnet-update',
    operands: '<subnet>',
    positionals: { subnet },
    options: { 'routing-table-id': textOption('Routing table by id, or by name') },
    description: 'Attach another routing table to a subnet',
    examples: [['subnet-update my-subnet --routing-table-id my-table', 'In the place of the one it has']],
    run: async (api, given) => {
      const wanted = given.text('routing-table-id');
      if (wanted === undefined) throw new UsageError('name the routing table with --routing-table-id');
      const found = await resolveObject(api, 'subnet', given.operand('subnet'));
      const { id: vpcId } = found.vpc as ApiObject;
      const { id } = await resolveIn(
        api,
        `/vpcs/${vpcId}/routing_tables`,
        'routing_tables',
        wanted,
        'routing table',
      );
      const { body } = await api.call('PATCH', `/subnets/${found.id}`, { routing_table: { id } });
      return { kind: 'object', object: body as ApiObject };
    },
  },
];

/** The commands of routing tables, with the names and arguments of the reference CLI. */
export const routingCommands: readonly (VpnCommand | DeleteCommand)[] = [
  ...tableCommands,
  ...routeCommands,
  ...stateCommands,
  ...subnetCommands,
];
