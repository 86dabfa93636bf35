import { nameFrom } from '../../api/ids.js';
import type { ApiClient, ApiObject } from '../vpn/api-client.js';
import type { Known } from './known.js';
import {
  type IngressWish,
  type NextHopWish,
  type RouteWish,
  sorted,
  type TableWish,
} from './routing-document.js';

/** A route of the server, and the connection that it leads to. */
export interface KnownRoute extends Known<RouteWish> {
  readonly connection?: string;
  readonly gateway?: string;
}

/** A routing table of the server with the routes that clients have made. */
export interface KnownTable extends Known<Omit<TableWish, 'routes'>> {
  /** Id of its VPC. */
  readonly vpc: string;
  readonly name: string;
  readonly routes: readonly KnownRoute[];
}

/** The routing of all VPCs. `gateways` are all that there are. */
export async function readTables(
  api: ApiClient,
  vpcs: readonly ApiObject[],
  gateways: readonly ApiObject[],
): Promise<readonly KnownTable[]> {
  const names = new Map(gateways.map(({ id, name }) => [id, name]));
  const tables = await Promise.all(
    vpcs.map(async (vpc) => {
      const path = `/vpcs/${vpc.id}/routing_tables`;
      const all = (await api.list(path, 'routing_tables')).reverse();
      return Promise.all(all.map((table) => readTable(api, path, table, vpc, names)));
    }),
  );
  return tables.flat();
}

async function readTable(
  api: ApiClient,
  path: string,
  table: ApiObject,
  vpc: ApiObject,
  names: ReadonlyMap<string, string>,
): Promise<KnownTable> {
  const isDefault = table.is_default === true;
  const routes = (await api.list(`${path}/${table.id}/routes`, 'routes')).filter(
    ({ origin }) => origin === 'user',
  );
  const flags = table as unknown as IngressWish;
  const makers = table.accept_routes_from as readonly { readonly resource_type: string }[];
  // The name that a default table has by itself was not chosen by an operator.
  const isNamed = !isDefault || table.name !== nameFrom(table.id);
  return {
    id: table.id,
    vpc: vpc.id,
    name: table.name,
    wish: {
      vpc: vpc.name,
      isDefault,
      ...(isNamed ? { name: table.name } : {}),
      accept_routes_from: sorted(makers.map(({ resource_type }) => resource_type)),
      advertise_routes_to: sorted(table.advertise_routes_to as readonly string[]),
      route_direct_link_ingress: flags.route_direct_link_ingress,
      route_internet_ingress: flags.route_internet_ingress,
      route_transit_gateway_ingress: flags.route_transit_gateway_ingress,
      route_vpc_zone_ingress: flags.route_vpc_zone_ingress,
      subnets: isDefault ? [] : sorted((table.subnets as readonly ApiObject[]).map(({ name }) => name)),
    },
    routes: routes.reverse().map((route) => knownRoute(route, names)),
  };
}

/** Gateway and connection in the address of a connection. */
const CONNECTION = /\/vpn_gateways\/([^/]+)\/connections\/([^/?]+)/;

function knownRoute(route: ApiObject, names: ReadonlyMap<string, string>): KnownRoute {
  const {
    next_hop: hop,
    zone,
    destination,
    action,
    priority,
    advertise,
    name,
  } = route as unknown as {
    readonly next_hop: { readonly address?: string; readonly href?: string; readonly name?: string };
    readonly zone: { readonly name: string };
  } & RouteWish;
  const [, gateway, connection] = CONNECTION.exec(hop.href ?? '') ?? [];
  const to: NextHopWish =
    gateway !== undefined
      ? { gateway: names.get(gateway) ?? gateway, connection: hop.name ?? '' }
      : action === 'deliver'
        ? { address: hop.address ?? '' }
        : null;
  return {
    id: route.id,
    wish: { name, zone: zone.name, destination, action, next_hop: to, priority, advertise },
    ...(gateway === undefined ? {} : { gateway }),
    ...(connection === undefined ? {} : { connection }),
  };
}
