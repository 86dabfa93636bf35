import type { ConnectionRecord, GatewayRecord } from '../store/records.js';
import type { Quotas, Site } from '../store/site.js';
import type { StoredObject } from '../store/store.js';
import { cidrOf } from '../util/ip.js';
import type { View } from './context.js';
import { tablesOf, userRoutes } from './routing/tables.js';

/** What each quota counts, in one place: what is refused and what is shown cannot differ. */

export function gatewaysInZone(view: View, zone: string): number {
  return view.gateways().filter(({ value }) => value.zone === zone).length;
}

/** Counts the route-mode gateways of a VPC in one zone, for `route_gateways_per_zone_and_vpc`. */
export function routeGatewaysIn(view: View, zone: string, vpc: string): number {
  return view
    .gateways()
    .filter(({ value }) => value.mode === 'route' && value.zone === zone && value.vpc === vpc).length;
}

/** Networks of a connection, local and peer together. */
export function networksOf({ local, peer }: ConnectionRecord): number {
  return local.cidrs.length + peer.cidrs.length;
}

/** Networks of all connections of a gateway. */
export function networksOfGateway(view: View, gateway: string): number {
  return view.connectionsOf(gateway).reduce((sum, { value }) => sum + networksOf(value), 0);
}

/** Counts the CIDRs that all gateways of a VPC advertise together, for `advertised_cidrs_per_vpc`. */
export function advertisedInVpc(view: View, vpc: string): number {
  const gateways = view.gateways().filter(({ value }) => value.vpc === vpc);
  return gateways.reduce((sum, { value }) => sum + value.advertisedCidrs.length, 0);
}

/** Counts the routing tables of a VPC, the default table among them, for `routing_tables_per_vpc`. */
export function routingTablesIn(view: View, vpc: string): number {
  return tablesOf(view, vpc).length;
}

/** Counts the routes that clients have made in a table, for `routes_per_routing_table`. */
export function routesIn(view: View, table: string): number {
  return userRoutes(view, table).length;
}

/** Counts the different lengths of prefixes in a table, for `prefix_lengths_per_routing_table`. */
export function prefixLengthsIn(view: View, table: string): number {
  return new Set(userRoutes(view, table).map(({ value }) => cidrOf(value.destination).prefix)).size;
}

/** What a quota is counted in. */
export interface QuotaScope {
  readonly type: 'region' | 'zone' | 'vpc' | 'routing_table' | 'vpn_gateway' | 'vpn_gateway_connection';
  /** The name of a region or zone, else the id. */
  readonly id: string;
  readonly name: string;
  /** The gateway of a connection. */
  readonly gateway?: string;
  /** The VPC of a routing table. */
  readonly vpc?: string;
  /** The zone, where it is one VPC in one zone that is counted in. */
  readonly zone?: string;
}

/** How much of a quota is used in one region, zone, VPC, gateway or connection. */
export interface QuotaUse {
  readonly name: keyof Quotas;
  readonly limit: number;
  readonly used: number;
  readonly scope: QuotaScope;
}

/** Every quota, in everything that it is counted in. */
export function quotaUses(view: View, site: Site): readonly QuotaUse[] {
  const { quotas } = site;
  const use = (name: keyof Quotas, scope: QuotaScope, used: number): QuotaUse => {
    return { name, limit: quotas[name], used, scope };
  };
  const region = { type: 'region', id: site.region, name: site.region } as const;
  const zones = [...new Set(site.subnets.map(({ zone }) => zone))].sort();
  return [
    use('gateways_per_region', region, view.gateways().length),
    use('ike_policies', region, view.ikePolicies().length),
    use('ipsec_policies', region, view.ipsecPolicies().length),
    ...zones.map((zone) =>
      use('gateways_per_zone', { type: 'zone', id: zone, name: zone }, gatewaysInZone(view, zone)),
    ),
    ...site.vpcs.flatMap(({ id, name }) => [
      ...zones
        .filter((zone) => site.subnets.some((subnet) => subnet.vpc === id && subnet.zone === zone))
        .map((zone) => {
          const scope = { type: 'vpc', id, name, zone } as const;
          return use('route_gateways_per_zone_and_vpc', scope, routeGatewaysIn(view, zone, id));
        }),
      use('advertised_cidrs_per_vpc', { type: 'vpc', id, name }, advertisedInVpc(view, id)),
      use('routing_tables_per_vpc', { type: 'vpc', id, name }, routingTablesIn(view, id)),
      ...tablesOf(view, id).flatMap((table) => {
        const scope = { type: 'routing_table', id: table.id, name: table.value.name, vpc: id } as const;
        return [
          use('routes_per_routing_table', scope, routesIn(view, table.id)),
          use('prefix_lengths_per_routing_table', scope, prefixLengthsIn(view, table.id)),
        ];
      }),
    ]),
    ...view.gateways().flatMap((gateway) => usesOfGateway(gateway, view, use)),
  ];
}

function usesOfGateway(
  { id, value }: StoredObject<GatewayRecord>,
  view: View,
  use: (name: keyof Quotas, scope: QuotaScope, used: number) => QuotaUse,
): readonly QuotaUse[] {
  const scope = { type: 'vpn_gateway', id, name: value.name } as const;
  const connections = view.connectionsOf(id);
  const count = use('connections_per_gateway', scope, connections.length);
  if (value.mode === 'route') {
    return [count, use('advertised_cidrs_per_gateway', scope, value.advertisedCidrs.length)];
  }
  return [
    count,
    use('cidrs_per_gateway', scope, networksOfGateway(view, id)),
    ...connections.map((connection) => {
      const { name } = connection.value;
      const own = { type: 'vpn_gateway_connection', id: connection.id, name, gateway: id } as const;
      return use('cidrs_per_connection', own, networksOf(connection.value));
    }),
  ];
}
