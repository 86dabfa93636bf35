import { type Tunnel, tunnelsOf } from '../routing/next-hop.js';
import { type Table, tableOf } from '../routing/tables.js';
import type { RouteStateAnswer } from '../schemas/route-state-answers.js';
import { type AnyRoute, type RoutingScene, routeAnswer } from './routing.js';

/** As many routes are shown with a connection; the list of the VPC has all. */
const MOST = 100;

/** The states of routes to a connection. */
export function routeStatesTo(connection: string, scene: RoutingScene): RouteStateAnswer[] {
  const { view } = scene;
  const routes = view.routes().filter(({ value }) => value.nextHop.connection === connection);
  return routes.slice(0, MOST).flatMap((route) => {
    const table = tableOf(view, route.value.vpc, route.value.table);
    return table === undefined ? [] : [routeStateAnswer({ route }, table, scene)];
  });
}

/** Renders whether a route is in force, and through which tunnels its packets go. */
export function routeStateAnswer(one: AnyRoute, table: Table, scene: RoutingScene): RouteStateAnswer {
  const { view, runner } = scene;
  const { id, name, destination, priority, next_hop, lifecycle_state, zone } = routeAnswer(one, scene);
  const connection = view.connection(one.route.value.nextHop.connection ?? '');
  const gateway = connection === undefined ? undefined : view.gateway(connection.value.gateway);
  const observation = gateway === undefined ? undefined : runner.observe(gateway.id);
  const tunnels =
    connection === undefined || gateway === undefined
      ? []
      : tunnelsOf(connection, gateway.value, observation);
  const trail = runner.routes.trailOf(id);
  const reason = reasonOf(one, lifecycle_state, scene);
  const movedAt = trail?.movedAt;
  return {
    id,
    name,
    routing_table: { id: table.id, name: table.value.name },
    zone: zone.name,
    destination,
    priority,
    next_hop,
    lifecycle_state,
    ...(reason === undefined ? {} : { reason }),
    ...(connection === undefined ? {} : { distribute_traffic: connection.value.distributeTraffic }),
    tunnels: tunnels.map((tunnel) => tunnelAnswer(tunnel, trail?.devices ?? [])),
    moved_at: movedAt === undefined ? null : new Date(movedAt).toISOString(),
    moves: trail?.moves ?? 0,
    notes: [...(observation?.routeNotes ?? [])],
  };
}

function tunnelAnswer(
  { member, address, device, isStalled }: Tunnel,
  carrying: readonly string[],
): RouteStateAnswer['tunnels'][number] {
  const status = device === undefined ? 'down' : isStalled ? 'stalled' : 'up';
  return {
    member: member + 1,
    public_ip: { address },
    ...(device === undefined ? {} : { interface: device }),
    status,
    carries: device !== undefined && carrying.includes(device),
  };
}

/** Why a route is not in force; undefined for one that is. */
function reasonOf(
  { route }: AnyRoute,
  state: RouteStateAnswer['lifecycle_state'],
  { view, runner }: RoutingScene,
): string | undefined {
  if (state === 'stable') return undefined;
  const known = runner.routes.stateOf(route.id);
  if (known?.state === 'refused') return known.message;
  const connection = view.connection(route.value.nextHop.connection ?? '');
  if (state === 'pending') {
    return connection === undefined
      ? 'it is being laid'
      : 'its gateway is being started, and has not said yet which tunnels are up';
  }
  if (connection === undefined) {
    return 'the connections of its gateway to this network are down, or their own routes are refused: see their status_reasons';
  }
  const { name, adminStateUp } = connection.value;
  if (!adminStateUp) {
    return `connection ${name} is administratively down: packets take the next route that matches`;
  }
  return `no tunnel of connection ${name} is up: packets take the next route that matches; see the diagnosis of the connection`;
}
