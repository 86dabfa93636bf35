import { hashedId } from '../../store/hashed-id.js';
import {
  type GatewayRecord,
  KIND,
  ROUTE_MAKERS,
  ROUTE_PRIORITY,
  type RouteRecord,
  type RoutingTableRecord,
} from '../../store/records.js';
import type { Site, Subnet, Vpc } from '../../store/site.js';
import type { StoredObject } from '../../store/store.js';
import type { View } from '../context.js';
import { nameFrom } from '../ids.js';

/** VPCs come from the server's file, which has no dates: this is that of a default table that was never changed. */
const NO_DATE = '1970-01-01T00:00:00Z';

/** A routing table, stored or not yet. */
export type Table = StoredObject<RoutingTableRecord>;
/** A route, made by a client or by a service. */
export type Route = StoredObject<RouteRecord>;

/** The id of a VPC's default table, the same at every start. */
export function defaultTableId(vpc: string): string {
  return `r006-${hashedId(`culvert default routing table ${vpc}`)}`;
}

/** The default table of a VPC: as it is stored, or as it is until it is changed. */
export function defaultTable(view: View, vpc: string): Table {
  const id = defaultTableId(vpc);
  const stored = view.snapshot.get<RoutingTableRecord>(KIND.routingTable, id);
  if (stored !== undefined) return stored;
  const value: RoutingTableRecord = {
    name: nameFrom(id),
    createdAt: NO_DATE,
    vpc,
    isDefault: true,
    acceptRoutesFrom: ROUTE_MAKERS,
    advertiseRoutesTo: [],
    ingress: [],
    subnets: [],
  };
  return { kind: KIND.routingTable, id, created: 0, revision: 0, value };
}

/** All tables of a VPC, the default table first. */
export function tablesOf(view: View, vpc: string): readonly Table[] {
  const others = view.routingTables().filter(({ value }) => value.vpc === vpc && !value.isDefault);
  return [defaultTable(view, vpc), ...others];
}

/** The table of a VPC with this id. */
export function tableOf(view: View, vpc: string, id: string): Table | undefined {
  return tablesOf(view, vpc).find((one) => one.id === id);
}

/** The table that is for packets from a subnet. */
export function tableOfSubnet(view: View, { id, vpc }: Subnet): Table {
  const own = tablesOf(view, vpc).find(({ value }) => value.subnets.includes(id));
  return own ?? defaultTable(view, vpc);
}

/** The subnets that a table is for. Subnets that the server's file has no more do not count. */
export function subnetsOf(view: View, table: Table, site: Site): readonly Subnet[] {
  const inVpc = site.subnets.filter(({ vpc }) => vpc === table.value.vpc);
  return inVpc.filter((subnet) => tableOfSubnet(view, subnet).id === table.id);
}

/** Routes of a table that clients have made. */
export function userRoutes(view: View, table: string): readonly Route[] {
  return view.routes().filter(({ value }) => value.table === table);
}

/** A route that a service has made, and what it is made for. */
export interface ServiceRoute {
  readonly route: Route;
  readonly gateway: StoredObject<GatewayRecord>;
  /** Connections to the network. */
  readonly connections: readonly string[];
}

/**
 * The routes that policy mode gateways make by themselves: to the networks behind their peers, by way of the member
 * that is active, in each zone and each table that accepts them. They follow from gateways and connections, and are
 * not stored.
 */
export function serviceRoutes(view: View, table: Table, site: Site): readonly ServiceRoute[] {
  const { vpc, acceptRoutesFrom } = table.value;
  return acceptRoutesFrom.includes('vpn_gateway') ? possibleServiceRoutes(view, table.id, vpc, site) : [];
}

/** Those that a table has if it accepts them. */
export function possibleServiceRoutes(
  view: View,
  table: string,
  vpc: string,
  site: Site,
): readonly ServiceRoute[] {
  const zones = zonesOf(site, vpc);
  const gateways = view
    .gateways()
    .filter(({ value }) => value.vpc === vpc && value.mode === 'policy' && value.lifecycle !== 'deleting');
  return gateways.flatMap((gateway) => {
    const networks = new Map<string, { readonly ids: string[]; readonly createdAt: string }>();
    for (const { id, value } of view.connectionsOf(gateway.id)) {
      for (const cidr of value.peer.cidrs) {
        const known = networks.get(cidr);
        if (known !== undefined) known.ids.push(id);
        else networks.set(cidr, { ids: [id], createdAt: value.createdAt });
      }
    }
    return [...networks].flatMap(([destination, { ids, createdAt }]) =>
      zones.map((zone): ServiceRoute => {
        const hash = hashedId(`culvert route ${table} ${zone} ${gateway.id} ${destination}`);
        const { address } = gateway.value.members[0]!.privateIp;
        const value: RouteRecord = {
          table,
          vpc,
          name: `ibm-vpn-gateway-${hash}`,
          createdAt,
          zone,
          destination,
          action: 'deliver',
          nextHop: { address },
          priority: ROUTE_PRIORITY.usual,
          advertise: false,
        };
        const { created, revision } = gateway;
        const route = { kind: KIND.route, id: `r006-${hash}`, created, revision, value };
        return { route, gateway, connections: ids };
      }),
    );
  });
}

/** Zones in which a VPC has subnets. */
export function zonesOf({ subnets }: Site, vpc: string): readonly string[] {
  return [...new Set(subnets.filter((subnet) => subnet.vpc === vpc).map(({ zone }) => zone))].sort();
}

/** The VPC with this id. */
export function vpcOf({ vpcs }: Site, id: string): Vpc | undefined {
  return vpcs.find((vpc) => vpc.id === id);
}
