import { type GatewayRecord, KIND } from '../../store/records.js';
import type { Site } from '../../store/site.js';
import type { StoredObject } from '../../store/store.js';
import { formatCidr, parseCidr } from '../../util/ip.js';
import { type Transaction, View } from '../context.js';
import { ApiError, badField } from '../errors.js';
import { answered, done, type Operation, operation } from '../operation.js';
import { pageOf, readPage } from '../paging.js';
import { advertisedInVpc } from '../quotas.js';
import { AdvertisedCidrs } from '../schemas/answers.js';
import { ServiceConnection, ServiceConnections } from '../schemas/surroundings-answers.js';
import { findGateway, PAGE_QUERY, refuseDeleting } from './shared.js';

/**
 * Networks that a route mode gateway would announce to its peers. They are kept and returned; without BGP no peer
 * hears of them.
 */
const tag = 'VPN gateway';
const PATH = '/vpn_gateways/:id/advertised_cidrs';

export const advertisedOperations: readonly Operation[] = [
  operation({
    tag,
    method: 'GET',
    path: PATH,
    id: 'list_vpn_gateway_advertised_cidrs',
    summary: 'List the networks that a VPN gateway advertises',
    success: { 200: AdvertisedCidrs },
    errors: [400, 404],
    async handle(call, { store }) {
      const { value } = routeGateway(new View(await store.snapshot()), call.params.id!);
      return answered(200, { advertised_cidrs: value.advertisedCidrs });
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: `${PATH}/:cidr`,
    id: 'check_vpn_gateway_advertised_cidr',
    summary: 'Check that a VPN gateway advertises a network',
    success: { 204: null },
    errors: [400, 404],
    async handle(call, { store }) {
      const { value } = routeGateway(new View(await store.snapshot()), call.params.id!);
      if (!value.advertisedCidrs.includes(cidrParameter(call.params.cidr!))) throw notAdvertised();
      return done(204);
    },
  }),
  operation({
    tag,
    method: 'PUT',
    path: `${PATH}/:cidr`,
    id: 'add_vpn_gateway_advertised_cidr',
    summary: 'Make a VPN gateway advertise a network',
    success: { 204: null },
    errors: [400, 404, 409],
    async handle(call, { writes, site }) {
      return writes.run(
        call.actor,
        (transaction) => {
          const gateway = routeGateway(transaction.view, call.params.id!);
          refuseDeleting(gateway);
          const { value } = gateway;
          const cidr = cidrParameter(call.params.cidr!);
          if (value.advertisedCidrs.includes(cidr)) return;
          const advertisedCidrs = [...value.advertisedCidrs, cidr];
          checkAdvertisedLater(transaction, gateway.id, site);
          const after: GatewayRecord = { ...value, advertisedCidrs };
          transaction.put(KIND.gateway, gateway.id, after, 'is.vpn.vpn-gateway.update');
        },
        () => done(204),
      );
    },
  }),
  operation({
    tag,
    method: 'DELETE',
    path: `${PATH}/:cidr`,
    id: 'remove_vpn_gateway_advertised_cidr',
    summary: 'Make a VPN gateway advertise a network no longer',
    success: { 204: null },
    errors: [400, 404, 409],
    async handle(call, { writes }) {
      return writes.run(
        call.actor,
        (transaction) => {
          const gateway = routeGateway(transaction.view, call.params.id!);
          refuseDeleting(gateway);
          const cidr = cidrParameter(call.params.cidr!);
          const kept = gateway.value.advertisedCidrs.filter((one) => one !== cidr);
          if (kept.length === gateway.value.advertisedCidrs.length) throw notAdvertised();
          const after: GatewayRecord = { ...gateway.value, advertisedCidrs: kept };
          transaction.put(KIND.gateway, gateway.id, after, 'is.vpn.vpn-gateway.update');
        },
        () => done(204),
      );
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/vpn_gateways/:id/service_connections',
    id: 'list_vpn_gateway_service_connections',
    summary: 'List the service connections of a VPN gateway: there are none without a transit gateway',
    query: PAGE_QUERY,
    success: { 200: ServiceConnections },
    errors: [400, 404],
    async handle(call, { store }) {
      const { id } = findGateway(new View(await store.snapshot()), call.params.id!);
      const url = `${call.links.gateway(id)}/service_connections`;
      const { frame } = pageOf([], readPage(call.query, 50), true, url, {});
      return answered(200, {
        first: frame.first,
        limit: frame.limit,
        total_count: 0 as const,
        service_connections: [],
      });
    },
  }),
  operation({
    tag,
    method: 'GET',
    path: '/vpn_gateways/:id/service_connections/:sid',
    id: 'get_vpn_gateway_service_connection',
    summary: 'Retrieve a service connection of a VPN gateway',
    success: {},
    never: { 200: ServiceConnection },
    errors: [404],
    async handle(call, { store }) {
      findGateway(new View(await store.snapshot()), call.params.id!);
      throw new ApiError(404, 'not_found', 'there is no service connection with this id');
    },
  }),
];

/** The list of a new gateway, canonical and without repetitions. @throws ApiError 400 */
export function readAdvertised(texts: readonly string[]): readonly string[] {
  const cidrs = texts.map((text, index) => {
    const cidr = parseCidr(text);
    if (cidr.ok) return formatCidr(cidr.value);
    throw badField(`advertised_cidrs[${index}]`, 'validation_invalid_cidr', cidr.error);
  });
  const twice = cidrs.findIndex((cidr, index) => cidrs.indexOf(cidr) < index);
  if (twice < 0) return cidrs;
  throw badField(`advertised_cidrs[${twice}]`, 'validation_failure', 'is in the list twice: keep one');
}

/** Limits of a gateway (10) and of a VPC (15). @throws ApiError 400 when the transaction is settled */
export function checkAdvertisedLater(transaction: Transaction, id: string, { quotas }: Site): void {
  transaction.later(`advertised by ${id}`, (view) => {
    const { vpc, advertisedCidrs } = findGateway(view, id).value;
    const inVpc = advertisedInVpc(view, vpc);
    const code = 'vpn_gateway_advertised_cidrs_quota_exceeded';
    const refuse = (most: number, what: string): ApiError =>
      new ApiError(400, code, `at most ${most} advertised networks are for one ${what}: remove one first`);
    if (advertisedCidrs.length > quotas.advertised_cidrs_per_gateway) {
      throw refuse(quotas.advertised_cidrs_per_gateway, 'gateway');
    }
    if (inVpc > quotas.advertised_cidrs_per_vpc && advertisedCidrs.length > 0) {
      throw refuse(quotas.advertised_cidrs_per_vpc, 'VPC');
    }
  });
}

function routeGateway(view: View, id: string): StoredObject<GatewayRecord> {
  const gateway = findGateway(view, id);
  if (gateway.value.mode === 'route') return gateway;
  throw new ApiError(
    400,
    'bad_request',
    'only route mode gateways advertise networks: this is a policy mode one',
  );
}

function cidrParameter(text: string): string {
  const cidr = parseCidr(text);
  if (cidr.ok) return formatCidr(cidr.value);
  throw new ApiError(400, 'validation_invalid_cidr', `the network ${cidr.error}`, {
    name: 'cidr',
    type: 'parameter',
  });
}

function notAdvertised(): ApiError {
  return new ApiError(404, 'not_found', 'the gateway does not advertise this network');
}
