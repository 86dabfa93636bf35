import type { Site } from '../../store/site.js';
import type { View } from '../context.js';
import type { GatewayRunner, RoutedRoute, RoutedTable, RoutedVpc, RoutedWay } from '../runner.js';
import { wayTo } from './next-hop.js';
import {
  possibleServiceRoutes,
  type Route,
  subnetsOf,
  type Table,
  tablesOf,
  userRoutes,
  zonesOf,
} from './tables.js';

/** Between the metrics of two priorities there is room for what one route is made of. */
const METRICS = 16;

/** Behind all routes of a table: what keeps packets from the routes of a service that the table does not accept. */
const LAST_METRIC = 6 * METRICS;

/** What the routing tables of all VPCs come to, with the tunnels as they are now. */
export function routedVpcs(view: View, site: Site, runner: Pick<GatewayRunner, 'observe'>): RoutedVpc[] {
  return site.vpcs.map((vpc) => ({
    vpc,
    gateways: view
      .gateways()
      .filter(({ value }) => value.vpc === vpc.id)
      .flatMap(({ value }) => value.members.flatMap(({ publicAddress }) => publicAddress ?? [])),
    tables: tablesOf(view, vpc.id).flatMap((table) =>
      zonesOf(site, vpc.id).map((zone) => routedTable(table, zone, view, site, runner)),
    ),
  }));
}

function routedTable(
  table: Table,
  zone: string,
  view: View,
  site: Site,
  runner: Pick<GatewayRunner, 'observe'>,
): RoutedTable {
  const { id, value } = table;
  const own = userRoutes(view, id).filter((route) => route.value.zone === zone);
  const laid = ownRoutes(own, value.name, view, runner);
  return {
    key: `${id} ${zone}`,
    sources: subnetsOf(view, table, site)
      .filter((subnet) => subnet.zone === zone)
      .map(({ cidr }) => cidr),
    routes: [...laid.routes, ...servicePart(table, zone, own, view, site)],
    skipped: laid.skipped,
  };
}

function ownRoutes(
  routes: readonly Route[],
  table: string,
  view: View,
  runner: Pick<GatewayRunner, 'observe'>,
): Pick<RoutedTable, 'routes' | 'skipped'> {
  const out = new Map<string, RoutedRoute>();
  const skipped: string[] = [];
  for (const { id, value } of routes) {
    const { destination, priority } = value;
    const metric = metricOf(priority);
    const hop = hopOf(value, view, runner);
    if (hop === undefined) {
      skipped.push(id);
      continue;
    }
    const place = `${destination} ${metric}`;
    const name = `route ${value.name} of table ${table}`;
    const twin = out.get(place);
    // Two with addresses share the packets between them.
    if (twin !== undefined && 'routers' in twin.way && 'routers' in hop.way) {
      const routers = [...twin.way.routers, ...hop.way.routers];
      out.set(place, { ...twin, ids: [...twin.ids, id], way: { routers } });
      continue;
    }
    out.set(place, { ids: [id], name, destination, metric, ...hop });
  }
  return { routes: [...out.values()], skipped };
}

function metricOf(priority: number): number {
  return (priority + 1) * METRICS;
}

/** Undefined for a route that is skipped now. */
function hopOf(
  { action, nextHop }: Route['value'],
  view: View,
  runner: Pick<GatewayRunner, 'observe'>,
): { readonly way: RoutedWay; readonly gateway?: string } | undefined {
  if (action !== 'deliver') return { way: { rule: action } };
  if (nextHop.address !== undefined) return { way: { routers: [nextHop.address] } };
  const connection = view.connection(nextHop.connection ?? '');
  const gateway = connection === undefined ? undefined : view.gateway(connection.value.gateway);
  if (connection === undefined || gateway === undefined) return undefined;
  const way = wayTo(connection, gateway.value, runner.observe(gateway.id));
  return way === undefined ? undefined : { way, gateway: gateway.id };
}

/**
 * Gateways in policy mode lead the networks behind their peers into their tunnels for the whole namespace. A table that
 * accepts such routes delegates these networks there; one that does not refuses them, where no route of its own is for
 * them: without the tunnel they must not be sent. A table without routes of its own has nothing to add to that.
 */
function servicePart(
  table: Table,
  zone: string,
  own: readonly Route[],
  view: View,
  site: Site,
): RoutedRoute[] {
  const { name, vpc, acceptRoutesFrom } = table.value;
  const accepts = acceptRoutesFrom.includes('vpn_gateway');
  if (accepts && own.length === 0) return [];
  const out = new Map<string, RoutedRoute>();
  for (const { route } of possibleServiceRoutes(view, table.id, vpc, site)) {
    if (route.value.zone !== zone) continue;
    const { destination, priority } = route.value;
    const known = out.get(destination);
    const ids = [...(known?.ids ?? []), ...(accepts ? [route.id] : [])];
    // Behind a route of the same priority that a client has made.
    const metric = accepts ? metricOf(priority) + METRICS / 2 : LAST_METRIC;
    const way: RoutedWay = { rule: accepts ? 'delegate' : 'refuse' };
    out.set(destination, {
      ids,
      name: `route ${route.value.name} of table ${name}`,
      destination,
      metric,
      way,
    });
  }
  return [...out.values()];
}
