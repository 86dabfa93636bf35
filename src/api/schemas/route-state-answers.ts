import { ROUTE_PRIORITY } from '../../store/records.js';
import * as Type from '../../util/json-schema.js';
import {
  Address,
  type AnswerOf,
  Count,
  closed,
  Id,
  Lifecycle,
  Name,
  named,
  nullable,
  optional,
  page,
  ref,
  Text,
  Time,
} from './answer-parts.js';
import { NextHop } from './routing-answers.js';

/** A tunnel that a route may lead through. */
const Tunnel = Type.Object(
  {
    // From 1.
    member: Count,
    public_ip: Address,
    // The TUN device, while it is up.
    interface: optional(Text),
    // stalled: it is up, and the process of its member gives no sign of life.
    status: Type.Enum(['up', 'down', 'stalled']),
    // Whether packets by the route go through it now.
    carries: Type.Boolean(),
  },
  closed,
);

/** Whether a route is in force and through which tunnels its packets go: what the VPC documents do not have. */
export const RouteState = named('RouteState', {
  id: Id,
  name: Name,
  routing_table: Type.Object({ id: Id, name: Name }, closed),
  zone: Name,
  destination: Text,
  priority: Type.Integer({ minimum: ROUTE_PRIORITY.min, maximum: ROUTE_PRIORITY.max }),
  next_hop: ref(NextHop),
  lifecycle_state: Lifecycle,
  // Why it is not in force.
  reason: optional(Text),
  // Of the connection that is its next hop.
  distribute_traffic: optional(Type.Boolean()),
  // Of a route to a connection, the preferred one first.
  tunnels: Type.Array(Tunnel),
  // Null when its packets have gone the same way since the server started.
  moved_at: nullable(Time),
  // How often they took another way since then.
  moves: Count,
  // Settings of this host that keep packets from being distributed, or answers from passing.
  notes: Type.Array(Text),
});
export const RouteStates = page('RouteStateCollection', 'route_states', RouteState);

/** The state of a route. */
export type RouteStateAnswer = AnswerOf<typeof RouteState>;
