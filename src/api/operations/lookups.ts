import type { GatewayMember, GatewayRecord } from '../../store/records.js';
import type { ResourceGroup, Subnet, Vpc } from '../../store/site.js';
import type { StoredObject } from '../../store/store.js';
import { cidrOf } from '../../util/ip.js';
import { type ApiContext, View } from '../context.js';
import { ApiError } from '../errors.js';
import { answered, type Call, type Operation, operation } from '../operation.js';
import { pageOf, readPage } from '../paging.js';
import { tableReference } from '../render/routing.js';
import { defaultTable, tableOfSubnet } from '../routing/tables.js';
import * as Schemas from '../schemas/surroundings-answers.js';
import { PAGE_QUERY } from './shared.js';

/** What gateways are made in. It comes from the server's configuration, so clients only read it. */
const tag = 'Surroundings';
/** Clients look for them at the resource manager's second version. */
const GROUP_PREFIXES = ['/v1', '/v2'];

export const lookupOperations: readonly Operation[] = [
  operation({
    tag,
    method: 'GET',
    path: '/vpcs',
    id: 'list_vpcs',
    summary: 'List the VPCs',
    query: PAGE_QUERY,
    success: { 200: Schemas.Vpcs },
    errors: [400],
    async handle(call, { store, site }) {
      const view = new View(await store.snapshot());
      const page = pageUnder('/vpcs', call, site.vpcs, byName);
      const vpcs = page.items.map((vpc) => vpcAnswer(vpc, view, call, site.resourceGroups));
      return answered(200, { ...page.frame, vpcs });
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/vpcs/:id',
    id: 'get_vpc',
    summary: 'Retrieve a VPC',
    success: { 200: Schemas.Vpc },
    errors: [404],
    async handle(call, { store, site }) {
      const vpc = find(site.vpcs, call.params.id!, 'VPC');
      const view = new View(await store.snapshot());
      return answered(200, vpcAnswer(vpc, view, call, site.resourceGroups));
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/subnets',
    id: 'list_subnets',
    summary: 'List the subnets',
    query: PAGE_QUERY,
    success: { 200: Schemas.Subnets },
    errors: [400],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      const page = pageUnder('/subnets', call, context.site.subnets, byName);
      const subnets = page.items.map((subnet) => subnetAnswer(subnet, view, call, context));
      return answered(200, { ...page.frame, subnets });
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/subnets/:id',
    id: 'get_subnet',
    summary: 'Retrieve a subnet',
    success: { 200: Schemas.Subnet },
    errors: [404],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      const subnet = find(context.site.subnets, call.params.id!, 'subnet');
      return answered(200, subnetAnswer(subnet, view, call, context));
    },
  }),
  operation({
    tag,
    method: 'DELETE',
    path: '/subnets/:id',
    id: 'delete_subnet',
    summary: 'Refused: a subnet with a gateway cannot be deleted, and others belong to the configuration',
    success: {},
    never: { 204: null },
    errors: [403, 404, 409],
    async handle(call, { store, site }) {
      const subnet = find(site.subnets, call.params.id!, 'subnet');
      const view = new View(await store.snapshot());
      const gateways = view.gateways().filter(({ value }) => value.subnet === subnet.id);
      if (gateways.length > 0) {
        const names = gateways.map(({ value }) => value.name).join(', ');
        const message = `subnet ${subnet.name} has VPN gateways: delete ${names} first`;
        throw new ApiError(409, 'subnet_not_empty_vpn_gway_exists', message);
      }
      const message = `subnet ${subnet.name} comes from the server's configuration: remove it there`;
      throw new ApiError(403, 'not_authorized', message);
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/subnets/:subnet/reserved_ips',
    id: 'list_subnet_reserved_ips',
    summary: 'List the addresses of a subnet that VPN gateways have',
    query: PAGE_QUERY,
    success: { 200: Schemas.ReservedIps },
    errors: [400, 404],
    async handle(call, { store, site }) {
      const { id } = find(site.subnets, call.params.subnet!, 'subnet');
      const all = reservedIps(id, new View(await store.snapshot()));
      const page = pageUnder(`/subnets/${id}/reserved_ips`, call, all, byAddress);
      const list = page.items.map((item) => reservedIpAnswer(item, call));
      return answered(200, { ...page.frame, reserved_ips: list });
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/subnets/:subnet/reserved_ips/:id',
    id: 'get_subnet_reserved_ip',
    summary: 'Retrieve an address of a subnet that a VPN gateway has',
    success: { 200: Schemas.ReservedIp },
    errors: [404],
    async handle(call, { store, site }) {
      const subnet = find(site.subnets, call.params.subnet!, 'subnet');
      const all = reservedIps(subnet.id, new View(await store.snapshot()));
      const found = all.find(({ member }) => member.privateIp.id === call.params.id);
      if (found === undefined) throw new ApiError(404, 'not_found', 'there is no reserved IP with this id');
      return answered(200, reservedIpAnswer(found, call));
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/resource_groups',
    prefixes: GROUP_PREFIXES,
    id: 'list_resource_groups',
    summary: 'List the resource groups',
    success: { 200: Schemas.ResourceGroups },
    errors: [],
    async handle(_call, { site }) {
      const resources = site.resourceGroups.map((group) => groupAnswer(group, site));
      return answered(200, { resources });
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/resource_groups/:id',
    prefixes: GROUP_PREFIXES,
    id: 'get_resource_group',
    summary: 'Retrieve a resource group',
    success: { 200: Schemas.ResourceGroup },
    errors: [404],
    async handle(call, { site }) {
      const group = find(site.resourceGroups, call.params.id!, 'resource group');
      return answered(200, groupAnswer(group, site));
    },
  }),
];

type KeyOf<T> = (item: T) => readonly [string, string];

const byName: KeyOf<{ readonly name: string; readonly id: string }> = ({ name, id }) => [name, id];
const byAddress: KeyOf<ReservedIp> = ({ member: { privateIp } }) => [privateIp.address, privateIp.id];

/** One page of what is listed under `path`, in ascending order. */
function pageUnder<T>(path: string, call: Call, items: readonly T[], keyOf: KeyOf<T>) {
  const rows = items.map((item) => ({ item, key: keyOf(item) }));
  return pageOf(rows, readPage(call.query, 50), false, `${call.links.base}${path}`, {});
}

function find<T extends { readonly id: string }>(items: readonly T[], id: string, what: string): T {
  const found = items.find((item) => item.id === id);
  if (found === undefined) throw new ApiError(404, 'not_found', `there is no ${what} with this id`);
  return found;
}

function vpcAnswer({ id }: Vpc, view: View, call: Call, groups: readonly ResourceGroup[]): Schemas.VpcAnswer {
  return {
    ...call.links.vpc(id),
    classic_access: false,
    default_routing_table: tableReference(defaultTable(view, id), call.links),
    resource_group: call.links.resourceGroup(groups[0]!.id),
    status: 'available',
  };
}

/** Renders a subnet with the routing table that it has. */
export function subnetAnswer(
  subnet: Subnet,
  view: View,
  call: Call,
  { site }: ApiContext,
): Schemas.SubnetAnswer {
  const { id, cidr: text, zone } = subnet;
  const cidr = cidrOf(text);
  const v4 = cidr.address.length === 4;
  const total = v4 ? 2 ** (32 - cidr.prefix) : 0;
  const used = view.gateways().filter(({ value }) => value.subnet === id).length * 2;
  // Four at the beginning and the last one belong to the network itself.
  const free = Math.max(0, total - 5 - used);
  return {
    ...call.links.subnet(id),
    available_ipv4_address_count: free,
    ip_version: v4 ? 'ipv4' : 'ipv6',
    ...(v4 ? { ipv4_cidr_block: text } : { ipv6_cidr_block: text }),
    resource_group: call.links.resourceGroup(site.resourceGroups[0]!.id),
    routing_table: tableReference(tableOfSubnet(view, subnet), call.links),
    status: 'available',
    total_ipv4_address_count: total,
    vpc: call.links.vpc(subnet.vpc),
    zone: { href: call.links.zone(zone), name: zone },
  };
}

interface ReservedIp {
  readonly gateway: StoredObject<GatewayRecord>;
  readonly member: GatewayMember;
}

function reservedIps(subnet: string, view: View): readonly ReservedIp[] {
  const gateways = view.gateways().filter(({ value }) => value.subnet === subnet);
  return gateways.flatMap((gateway) => gateway.value.members.map((member) => ({ gateway, member })));
}

function reservedIpAnswer(
  { gateway: { id, value }, member }: ReservedIp,
  { links }: Call,
): Schemas.ReservedIpAnswer {
  const { privateIp } = member;
  return {
    address: privateIp.address,
    auto_delete: true,
    created_at: value.createdAt,
    href: links.reservedIp(value.subnet, privateIp.id),
    id: privateIp.id,
    lifecycle_state: value.lifecycle === 'deleting' ? 'deleting' : 'stable',
    name: privateIp.name,
    owner: 'provider',
    resource_type: 'subnet_reserved_ip',
    target: {
      crn: links.crn('vpn', id),
      href: links.gateway(id),
      id,
      name: value.name,
      resource_type: 'vpn_gateway',
    },
  };
}

function groupAnswer(
  { id, name }: ResourceGroup,
  site: { account: string; resourceGroups: readonly ResourceGroup[] },
): Schemas.ResourceGroupAnswer {
  return {
    id,
    crn: `crn:v1:bluemix:public:resource-controller::a/${site.account}::resource-group:${id}`,
    account_id: site.account,
    name,
    state: 'ACTIVE',
    default: site.resourceGroups[0]!.id === id,
  };
}
