import { DEFAULT_QUOTAS } from '../../store/site.js';
import { EVENT_KINDS } from '../../telemetry/events/kinds.js';
import * as Type from '../../util/json-schema.js';
import { ERROR_CODES } from '../error-codes.js';
import {
  type AnswerOf,
  arrayOf,
  Count,
  Crn,
  closed,
  constant,
  Href,
  Id,
  Lifecycle,
  Name,
  named,
  optional,
  PAGE_FRAME,
  page,
  Reason,
  ResourceGroupReference,
  RoutingTableReference,
  ref,
  Text,
  Time,
  VpcReference,
} from './answer-parts.js';

/** Answers about what gateways are made in, and about the server itself. */
export const Subnet = named('Subnet', {
  id: Id,
  crn: Crn,
  href: Href,
  name: Name,
  ipv4_cidr_block: optional(Text),
  ipv6_cidr_block: optional(Text),
  ip_version: Type.Enum(['ipv4', 'ipv6']),
  status: constant('available'),
  available_ipv4_address_count: Count,
  total_ipv4_address_count: Count,
  resource_group: ref(ResourceGroupReference),
  resource_type: constant('subnet'),
  routing_table: ref(RoutingTableReference),
  vpc: ref(VpcReference),
  zone: Type.Object({ href: Href, name: Name }, closed),
});
/** A VPC of the site. */
export const Vpc = named('VPC', {
  id: Id,
  crn: Crn,
  href: Href,
  name: Name,
  classic_access: Type.Boolean(),
  default_routing_table: ref(RoutingTableReference),
  status: constant('available'),
  resource_group: ref(ResourceGroupReference),
  resource_type: constant('vpc'),
});
const regionFields = { href: Href, name: Name };
/** The region of the site. */
export const Region = named('Region', { ...regionFields, endpoint: Href, status: constant('available') });
/** A zone of the region. */
export const Zone = named('Zone', {
  href: Href,
  name: Name,
  region: Type.Object(regionFields, closed),
  status: constant('available'),
});
/** An address of a subnet that a gateway has. */
export const ReservedIp = named('ReservedIP', {
  address: Text,
  auto_delete: Type.Boolean(),
  created_at: Time,
  href: Href,
  id: Id,
  lifecycle_state: Lifecycle,
  name: Name,
  owner: Type.Enum(['provider', 'user']),
  resource_type: constant('subnet_reserved_ip'),
  target: Type.Object(
    { crn: Crn, href: Href, id: Id, name: Name, resource_type: constant('vpn_gateway') },
    closed,
  ),
});
/** A connection that a transit gateway would make. */
export const ServiceConnection = named('VPNGatewayServiceConnection', {
  id: Id,
  created_at: Time,
  creator: Type.Object({ crn: Crn, id: Id, resource_type: constant('transit_gateway') }, closed),
  lifecycle_reasons: arrayOf(Reason),
  lifecycle_state: Lifecycle,
  status: Type.Enum(['up', 'down', 'degraded']),
  status_reasons: arrayOf(Reason),
});
/** A quota and how much of it is used. */
export const Quota = named('Quota', {
  name: Type.Enum(Object.keys(DEFAULT_QUOTAS)),
  limit: Count,
  used: Count,
  scope: Type.Object(
    {
      resource_type: Type.Enum([
        'region',
        'zone',
        'vpc',
        'routing_table',
        'vpn_gateway',
        'vpn_gateway_connection',
      ]),
      id: Id,
      name: Name,
      href: Href,
      zone: optional(Type.Object({ href: Href, name: Name }, closed)),
    },
    closed,
  ),
});
/** An entry of the audit trail. */
export const AuditEntry = named('AuditEntry', {
  at: Time,
  action: Type.String({ pattern: '^(is\\.(vpn|vpc|subnet)|culvert)\\.[a-z_-]+\\.[a-z]+$' }),
  outcome: Type.Enum(['success', 'failure']),
  initiator: Type.Object(
    {
      name: optional(Text),
      role: optional(Type.Enum(['viewer', 'editor'])),
      by: optional(Type.Enum(['token', 'iam', 'socket', 'console', 'none', 'server'])),
      address: optional(Text),
    },
    closed,
  ),
  target: optional(Type.Object({ resource_type: Text, id: Text, name: optional(Text) }, closed)),
  reason: optional(
    Type.Object({ status: Type.Integer(), code: Type.Enum(Object.keys(ERROR_CODES)) }, closed),
  ),
  request_id: optional(Text),
  repeats: optional(Count),
});
/** An event, as the stream of events has it. */
export const Event = named('Event', {
  id: Type.String({ pattern: '^[0-9]{13}-[0-9]{12}$' }),
  time: Time,
  kind: Type.Enum([...EVENT_KINDS]),
  level: Type.Enum(['info', 'warn']),
  message: Text,
  fields: Type.Unsafe<object>({
    type: 'object',
    description: 'what programs read of it; see docs/events.md',
  }),
  gateway: optional(
    Type.Object({ name: Text, id: optional(Id), member: optional(Type.Integer({ minimum: 1 })) }, closed),
  ),
  connection: optional(Type.Object({ id: Id, name: Text }, closed)),
});
/** A resource group of the site. */
export const ResourceGroup = named('ResourceGroup', {
  id: Id,
  crn: Crn,
  account_id: Text,
  name: Name,
  state: constant('ACTIVE'),
  default: Type.Boolean(),
});

/** An access token and its refresh token. */
export const Token = named('Token', {
  access_token: Text,
  refresh_token: Text,
  token_type: constant('Bearer'),
  expires_in: Count,
  expiration: Count,
  scope: Text,
});

export const Subnets = page('SubnetCollection', 'subnets', Subnet);
export const Vpcs = page('VPCCollection', 'vpcs', Vpc);
export const Quotas = page('QuotaCollection', 'quotas', Quota);
export const AuditEntries = page('AuditEntryCollection', 'entries', AuditEntry);
export const ReservedIps = page('ReservedIPCollection', 'reserved_ips', ReservedIp);
export const Regions = named('RegionCollection', { regions: arrayOf(Region) });
export const Zones = named('ZoneCollection', { zones: arrayOf(Zone) });
/** Only a transit gateway makes service connections: there are none here. */
export const ServiceConnections = named('VPNGatewayServiceConnectionCollection', {
  first: PAGE_FRAME.first,
  limit: PAGE_FRAME.limit,
  total_count: Type.Literal(0),
  service_connections: Type.Array(Type.Object({}), { maxItems: 0 }),
});
export const ResourceGroups = named('ResourceGroupCollection', { resources: arrayOf(ResourceGroup) });

/** A subnet of the site. */
export type SubnetAnswer = AnswerOf<typeof Subnet>;
/** A VPC of the site. */
export type VpcAnswer = AnswerOf<typeof Vpc>;
/** An address of a subnet that a gateway has. */
export type ReservedIpAnswer = AnswerOf<typeof ReservedIp>;
/** A resource group of the site. */
export type ResourceGroupAnswer = AnswerOf<typeof ResourceGroup>;
/** A region. */
export type RegionAnswer = AnswerOf<typeof Region>;
/** A zone of the region. */
export type ZoneAnswer = AnswerOf<typeof Zone>;
/** An entry of the audit trail. */
export type AuditEntryAnswer = AnswerOf<typeof AuditEntry>;
/** A quota and how much of it is used. */
export type QuotaAnswer = AnswerOf<typeof Quota>;
/** An access token and its refresh token. */
export type TokenAnswer = AnswerOf<typeof Token>;
