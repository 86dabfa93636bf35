import { IDENTITY_TYPE_NAMES } from '../../ike/policy/identity.js';
import { PROFILES } from '../../ike/policy/matrix.js';
import { BACKUP_FIELDS } from '../../store/backup.js';
import {
  ADDITIONAL_KEY_EXCHANGES,
  AUTHENTICATION_NAMES,
  DH_GROUPS,
  ENCRYPTION_NAMES,
  PFS_NAMES,
} from '../../store/schema.js';
import * as Type from '../../util/json-schema.js';
import {
  Address,
  type AnswerOf,
  arrayOf,
  ConnectionReference,
  Count,
  Crn,
  closed,
  constant,
  Encryption,
  ErrorContainer,
  Health,
  Href,
  Id,
  Lifecycle,
  Name,
  type NamedSchema,
  named,
  OldStatus,
  oneOf,
  optional,
  PolicyReference,
  page,
  Reason,
  ResourceGroupReference,
  RoutingTableReference,
  ref,
  SubnetReference,
  Text,
  Time,
  UpDown,
  VpcReference,
} from './answer-parts.js';
import { ConsoleSession, Credentials, LoginLink } from './console-answers.js';
import { Diagnosis, History } from './observed-answers.js';
import { RouteState, RouteStates } from './route-state-answers.js';
import {
  NextHop,
  NextHopAddress,
  Route,
  RouteReference,
  Routes,
  RoutingTable,
  RoutingTables,
} from './routing-answers.js';
import {
  AuditEntries,
  AuditEntry,
  Event,
  Quota,
  Quotas,
  Region,
  Regions,
  ReservedIp,
  ReservedIps,
  ResourceGroup,
  ResourceGroups,
  ServiceConnection,
  ServiceConnections,
  Subnet,
  Subnets,
  Token,
  Vpc,
  Vpcs,
  Zone,
  Zones,
} from './surroundings-answers.js';

/** The bodies of answers, by the name under which the OpenAPI document lists them. */
const policyFields = {
  id: Id,
  href: Href,
  name: Name,
  created_at: Time,
  key_lifetime: Type.Integer({ minimum: 300, maximum: 86_400 }),
  resource_group: ref(ResourceGroupReference),
  connections: arrayOf(ConnectionReference),
  encryption_algorithm: Encryption,
  encryption_algorithms: Type.Array(Type.Enum(ENCRYPTION_NAMES), { minItems: 1 }),
  additional_key_exchanges: Type.Array(Type.Enum(ADDITIONAL_KEY_EXCHANGES)),
};

export const IkePolicy = named('IKEPolicy', {
  ...policyFields,
  authentication_algorithm: Type.Enum([...AUTHENTICATION_NAMES, 'multiple']),
  authentication_algorithms: Type.Array(Type.Enum(AUTHENTICATION_NAMES), { minItems: 1 }),
  dh_group: Type.Enum([...DH_GROUPS, 65_535]),
  dh_groups: Type.Array(Type.Enum(DH_GROUPS), { minItems: 1 }),
  ike_version: Type.Enum([1, 2]),
  negotiation_mode: constant('main'),
  resource_type: constant('ike_policy'),
});

export const IpsecPolicy = named('IPsecPolicy', {
  ...policyFields,
  authentication_algorithm: Type.Enum([...AUTHENTICATION_NAMES, 'disabled', 'multiple']),
  authentication_algorithms: Type.Array(Type.Enum([...AUTHENTICATION_NAMES, 'disabled']), { minItems: 1 }),
  pfs: Type.Enum([...PFS_NAMES, 'multiple']),
  pfs_groups: Type.Array(Type.Enum(PFS_NAMES), { minItems: 1 }),
  encapsulation_mode: constant('tunnel'),
  transform_protocol: constant('esp'),
  resource_type: constant('ipsec_policy'),
});

const states = {
  health_state: Health,
  health_reasons: arrayOf(Reason),
  lifecycle_state: Lifecycle,
  lifecycle_reasons: arrayOf(Reason),
  status: optional(OldStatus),
};

const Member = named('VPNGatewayMember', {
  private_ip: Type.Object(
    { address: Text, href: Href, id: Id, name: Name, resource_type: constant('subnet_reserved_ip') },
    closed,
  ),
  public_ip: Address,
  role: Type.Enum(['active', 'standby']),
  ...states,
});

export const Gateway = named('VPNGateway', {
  id: Id,
  crn: Crn,
  name: Name,
  href: Href,
  created_at: Time,
  subnet: ref(SubnetReference),
  resource_group: ref(ResourceGroupReference),
  lifecycle_state: Lifecycle,
  health_state: Health,
  // Since 2020, all of these.
  resource_type: optional(constant('vpn_gateway')),
  vpc: optional(ref(VpcReference)),
  connections: optional(arrayOf(ConnectionReference)),
  members: optional(Type.Array(ref(Member), { minItems: 2, maxItems: 2 })),
  health_reasons: optional(arrayOf(Reason)),
  lifecycle_reasons: optional(arrayOf(Reason)),
  mode: optional(Type.Enum(['policy', 'route'])),
  local_asn: optional(Type.Integer()),
  advertised_cidrs: optional(Type.Array(Text)),
  // Until 2023-10-09, and in 2019.
  status: optional(OldStatus),
  public_ip: optional(Address),
});

const Identity = Type.Object({ type: Type.Enum([...IDENTITY_TYPE_NAMES]), value: Text }, closed);
const Cidrs = Type.Array(Text, { minItems: 1 });

const connectionFields = {
  id: Id,
  href: Href,
  name: Name,
  created_at: Time,
  admin_state_up: Type.Boolean(),
  authentication_mode: constant('psk'),
  dead_peer_detection: Type.Object(
    { action: Type.Enum(['restart', 'clear', 'hold', 'none']), interval: Count, timeout: Count },
    closed,
  ),
  // Viewers do not see it.
  psk: optional(Text),
  status: UpDown,
  status_reasons: arrayOf(Reason),
  ike_policy: optional(ref(PolicyReference)),
  ipsec_policy: optional(ref(PolicyReference)),
  profile: optional(Type.Enum(PROFILES)),
  resource_type: optional(constant('vpn_gateway_connection')),
};
const routeFields = {
  mode: constant('route'),
  routing_protocol: constant('none'),
  distribute_traffic: Type.Boolean(),
  tunnels: Type.Array(
    Type.Object({ public_ip: Address, status: UpDown, status_reasons: arrayOf(Reason) }, closed),
    { minItems: 2, maxItems: 2 },
  ),
};
const peerFields = {
  type: Type.Enum(['address', 'fqdn']),
  address: optional(Text),
  fqdn: optional(Text),
  ike_identity: Identity,
};
const EstablishMode = Type.Enum(['bidirectional', 'peer_only']);

const PolicyConnection = named('VPNGatewayConnectionPolicyMode', {
  ...connectionFields,
  mode: constant('policy'),
  establish_mode: EstablishMode,
  local: Type.Object(
    { cidrs: Cidrs, ike_identities: Type.Array(Identity, { minItems: 1, maxItems: 1 }) },
    closed,
  ),
  peer: Type.Object({ ...peerFields, cidrs: Cidrs }, closed),
});
const RouteConnection = named('VPNGatewayConnectionStaticRouteMode', {
  ...connectionFields,
  ...routeFields,
  establish_mode: EstablishMode,
  local: Type.Object({ ike_identities: Type.Array(Identity, { minItems: 2, maxItems: 2 }) }, closed),
  peer: Type.Object(peerFields, closed),
});
const FlatPolicyConnection = named('VPNGatewayConnectionPolicyModeFlat', {
  ...connectionFields,
  mode: optional(constant('policy')),
  route_mode: optional(constant('policy')),
  local_cidrs: Cidrs,
  peer_cidrs: Cidrs,
  peer_address: Text,
});
const FlatRouteConnection = named('VPNGatewayConnectionStaticRouteModeFlat', {
  ...connectionFields,
  ...routeFields,
  mode: optional(constant('route')),
  route_mode: optional(constant('policy')),
  peer_address: Text,
});
export const Connection = oneOf(
  'VPNGatewayConnection',
  PolicyConnection,
  RouteConnection,
  FlatPolicyConnection,
  FlatRouteConnection,
);

/** Pages of lists, and the answers that have one object each. */
export const IkePolicies = page('IKEPolicyCollection', 'ike_policies', IkePolicy);
export const IpsecPolicies = page('IPsecPolicyCollection', 'ipsec_policies', IpsecPolicy);
export const Gateways = page('VPNGatewayCollection', 'vpn_gateways', Gateway);
export const Connections = page('VPNGatewayConnectionCollection', 'connections', Connection);
export const NestedCidrs = named('CIDRs', { cidrs: Cidrs });
export const LocalCidrs = named('LocalCIDRs', { local_cidrs: Cidrs });
export const PeerCidrs = named('PeerCIDRs', { peer_cidrs: Cidrs });
export const TransactionOutcome = named('Transaction', {
  dry_run: Type.Boolean(),
  // As asked for; the id where the object exists after the transaction.
  steps: Type.Array(Type.Object({ operation: Text, id: optional(Id) }, closed)),
});
export const Backup = named('Backup', BACKUP_FIELDS);
export const RestoreOutcome = named('Restore', {
  dry_run: Type.Boolean(),
  made: Count,
  changed: Count,
  deleted: Count,
  unchanged: Count,
  connections_without_key: Type.Array(
    Type.Object({ id: Id, name: Text, gateway: Type.Object({ id: Id, name: Text }, closed) }, closed),
  ),
});
export const AdvertisedCidrs = named('AdvertisedCIDRs', { advertised_cidrs: Type.Array(Text) });

/** Every named schema; later ones refer to earlier ones. */
export const ANSWERS: readonly NamedSchema[] = [
  ErrorContainer,
  Reason,
  ResourceGroupReference,
  SubnetReference,
  VpcReference,
  ConnectionReference,
  PolicyReference,
  RoutingTableReference,
  RouteReference,
  NextHopAddress,
  NextHop,
  IkePolicy,
  IpsecPolicy,
  Member,
  Gateway,
  PolicyConnection,
  RouteConnection,
  FlatPolicyConnection,
  FlatRouteConnection,
  Connection,
  RoutingTable,
  Route,
  Subnet,
  Vpc,
  ResourceGroup,
  Region,
  Zone,
  ReservedIp,
  ServiceConnection,
  Quota,
  AuditEntry,
  Event,
  Token,
  RouteState,
  Diagnosis,
  History,
  RoutingTables,
  Routes,
  RouteStates,
  IkePolicies,
  IpsecPolicies,
  Gateways,
  Connections,
  Subnets,
  Vpcs,
  Quotas,
  AuditEntries,
  ReservedIps,
  Regions,
  Zones,
  ServiceConnections,
  ResourceGroups,
  NestedCidrs,
  LocalCidrs,
  PeerCidrs,
  TransactionOutcome,
  Backup,
  RestoreOutcome,
  AdvertisedCidrs,
  ConsoleSession,
  LoginLink,
  Credentials,
];

/** An IKE policy. */
export type IkePolicyAnswer = AnswerOf<typeof IkePolicy>;
/** An IPsec policy. */
export type IpsecPolicyAnswer = AnswerOf<typeof IpsecPolicy>;
/** A gateway, in any form it has had. */
export type GatewayAnswer = AnswerOf<typeof Gateway>;
/** A member of a gateway. */
export type MemberAnswer = AnswerOf<typeof Member>;
/** A connection of a policy mode gateway. */
export type PolicyConnectionAnswer = AnswerOf<typeof PolicyConnection>;
/** A connection of a route mode gateway. */
export type RouteConnectionAnswer = AnswerOf<typeof RouteConnection>;
/** A connection of a policy mode gateway, as it was until 2024-04-29. */
export type FlatPolicyConnectionAnswer = AnswerOf<typeof FlatPolicyConnection>;
/** A connection of a route mode gateway, as it was until 2024-04-29. */
export type FlatRouteConnectionAnswer = AnswerOf<typeof FlatRouteConnection>;
/** A connection, in any form it has had. */
export type ConnectionAnswer = AnswerOf<typeof Connection>;
/** Why something is not well. */
export type ReasonAnswer = AnswerOf<typeof Reason>;
