import { dialectOf } from '../../api/dialect.js';
import { gatewayBodies } from '../../api/schemas/requests.js';
import { countOf } from '../amounts.js';
import { UsageError } from '../errors.js';
import { API_VERSION, type ApiClient, type ApiObject } from './api-client.js';
import { bodyBy, fieldsOf, optionsBy } from './field-options.js';
import { givenGroup, groupChoice, groupFilter, ofGroup, operand, textOption, vpcOption } from './options.js';
import { resolveGateway, resolveObject } from './resolve.js';
import { compact, type DeleteCommand, type Given, type VpnCommand } from './spec.js';
import { gatewayView, serviceConnectionView } from './views.js';

const gateway = operand('VPN gateway by name or id');
const cidrOption = { cidr: { ...textOption('Network as address/prefix'), demandOption: true } };

/** What options say of their fields where it is more than the schemas do. */
const HELP = {
  name: 'New name',
  mode: 'Policy-based or route-based',
  local_asn: 'Number of the autonomous system, in route mode',
  advertised_cidrs: 'Networks to advertise, in route mode; may be repeated',
};
const bodies = gatewayBodies(dialectOf(API_VERSION));
/** All but what operands and the options of resource groups give. */
const createFields = fieldsOf(bodies.create.properties, ['name', 'subnet', 'resource_group'], HELP);
const updateFields = fieldsOf(bodies.patch.properties, [], HELP);
const createOptions = optionsBy(createFields);

/** The gateway of the first operand. */
export function givenGateway(api: ApiClient, given: Given): Promise<ApiObject> {
  return resolveGateway(api, given.operand('gateway'), given.text('vpc'));
}

const advertised = (id: string, cidr = ''): string =>
  `/vpn_gateways/${id}/advertised_cidrs${cidr && `/${encodeURIComponent(cidr)}`}`;

export const gatewayCommands: readonly (VpnCommand | DeleteCommand)[] = [
  {
    name: 'vpn-gateways',
    operands: '',
    positionals: {},
    options: { ...vpcOption, ...groupFilter },
    description: 'List the VPN gateways',
    examples: [['vpn-gateways', 'All of them']],
    run: async (api, given) => {
      const items = await ofGroup(api, given, api.list('/vpn_gateways', 'vpn_gateways'));
      const vpc = given.text('vpc');
      const id = vpc === undefined ? undefined : (await resolveObject(api, 'vpc', vpc)).id;
      const chosen = items.filter((one) => id === undefined || (one.vpc as ApiObject).id === id);
      return { kind: 'list', view: gatewayView, items: chosen };
    },
  },
  {
    name: 'vpn-gateway',
    operands: '<gateway>',
    positionals: { gateway },
    options: vpcOption,
    description: 'Show one VPN gateway',
    examples: [['vpn-gateway my-gateway', 'By its name']],
    run: async (api, given) => ({ kind: 'object', object: await givenGateway(api, given) }),
  },
  {
    name: 'vpn-gateway-create',
    operands: '<name> <subnet>',
    positionals: { name: operand('Its name'), subnet: operand('Subnet by name or id') },
    options: {
      ...createOptions,
      mode: { ...createOptions.mode, default: 'policy' },
      ...vpcOption,
      ...groupChoice,
    },
    repeatable: ['advertised-cidrs'],
    description: 'Create a VPN gateway in a subnet',
    examples: [
      ['vpn-gateway-create my-gateway my-subnet', 'It is pending first, and stable when it listens'],
    ],
    run: async (api, given) => {
      const vpc = given.text('vpc');
      const group = await givenGroup(api, given);
      const { id } = await subnetOf(api, given.operand('subnet'), vpc);
      const { body } = await api.call('POST', '/vpn_gateways', {
        name: given.operand('name'),
        subnet: { id },
        ...bodyBy(given, createFields),
        ...compact({ resource_group: group && { id: group.id } }),
      });
      return { kind: 'object', object: body as ApiObject };
    },
  },
  {
    name: 'vpn-gateway-update',
    operands: '<gateway>',
    positionals: { gateway },
    options: { ...optionsBy(updateFields), ...vpcOption },
    description: 'Change a VPN gateway',
    examples: [['vpn-gateway-update my-gateway --name headquarters', 'Its tunnels are not touched']],
    run: async (api, given) => {
      const fields = bodyBy(given, updateFields);
      if (Object.keys(fields).length === 0) throw new UsageError('name at least one option to change');
      const { id } = await givenGateway(api, given);
      const { body } = await api.call('PATCH', `/vpn_gateways/${id}`, fields);
      return { kind: 'object', object: body as ApiObject };
    },
  },
  {
    name: 'vpn-gateway-delete',
    operands: '<gateways...>',
    positionals: { gateways: { ...operand('VPN gateway by name or id, or several'), array: true } },
    options: vpcOption,
    description: 'Delete VPN gateways with their connections; policies stay',
    examples: [['vpn-gateway-delete my-gateway --force', 'Without asking']],
    find: async (api, given) => {
      const wanted = given.operands('gateways');
      const found = await Promise.all(wanted.map((name) => resolveGateway(api, name, given.text('vpc'))));
      return found.map((object) => ({
        object,
        path: `/vpn_gateways/${object.id}`,
        text: `VPN gateway "${object.name}" and its ${countOf((object.connections as unknown[]).length, 'connection')}`,
      }));
    },
  },
  {
    name: 'vpn-gateway-advertised-cidrs',
    operands: '<gateway>',
    positionals: { gateway },
    options: vpcOption,
    description: 'List the networks that a route mode gateway advertises',
    examples: [['vpn-gateway-advertised-cidrs my-gateway', 'One a line']],
    run: async (api, given) => {
      const { id } = await givenGateway(api, given);
      const { advertised_cidrs: values } = await api.get(advertised(id));
      return { kind: 'values', title: 'advertised networks', values: values as string[] };
    },
  },
  {
    name: 'gateway-switch',
    operands: '<gateway>',
    positionals: { gateway },
    options: vpcOption,
    description: 'Let the standby member of a policy mode gateway take over from the active one',
    examples: [['gateway-switch my-gateway', 'Its tunnels are negotiated anew, at once']],
    run: async (api, given) => {
      const { id, name } = await givenGateway(api, given);
      await api.call('POST', `/vpn_gateways/${id}/switch`);
      return {
        kind: 'done',
        text: `the standby of ${name} takes over`,
        json: { gateway: id, switched: true },
      };
    },
  },
  {
    name: 'vpn-gateway-advertised-cidr',
    operands: '<gateway>',
    positionals: { gateway },
    options: { ...cidrOption, ...vpcOption },
    description: 'Check whether a route mode gateway advertises a network',
    examples: [['vpn-gateway-advertised-cidr my-gateway --cidr 10.0.0.0/16', 'Exit code 0 when it does']],
    run: async (api, given) => {
      const { id, name } = await givenGateway(api, given);
      const cidr = given.text('cidr')!;
      await api.call('GET', advertised(id, cidr));
      return { kind: 'done', text: `${name} advertises ${cidr}`, json: { cidr, advertised: true } };
    },
  },
  {
    name: 'vpn-gateway-advertised-cidr-add',
    operands: '<gateway>',
    positionals: { gateway },
    options: { ...cidrOption, ...vpcOption },
    description: 'Let a route mode gateway advertise a network',
    examples: [['vpn-gateway-advertised-cidr-add my-gateway --cidr 10.0.0.0/16', 'Repeating it is no error']],
    run: async (api, given) => {
      const { id, name } = await givenGateway(api, given);
      const cidr = given.text('cidr')!;
      await api.call('PUT', advertised(id, cidr));
      return { kind: 'done', text: `${name} advertises ${cidr}`, json: { cidr, advertised: true } };
    },
  },
  {
    name: 'vpn-gateway-advertised-cidr-delete',
    operands: '<gateway> <cidrs...>',
    positionals: { gateway, cidrs: { ...operand('Networks as address/prefix'), array: true } },
    options: vpcOption,
    description: 'Stop a route mode gateway advertising networks',
    examples: [['vpn-gateway-advertised-cidr-delete my-gateway 10.0.0.0/16 --force', 'Without asking']],
    find: async (api, given) => {
      const { id, name } = await givenGateway(api, given);
      const cidrs = given.operands('cidrs');
      for (const cidr of cidrs) await api.call('GET', advertised(id, cidr));
      return cidrs.map((cidr) => ({
        object: { id: cidr, name: cidr },
        path: advertised(id, cidr),
        text: `the advertised network ${cidr} of ${name}`,
      }));
    },
  },
  {
    name: 'vpn-gateway-service-connections',
    operands: '<gateway>',
    positionals: { gateway },
    options: vpcOption,
    description: 'List the service connections of a VPN gateway',
    examples: [['vpn-gateway-service-connections my-gateway', 'There are none without a transit gateway']],
    run: async (api, given) => {
      const { id } = await givenGateway(api, given);
      const items = await api.list(`/vpn_gateways/${id}/service_connections`, 'service_connections');
      return { kind: 'list', view: serviceConnectionView, items };
    },
  },
  {
    name: 'vpn-gateway-service-connection',
    operands: '<gateway>',
    positionals: { gateway },
    options: {
      'service-connection-id': { ...textOption('Service connection by id'), demandOption: true },
      ...vpcOption,
    },
    description: 'Show one service connection of a VPN gateway',
    examples: [['vpn-gateway-service-connection my-gateway --service-connection-id 0717-…', 'By its id']],
    run: async (api, given) => {
      const { id } = await givenGateway(api, given);
      const service = encodeURIComponent(given.text('service-connection-id')!);
      return { kind: 'object', object: await api.get(`/vpn_gateways/${id}/service_connections/${service}`) };
    },
  },
];

async function subnetOf(api: ApiClient, nameOrId: string, vpc: string | undefined): Promise<ApiObject> {
  const subnet = await resolveObject(api, 'subnet', nameOrId);
  if (vpc === undefined) return subnet;
  const { id, name } = await resolveObject(api, 'vpc', vpc);
  if ((subnet.vpc as ApiObject).id === id) return subnet;
  throw new UsageError(`subnet ${subnet.name} is not in VPC ${name}`);
}
