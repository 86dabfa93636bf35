import { ROUTE_ACTIONS, ROUTE_LEARNERS, ROUTE_MAKERS, ROUTE_PRIORITY } from '../../store/records.js';
import * as Type from '../../util/json-schema.js';
import {
  type AnswerOf,
  arrayOf,
  ConnectionReference,
  Crn,
  closed,
  constant,
  Href,
  Id,
  Lifecycle,
  Name,
  named,
  oneOf,
  optional,
  page,
  ResourceGroupReference,
  ref,
  SubnetReference,
  Text,
  Time,
} from './answer-parts.js';

/** Answers about routing tables and routes. */
export const RouteReference = named('RouteReference', { href: Href, id: Id, name: Name });
/** An address that packets are sent to next. */
export const NextHopAddress = named('RouteNextHopIP', { address: Text });
/** Where a route leads. */
export const NextHop = oneOf('RouteNextHop', NextHopAddress, ConnectionReference);
/** A routing table of a VPC. */
export const RoutingTable = named('RoutingTable', {
  accept_routes_from: Type.Array(Type.Object({ resource_type: Type.Enum([...ROUTE_MAKERS]) }, closed)),
  advertise_routes_to: Type.Array(Type.Enum([...ROUTE_LEARNERS])),
  created_at: Time,
  crn: Crn,
  href: Href,
  id: Id,
  is_default: Type.Boolean(),
  lifecycle_state: Lifecycle,
  name: Name,
  resource_group: ref(ResourceGroupReference),
  resource_type: constant('routing_table'),
  route_direct_link_ingress: Type.Boolean(),
  route_internet_ingress: Type.Boolean(),
  route_transit_gateway_ingress: Type.Boolean(),
  route_vpc_zone_ingress: Type.Boolean(),
  routes: arrayOf(RouteReference),
  subnets: arrayOf(SubnetReference),
});
/** A route of a routing table. */
export const Route = named('Route', {
  action: Type.Enum([...ROUTE_ACTIONS]),
  advertise: Type.Boolean(),
  created_at: Time,
  creator: optional(
    Type.Object({ crn: Crn, href: Href, id: Id, name: Name, resource_type: constant('vpn_gateway') }, closed),
  ),
  destination: Text,
  href: Href,
  id: Id,
  lifecycle_state: Lifecycle,
  name: Name,
  next_hop: ref(NextHop),
  origin: Type.Enum(['service', 'user']),
  priority: Type.Integer({ minimum: ROUTE_PRIORITY.min, maximum: ROUTE_PRIORITY.max }),
  zone: Type.Object({ href: Href, name: Name }, closed),
});
export const RoutingTables = page('RoutingTableCollection', 'routing_tables', RoutingTable);
export const Routes = page('RouteCollection', 'routes', Route);

/** A routing table. */
export type RoutingTableAnswer = AnswerOf<typeof RoutingTable>;
/** A route. */
export type RouteAnswer = AnswerOf<typeof Route>;
