import { INGRESS_FIELDS, type ROUTE_PRIORITY } from '../../store/records.js';
import type { Site } from '../../store/site.js';
import type { View } from '../context.js';
import { wayTo } from '../routing/next-hop.js';
import {
  type Route,
  type ServiceRoute,
  serviceRoutes,
  subnetsOf,
  type Table,
  userRoutes,
} from '../routing/tables.js';
import type { GatewayRunner } from '../runner.js';
import type { RouteAnswer, RoutingTableAnswer } from '../schemas/routing-answers.js';
import { connectionReference } from './connections.js';
import type { Links } from './links.js';

/** What answers about routes are made of. */
export interface RoutingScene {
  readonly view: View;
  readonly links: Links;
  readonly site: Site;
  readonly runner: GatewayRunner;
}

/** A routing table as other objects name it. */
export function tableReference({ id, value }: Table, links: Links) {
  return {
    crn: links.crn('vpc-routing-table', `${value.vpc}/${id}`),
    href: links.routingTable(value.vpc, id),
    id,
    name: value.name,
    resource_type: 'routing_table' as const,
  };
}

/** Renders a routing table with its subnets and routes. */
export function tableAnswer(table: Table, { view, links, site }: RoutingScene): RoutingTableAnswer {
  const { id, value } = table;
  const { vpc, ingress } = value;
  const routes = [...userRoutes(view, id), ...serviceRoutes(view, table, site).map(({ route }) => route)];
  return {
    ...tableReference(table, links),
    accept_routes_from: value.acceptRoutesFrom.map((resource_type) => ({ resource_type })),
    advertise_routes_to: value.advertiseRoutesTo,
    created_at: value.createdAt,
    is_default: value.isDefault,
    lifecycle_state: 'stable',
    resource_group: links.resourceGroup(site.resourceGroups[0]!.id),
    [INGRESS_FIELDS.directLink]: ingress.includes('directLink'),
    [INGRESS_FIELDS.internet]: ingress.includes('internet'),
    [INGRESS_FIELDS.transitGateway]: ingress.includes('transitGateway'),
    [INGRESS_FIELDS.vpcZone]: ingress.includes('vpcZone'),
    routes: routes.map((route) => ({
      href: links.route(vpc, id, route.id),
      id: route.id,
      name: route.value.name,
    })),
    subnets: subnetsOf(view, table, site).map((subnet) => links.subnet(subnet.id)),
  };
}

/** A route of a client or of a service. */
export type AnyRoute = { readonly route: Route } | ServiceRoute;

/** Renders a route with whether it is in force. */
export function routeAnswer(one: AnyRoute, scene: RoutingScene): RouteAnswer {
  const { route } = one;
  const { links } = scene;
  const { id, value } = route;
  const service = 'gateway' in one ? one : undefined;
  return {
    action: value.action,
    advertise: value.advertise,
    created_at: value.createdAt,
    ...(service === undefined ? {} : { creator: creatorOf(service, links) }),
    destination: value.destination,
    href: links.route(value.vpc, value.table, id),
    id,
    lifecycle_state: service === undefined ? stateOfRoute(route, scene) : stateOfService(service, scene),
    name: value.name,
    next_hop: nextHopOf(route, scene),
    origin: service === undefined ? 'user' : 'service',
    priority: value.priority as typeof ROUTE_PRIORITY.usual,
    zone: { href: links.zone(value.zone), name: value.zone },
  };
}

function creatorOf({ gateway }: ServiceRoute, links: Links) {
  const { id, value } = gateway;
  return {
    crn: links.crn('vpn', id),
    href: links.gateway(id),
    id,
    name: value.name,
    resource_type: 'vpn_gateway' as const,
  };
}

/** Nowhere, in the place of an address. */
const NOWHERE = '0.0.0.0';

function nextHopOf({ value: { nextHop } }: Route, { view, links }: RoutingScene): RouteAnswer['next_hop'] {
  const connection = nextHop.connection === undefined ? undefined : view.connection(nextHop.connection);
  if (connection !== undefined) return connectionReference(connection, links);
  return { address: nextHop.address ?? NOWHERE };
}

/** `stable` when the kernel has the route, `waiting` while its tunnels are down and it is skipped. */
export function stateOfRoute(
  { id, value }: Route,
  {
    view,
    runner,
  }: Pick<RoutingScene, 'view'> & { readonly runner: Pick<GatewayRunner, 'routes' | 'observe'> },
): RouteAnswer['lifecycle_state'] {
  const known = runner.routes.stateOf(id);
  if (known !== undefined) return known.state === 'laid' ? 'stable' : 'failed';
  const connection = view.connection(value.nextHop.connection ?? '');
  const gateway = connection === undefined ? undefined : view.gateway(connection.value.gateway);
  if (connection === undefined || gateway === undefined) return 'pending';
  const way = wayTo(connection, gateway.value, runner.observe(gateway.id));
  return way === undefined ? 'waiting' : 'pending';
}

/** Causes of connections by which the gateway's own routes are not there. */
const MISSING: ReadonlySet<string> = new Set([
  'local_route_conflict',
  'peer_address_in_networks',
  'tun_error',
]);

/** A gateway in policy mode keeps its routes whether its tunnels are up or not: nothing leaves without them. */
function stateOfService(
  { route, gateway, connections }: ServiceRoute,
  { view, runner }: RoutingScene,
): RouteAnswer['lifecycle_state'] {
  if (runner.routes.stateOf(route.id)?.state === 'refused') return 'failed';
  const up = connections.filter((id) => view.connection(id)?.value.adminStateUp === true);
  if (up.length === 0) return 'waiting';
  const document = runner.observe(gateway.id)?.members[0];
  if (document === undefined) return 'pending';
  const found = document.connections.filter(({ id }) => up.includes(id));
  if (found.length === 0) return 'pending';
  const fails = found.every(({ status_reasons: reasons }) =>
    reasons.some(({ details }) => MISSING.has(details?.cause ?? '')),
  );
  return fails ? 'failed' : 'stable';
}
