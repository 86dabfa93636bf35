import { View } from '../../api/context.js';
import { stateOfRoute } from '../../api/render/routing.js';
import { tunnelsOf } from '../../api/routing/next-hop.js';
import type { GatewayRunner, VpcRoutes } from '../../api/runner.js';
import { metricOf } from '../../telemetry/metrics/catalogue.js';
import {
  type FamilyValue,
  familyOf,
  type MetricFamily,
  memberLabel,
} from '../../telemetry/metrics/families.js';
import type { ServerMoment } from './alias-families.js';

/** What runs, as far as routes are concerned. */
export interface RoutingRunner extends Pick<GatewayRunner, 'observe'> {
  readonly routes: VpcRoutes & {
    /** Changes of the way of routes to connections of a gateway. */
    movesOf(gateway: string): number;
  };
}

/**
 * How many routes of VPCs are in force, and through which tunnels they lead.
 * @param nameOf what the metrics call a gateway
 */
export function routeFamilies(
  { objects, site }: ServerMoment,
  runner: RoutingRunner,
  nameOf: (gateway: string) => string,
): MetricFamily[] {
  const view = new View(objects);
  const routes = view.routes();
  const scene = { view, runner };
  const states = metricOf('culvert_vpc_routes').values?.state ?? [];
  const byState = site.vpcs.flatMap(({ id, name }): FamilyValue[] => {
    const found = routes.filter(({ value }) => value.vpc === id).map((route) => stateOfRoute(route, scene));
    return states.map((state) => {
      return { labels: { vpc: name, state }, value: found.filter((one) => one === state).length };
    });
  });
  const toConnection = new Map<string, (readonly string[])[]>();
  for (const { id, value } of routes) {
    const { connection } = value.nextHop;
    if (connection === undefined) continue;
    const devices = runner.routes.trailOf(id)?.devices ?? [];
    const known = toConnection.get(connection);
    if (known === undefined) toConnection.set(connection, [devices]);
    else known.push(devices);
  }
  const gateways = view.gateways().filter(({ value }) => value.mode === 'route');
  const carried = gateways.flatMap((gateway) => {
    const observation = runner.observe(gateway.id);
    return view.connectionsOf(gateway.id).flatMap((connection): FamilyValue[] => {
      const devices = toConnection.get(connection.id) ?? [];
      return tunnelsOf(connection, gateway.value, observation).map(({ member, device }) => ({
        labels: {
          gateway: nameOf(gateway.id),
          member: memberLabel(member),
          connection: connection.value.name,
        },
        value: device === undefined ? 0 : devices.filter((all) => all.includes(device)).length,
      }));
    });
  });
  const moves = gateways.map(({ id }) => ({
    labels: { gateway: nameOf(id) },
    value: runner.routes.movesOf(id),
  }));
  return [
    familyOf('culvert_vpc_routes', byState),
    familyOf('culvert_connection_routes', carried),
    familyOf('culvert_gateway_route_moves_total', moves),
  ];
}
