import { randomUUID } from 'node:crypto';
import { type GatewayMember, type GatewayRecord, KIND } from '../../store/records.js';
import { freeAddresses, type Site, type Subnet } from '../../store/site.js';
import type { StoredObject } from '../../store/store.js';
import * as Type from '../../util/json-schema.js';
import { type ApiContext, type Transaction, View } from '../context.js';
import type { Dialect } from '../dialect.js';
import { ApiError, badField } from '../errors.js';
import { newId, newName } from '../ids.js';
import { answered, type Call, done, type Operation, operation } from '../operation.js';
import { pageOf, readPage, type SortKey } from '../paging.js';
import { gatewaysInZone, routeGatewaysIn } from '../quotas.js';
import { gatewayAnswer } from '../render/gateways.js';
import { keepRoutedGatewayLater } from '../routing/in-use.js';
import * as Schemas from '../schemas/answers.js';
import { gatewayBodies } from '../schemas/requests.js';
import { checkAdvertisedLater, readAdvertised } from './advertised.js';
import {
  byAge,
  checkName,
  checkQuota,
  choice,
  findGateway,
  idOf,
  namesOf,
  PAGE_QUERY,
  refuseDeleting,
  resourceGroupOf,
} from './shared.js';
import { readersOf } from './variants.js';

const readers = readersOf(gatewayBodies, { codes: { bad_name: 'vpn_gateway_invalid_name' } });

const DEFAULT_ASN = 64_520;
/** Numbers that the platform keeps for itself: single ones and ranges, both ends included. */
const RESERVED_ASNS: readonly (readonly [number, number])[] = [
  [0, 0],
  [13_884, 13_884],
  [36_351, 36_351],
  [64_512, 64_513],
  [65_100, 65_100],
  [65_200, 65_234],
  [65_402, 65_433],
  [65_500, 65_500],
  [4_201_065_000, 4_201_065_999],
];
/** Free addresses that a subnet needs for a gateway. */
const FREE_NEEDED = 4;

const SORTS = ['name', '-name', 'created_at', '-created_at'] as const;

const tag = 'VPN gateway';
const newestBodies = gatewayBodies(readers.newest);

export const gatewayOperations: readonly Operation[] = [
  operation({
    tag,
    method: 'GET',
    path: '/vpn_gateways',
    id: 'list_vpn_gateways',
    summary: 'List the VPN gateways',
    query: {
      ...PAGE_QUERY,
      'resource_group.id': Type.Optional(Type.String()),
      sort: Type.Optional(Type.Enum(SORTS)),
      mode: Type.Optional(Type.Enum(['policy', 'route'])),
    },
    success: { 200: Schemas.Gateways },
    errors: [400],
    async handle(call, context) {
      const view = new View(await context.store.snapshot());
      const mode = choice(call, 'mode', ['policy', 'route']);
      const sort = choice(call, 'sort', SORTS) ?? '-created_at';
      const group = call.query['resource_group.id'];
      const chosen = view
        .gateways()
        .filter(({ value }) => mode === undefined || value.mode === mode)
        .filter(({ value }) => group === undefined || value.resourceGroup === group);
      const byName = sort.endsWith('name');
      const key = (item: StoredObject<GatewayRecord>): SortKey =>
        byName ? [item.value.name, item.id] : byAge(item);
      const filters = {
        ...(mode === undefined ? {} : { mode }),
        ...(typeof group === 'string' ? { 'resource_group.id': group } : {}),
        ...(call.query.sort === undefined ? {} : { sort }),
      };
      const rows = chosen.map((item) => ({ item, key: key(item) }));
      const url = `${call.links.base}/vpn_gateways`;
      const page = pageOf(rows, readPage(call.query, 50), sort.startsWith('-'), url, filters);
      const list = page.items.map((item) => render(item, view, call, context));
      return answered(200, { ...page.frame, vpn_gateways: list });
    },
  }),
  operation({
    tag,
    method: 'POST',
    path: '/vpn_gateways',
    id: 'create_vpn_gateway',
    summary: 'Create a VPN gateway',
    body: newestBodies.create,
    success: { 201: Schemas.Gateway },
    errors: [400, 404, 409],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => createGateway(transaction, call, context),
        (id, view) => answer(201, id, view, call, context),
      );
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/vpn_gateways/:id',
    id: 'get_vpn_gateway',
    summary: 'Retrieve a VPN gateway',
    success: { 200: Schemas.Gateway },
    errors: [404],
    async handle(call, context) {
      return answer(200, call.params.id!, new View(await context.store.snapshot()), call, context);
    },
  }),
  operation({
    tag,
    method: 'PATCH',
    path: '/vpn_gateways/:id',
    id: 'update_vpn_gateway',
    summary: 'Update a VPN gateway',
    body: newestBodies.patch,
    success: { 200: Schemas.Gateway },
    errors: [400, 404, 409],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => patchGateway(transaction, call),
        (id, view) => answer(200, id, view, call, context),
      );
    },
  }),
  operation({
    tag,
    method: 'DELETE',
    path: '/vpn_gateways/:id',
    id: 'delete_vpn_gateway',
    summary: 'Delete a VPN gateway with its connections',
    success: { 202: null, 204: null },
    errors: [404, 409],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => deleteGateway(transaction, call),
        () => done(call.dialect.early ? 204 : 202),
      );
    },
  }),
];

function render(
  gateway: StoredObject<GatewayRecord>,
  view: View,
  call: Call,
  context: ApiContext,
): Schemas.GatewayAnswer {
  return gatewayAnswer(gateway, view, call.links, call.dialect, context.runner.observe(gateway.id));
}

function answer<Status extends 200 | 201>(
  status: Status,
  id: string,
  view: View,
  call: Call,
  context: ApiContext,
) {
  return { status, body: render(findGateway(view, id), view, call, context) };
}

function gatewaysOfVpc(view: View, vpc: string): readonly StoredObject<GatewayRecord>[] {
  return view.gateways().filter(({ value }) => value.vpc === vpc);
}

/** Makes a new gateway from the body of `call` and returns its id. @throws ApiError */
export function createGateway(transaction: Transaction, call: Call, { site, now }: ApiContext): string {
  const { view } = transaction;
  const body = readers.of(call.dialect).create.read(call.body());
  if (body.subnet === undefined) {
    throw badField('subnet', 'vpn_gateway_missing_subnet_id', 'is missing: name the subnet by its id');
  }
  const subnet = subnetOf(idOf(body.subnet, 'subnet'), site);
  const mode = body.mode ?? defaultMode(call.dialect);
  checkAsn(body.local_asn, mode);
  if (mode === 'policy' && body.advertised_cidrs !== undefined) {
    throw badField('advertised_cidrs', 'bad_field', 'is for route mode only: leave it out');
  }
  const advertisedCidrs = readAdvertised(body.advertised_cidrs ?? []);
  const { name = newName(namesOf(gatewaysOfVpc(view, subnet.vpc))) } = body;
  const resourceGroup = resourceGroupOf(body.resource_group, site);
  const id = newId('0717', call.dialect);
  checkNameLater(transaction, id, subnet.vpc);
  transaction.later(`quotas for ${id}`, (after) => checkQuotas(after, subnet, mode, site));
  checkAdvertisedLater(transaction, id, site);
  const record: GatewayRecord = {
    name,
    createdAt: now().toISOString(),
    mode,
    subnet: subnet.id,
    vpc: subnet.vpc,
    zone: subnet.zone,
    resourceGroup,
    ...(mode === 'route' ? { localAsn: body.local_asn ?? DEFAULT_ASN } : {}),
    advertisedCidrs,
    members: membersOf(view, subnet, mode),
    lifecycle: 'pending',
  };
  transaction.put(KIND.gateway, id, record, 'is.vpn.vpn-gateway.create');
  return id;
}

function checkNameLater(transaction: Transaction, id: string, vpc: string): void {
  transaction.later(`name of ${id}`, (view) =>
    checkName(id, gatewaysOfVpc(view, vpc), 'vpn_gateway_duplicate_name'),
  );
}

/** @throws ApiError */
export function patchGateway(transaction: Transaction, call: Call): string {
  const gateway = findGateway(transaction.view, call.params.id!);
  refuseDeleting(gateway);
  const { id, value: before } = gateway;
  const { name = before.name, local_asn } = readers.of(call.dialect).patch.read(call.body());
  checkAsn(local_asn, before.mode);
  const localAsn = local_asn ?? before.localAsn;
  if (name === before.name && localAsn === before.localAsn) return id;
  const after: GatewayRecord = { ...before, name, ...(localAsn === undefined ? {} : { localAsn }) };
  checkNameLater(transaction, id, before.vpc);
  transaction.put(KIND.gateway, id, after, 'is.vpn.vpn-gateway.update');
  return id;
}

/** Takes away what is stored of a gateway. Policies stay: others may use them. */
export function removeGateway(transaction: Transaction, id: string): void {
  for (const connection of transaction.view.connectionsOf(id)) {
    transaction.delete(KIND.connection, connection.id, 'is.vpn.vpn-connection.delete');
  }
  transaction.delete(KIND.gateway, id, 'is.vpn.vpn-gateway.delete');
}

/** Lets the lifecycle controller stop the gateway and remove what is stored of it. @throws ApiError */
export function deleteGateway(transaction: Transaction, call: Call): string {
  const { id, value } = findGateway(transaction.view, call.params.id!);
  if (value.lifecycle === 'deleting') return id;
  if (value.lifecycle === 'pending') {
    const message = `gateway ${value.name} is pending: delete it when it is stable or failed`;
    throw new ApiError(409, 'vpn_gateway_invalid_state', message);
  }
  keepRoutedGatewayLater(transaction, id);
  const after: GatewayRecord = { ...value, lifecycle: 'deleting' };
  transaction.put(KIND.gateway, id, after, 'is.vpn.vpn-gateway.delete');
  return id;
}

function defaultMode(dialect: Dialect): 'policy' | 'route' {
  return dialect.modes ? 'route' : 'policy';
}

function subnetOf(id: string, site: Site): Subnet {
  const subnet = site.subnets.find((one) => one.id === id);
  if (subnet !== undefined) return subnet;
  throw new ApiError(404, 'vpn_gateway_subnet_not_found', 'there is no subnet with this id', {
    name: 'subnet',
    type: 'field',
  });
}

function checkAsn(asn: number | undefined, mode: 'policy' | 'route'): void {
  if (asn === undefined) return;
  if (mode === 'policy') throw badField('local_asn', 'bad_field', 'is for route mode only: leave it out');
  if (RESERVED_ASNS.some(([first, last]) => asn >= first && asn <= last)) {
    throw badField('local_asn', 'validation_failure', `${asn} is reserved by the platform: choose another`);
  }
}

function checkQuotas(view: View, subnet: Subnet, mode: 'policy' | 'route', { quotas }: Site): void {
  const code = 'vpn_gateways_quota_exceeded';
  const { zone, vpc } = subnet;
  checkQuota(view.gateways().length, quotas.gateways_per_region, code, 'gateways in the region');
  checkQuota(gatewaysInZone(view, zone), quotas.gateways_per_zone, code, `gateways in zone ${zone}`);
  if (mode === 'policy') return;
  const what = `route mode gateways of this VPC in zone ${zone}`;
  checkQuota(routeGatewaysIn(view, zone, vpc), quotas.route_gateways_per_zone_and_vpc, code, what);
}

/** Two members with an address of the subnet each; public addresses for those that run. */
function membersOf(view: View, subnet: Subnet, mode: 'policy' | 'route'): readonly GatewayMember[] {
  const members = view.gateways().flatMap(({ value }) => value.members);
  const taken = new Set(members.flatMap(({ publicAddress }) => publicAddress ?? []));
  const reserved = new Set(members.map(({ privateIp }) => privateIp.address));
  const free = freeAddresses(subnet, reserved, FREE_NEEDED);
  const status = (message: string): ApiError =>
    new ApiError(409, 'vpn_gateway_subnet_status_error', message, { name: 'subnet', type: 'field' });
  if (free.length < FREE_NEEDED) {
    throw status(`subnet ${subnet.name} has ${free.length} free addresses: a gateway needs ${FREE_NEEDED}`);
  }
  const needed = mode === 'route' ? 2 : 1;
  const open = subnet.publicAddresses.filter((address) => !taken.has(address));
  if (open.length < needed) {
    const message = `subnet ${subnet.name} has ${open.length} public addresses left: a ${mode} mode gateway needs ${needed}`;
    throw status(message);
  }
  return [0, 1].map((index) => ({
    privateIp: { id: `0717-${randomUUID()}`, name: newName(new Set()), address: free[index]! },
    ...(index < needed ? { publicAddress: open[index]! } : {}),
  }));
}
