import { ROUTE_ACTIONS, ROUTE_LEARNERS, ROUTE_MAKERS, ROUTE_PRIORITY } from '../../store/records.js';
import { closed } from '../../store/schema.js';
import * as Type from '../../util/json-schema.js';
import { ReferenceSchema } from './requests.js';

/** The bodies of requests about routing tables and routes: every version has had them in one form. */
const { Optional } = Type;

const Name = Optional(
  Type.String({
    // Empty is as if it were not given: some clients send it so.
    pattern: '^(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)?$',
    description: 'a name of 1 to 63 lower-case letters, digits and hyphens that begins with a letter',
  }),
);
const text = Optional(Type.String({ minLength: 1, maxLength: 512, description: '1 to 512 characters' }));
const Flag = Optional(Type.Boolean());

const NextHop = Optional(
  Type.Object(
    { address: text, id: text, href: text },
    { ...closed, description: 'an IP address, or a VPN gateway connection by id or href' },
  ),
);
const Priority = Optional(
  Type.Integer({
    minimum: ROUTE_PRIORITY.min,
    maximum: ROUTE_PRIORITY.max,
    description: `${ROUTE_PRIORITY.min} to ${ROUTE_PRIORITY.max}; the smaller wins`,
  }),
);

const changeable = { name: Name, next_hop: NextHop, priority: Priority, advertise: Flag };

/** A route to be made. */
export const RouteCreateBody = Type.Object(
  {
    ...changeable,
    destination: Type.String({ description: 'a network as address/prefix' }),
    zone: Type.Object({ name: text, href: text }, closed),
    action: Optional(Type.Enum([...ROUTE_ACTIONS])),
  },
  closed,
);
/** A route to be changed. */
export const RoutePatchBody = Type.Object(changeable, closed);

const tableFields = {
  name: Name,
  accept_routes_from: Optional(
    Type.Array(Type.Object({ resource_type: Type.Enum([...ROUTE_MAKERS]) }, closed), {
      maxItems: ROUTE_MAKERS.length,
    }),
  ),
  advertise_routes_to: Optional(
    Type.Array(Type.Enum([...ROUTE_LEARNERS]), { maxItems: ROUTE_LEARNERS.length, uniqueItems: true }),
  ),
  route_direct_link_ingress: Flag,
  route_internet_ingress: Flag,
  route_transit_gateway_ingress: Flag,
  route_vpc_zone_ingress: Flag,
};

/** A routing table to be made, with routes. */
export const TableCreateBody = Type.Object(
  { ...tableFields, routes: Optional(Type.Array(RouteCreateBody, { maxItems: 1000 })) },
  closed,
);
/** A routing table to be changed. */
export const TablePatchBody = Type.Object(tableFields, closed);

/** The table that a subnet is to have. */
export const AttachBody = ReferenceSchema;
/** A subnet to be changed: its other fields are in the server's file. */
export const SubnetPatchBody = Type.Object({ routing_table: Optional(ReferenceSchema) }, closed);
