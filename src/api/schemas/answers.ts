import { IDENTITY_TYPE_NAMES } from '../../ike/policy/identity.js';
import { BACKUP_FIELDS } from '../../store/backup.js';
import { AUTHENTICATION_NAMES, DH_GROUPS, ENCRYPTION_NAMES, PFS_NAMES } from '../../store/schema.js';
import { DEFAULT_QUOTAS } from '../../store/site.js';
import * as Type from '../../util/json-schema.js';
import { ERROR_CODES } from '../error-codes.js';

/** The bodies of answers, by the name under which the OpenAPI document lists them. */
const closed = { additionalProperties: false } as const;
const optional = Type.Optional;

const Text = Type.String();
const Id = Type.String({ pattern: '^[-0-9a-z_]{1,64}$' });
const Name = Type.String({ pattern: '^[A-Za-z][-A-Za-z0-9_]{0,62}$' });
const Href = Type.String({ pattern: '^https?://' });
const Crn = Type.String({ pattern: '^crn:v1:' });
const Time = Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\\.[0-9]+)?Z$' });
const Count = Type.Integer({ minimum: 0 });
const constant = <T extends string>(value: T) => Type.Literal(value);
const ref = (name: string) => Type.Unsafe<object>({ $ref: `${name}#` });
const arrayOf = (name: string) => Type.Array(ref(name));
const named = <T extends Type.TProperties>($id: string, properties: T) =>
  Type.Object(properties, { ...closed, $id });

const UpDown = Type.Enum(['up', 'down']);
const Address = Type.Object({ address: Text }, closed);
const Health = Type.Enum(['ok', 'degraded', 'faulted', 'inapplicable']);
const Lifecycle = Type.Enum(['deleting', 'failed', 'pending', 'stable', 'suspended', 'updating', 'waiting']);
const OldStatus = Type.Enum(['available', 'failed', 'pending', 'deleting']);
const Encryption = Type.Enum([...ENCRYPTION_NAMES, 'multiple']);

const ErrorContainer = named('Errors', {
  errors: Type.Array(
    Type.Object(
      {
        code: Type.Enum(Object.keys(ERROR_CODES)),
        message: Type.String({ minLength: 1 }),
        more_info: optional(Href),
        target: optional(
          Type.Object({ name: Text, type: Type.Enum(['field', 'header', 'parameter']) }, closed),
        ),
      },
      closed,
    ),
    { minItems: 1 },
  ),
  trace: Type.String({ pattern: '^[-0-9a-zA-Z_]{1,64}$' }),
  status_code: optional(Type.Integer()),
  // What clients of the token service read.
  errorCode: optional(Text),
  errorMessage: optional(Text),
});

const Reason = named('Reason', { code: Text, message: Text, more_info: optional(Href) });
const ResourceGroupReference = named('ResourceGroupReference', { href: Href, id: Id, name: optional(Name) });
const SubnetReference = named('SubnetReference', {
  crn: optional(Crn),
  href: Href,
  id: Id,
  name: Name,
  resource_type: optional(constant('subnet')),
});
const VpcReference = named('VPCReference', {
  crn: Crn,
  href: Href,
  id: Id,
  name: Name,
  resource_type: constant('vpc'),
});
const ConnectionReference = named('VPNGatewayConnectionReference', {
  href: Href,
  id: Id,
  name: Name,
  resource_type: constant('vpn_gateway_connection'),
});
const PolicyReference = named('PolicyReference', {
  href: Href,
  id: Id,
  name: Name,
  resource_type: Type.Enum(['ike_policy', 'ipsec_policy']),
});

const policyFields = {
  id: Id,
  href: Href,
  name: Name,
  created_at: Time,
  key_lifetime: Type.Integer({ minimum: 300, maximum: 86_400 }),
  resource_group: ref('ResourceGroupReference'),
  connections: arrayOf('VPNGatewayConnectionReference'),
  encryption_algorithm: Encryption,
  encryption_algorithms: Type.Array(Type.Enum(ENCRYPTION_NAMES), { minItems: 1 }),
};

const IkePolicy = named('IKEPolicy', {
  ...policyFields,
  authentication_algorithm: Type.Enum([...AUTHENTICATION_NAMES, 'multiple']),
  authentication_algorithms: Type.Array(Type.Enum(AUTHENTICATION_NAMES), { minItems: 1 }),
  dh_group: Type.Enum([...DH_GROUPS, 65_535]),
  dh_groups: Type.Array(Type.Enum(DH_GROUPS), { minItems: 1 }),
  ike_version: Type.Enum([1, 2]),
  negotiation_mode: constant('main'),
  resource_type: constant('ike_policy'),
});

const IpsecPolicy = named('IPsecPolicy', {
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
  health_reasons: arrayOf('Reason'),
  lifecycle_state: Lifecycle,
  lifecycle_reasons: arrayOf('Reason'),
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

const Gateway = Type.Object(
  {
    id: Id,
    crn: Crn,
    name: Name,
    href: Href,
    created_at: Time,
    subnet: ref('SubnetReference'),
    resource_group: ref('ResourceGroupReference'),
    lifecycle_state: Lifecycle,
    health_state: Health,
    // Since 2020, all of these.
    resource_type: optional(constant('vpn_gateway')),
    vpc: optional(ref('VPCReference')),
    connections: optional(arrayOf('VPNGatewayConnectionReference')),
    members: optional(Type.Array(ref('VPNGatewayMember'), { minItems: 2, maxItems: 2 })),
    health_reasons: optional(arrayOf('Reason')),
    lifecycle_reasons: optional(arrayOf('Reason')),
    mode: optional(Type.Enum(['policy', 'route'])),
    local_asn: optional(Type.Integer()),
    advertised_cidrs: optional(Type.Array(Text)),
    // Until 2023-10-09, and in 2019.
    status: optional(OldStatus),
    public_ip: optional(Address),
  },
  { ...closed, $id: 'VPNGateway' },
);

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
  status_reasons: arrayOf('Reason'),
  ike_policy: optional(ref('PolicyReference')),
  ipsec_policy: optional(ref('PolicyReference')),
  resource_type: optional(constant('vpn_gateway_connection')),
};
const routeFields = {
  mode: constant('route'),
  routing_protocol: constant('none'),
  distribute_traffic: Type.Boolean(),
  tunnels: Type.Array(
    Type.Object({ public_ip: Address, status: UpDown, status_reasons: arrayOf('Reason') }, closed),
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
const Connection = Type.Unsafe<object>({
  $id: 'VPNGatewayConnection',
  anyOf: [
    { $ref: 'VPNGatewayConnectionPolicyMode#' },
    { $ref: 'VPNGatewayConnectionStaticRouteMode#' },
    { $ref: 'VPNGatewayConnectionPolicyModeFlat#' },
    { $ref: 'VPNGatewayConnectionStaticRouteModeFlat#' },
  ],
});

const Subnet = named('Subnet', {
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
  resource_group: ref('ResourceGroupReference'),
  resource_type: constant('subnet'),
  vpc: ref('VPCReference'),
  zone: Type.Object({ href: Href, name: Name }, closed),
});
const Vpc = named('VPC', {
  id: Id,
  crn: Crn,
  href: Href,
  name: Name,
  classic_access: Type.Boolean(),
  status: constant('available'),
  resource_group: ref('ResourceGroupReference'),
  resource_type: constant('vpc'),
});
const regionFields = { href: Href, name: Name };
const Region = named('Region', { ...regionFields, endpoint: Href, status: constant('available') });
const Zone = named('Zone', {
  href: Href,
  name: Name,
  region: Type.Object(regionFields, closed),
  status: constant('available'),
});
const ReservedIp = named('ReservedIP', {
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
const ServiceConnection = named('VPNGatewayServiceConnection', {
  id: Id,
  created_at: Time,
  creator: Type.Object({ crn: Crn, id: Id, resource_type: constant('transit_gateway') }, closed),
  lifecycle_reasons: arrayOf('Reason'),
  lifecycle_state: Lifecycle,
  status: Type.Enum(['up', 'down', 'degraded']),
  status_reasons: arrayOf('Reason'),
});
const Quota = named('Quota', {
  name: Type.Enum(Object.keys(DEFAULT_QUOTAS)),
  limit: Count,
  used: Count,
  scope: Type.Object(
    {
      resource_type: Type.Enum(['region', 'zone', 'vpc', 'vpn_gateway', 'vpn_gateway_connection']),
      id: Id,
      name: Name,
      href: Href,
      zone: optional(Type.Object({ href: Href, name: Name }, closed)),
    },
    closed,
  ),
});
const AuditEntry = named('AuditEntry', {
  at: Time,
  action: Type.String({ pattern: '^(is\\.vpn|culvert)\\.[a-z_-]+\\.[a-z]+$' }),
  outcome: Type.Enum(['success', 'failure']),
  initiator: Type.Object(
    {
      name: optional(Text),
      role: optional(Type.Enum(['viewer', 'editor'])),
      by: optional(Type.Enum(['token', 'iam', 'socket', 'none', 'server'])),
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
const ResourceGroup = named('ResourceGroup', {
  id: Id,
  crn: Crn,
  account_id: Text,
  name: Name,
  state: constant('ACTIVE'),
  default: Type.Boolean(),
});

function page(name: string, field: string, item: string) {
  return named(name, {
    first: Type.Object({ href: Href }, closed),
    next: optional(Type.Object({ href: Href }, closed)),
    limit: Type.Integer({ minimum: 1, maximum: 100 }),
    total_count: Count,
    [field]: arrayOf(item),
  });
}

const Token = named('Token', {
  access_token: Text,
  refresh_token: Text,
  token_type: constant('Bearer'),
  expires_in: Count,
  expiration: Count,
  scope: Text,
});

/** Every named schema; later ones refer to earlier ones. */
export const ANSWERS: readonly Type.TSchema[] = [
  ErrorContainer,
  Reason,
  ResourceGroupReference,
  SubnetReference,
  VpcReference,
  ConnectionReference,
  PolicyReference,
  IkePolicy,
  IpsecPolicy,
  Member,
  Gateway,
  PolicyConnection,
  RouteConnection,
  FlatPolicyConnection,
  FlatRouteConnection,
  Connection,
  Subnet,
  Vpc,
  ResourceGroup,
  Region,
  Zone,
  ReservedIp,
  ServiceConnection,
  Quota,
  AuditEntry,
  Token,
  page('IKEPolicyCollection', 'ike_policies', 'IKEPolicy'),
  page('IPsecPolicyCollection', 'ipsec_policies', 'IPsecPolicy'),
  page('VPNGatewayCollection', 'vpn_gateways', 'VPNGateway'),
  page('VPNGatewayConnectionCollection', 'connections', 'VPNGatewayConnection'),
  page('SubnetCollection', 'subnets', 'Subnet'),
  page('VPCCollection', 'vpcs', 'VPC'),
  page('QuotaCollection', 'quotas', 'Quota'),
  page('AuditEntryCollection', 'entries', 'AuditEntry'),
  page('ReservedIPCollection', 'reserved_ips', 'ReservedIP'),
  named('RegionCollection', { regions: arrayOf('Region') }),
  named('ZoneCollection', { zones: arrayOf('Zone') }),
  // Only a transit gateway makes service connections: there are none here.
  named('VPNGatewayServiceConnectionCollection', {
    first: Type.Object({ href: Href }, closed),
    limit: Type.Integer({ minimum: 1, maximum: 100 }),
    total_count: Type.Literal(0),
    service_connections: Type.Array(Type.Object({}), { maxItems: 0 }),
  }),
  named('ResourceGroupCollection', { resources: arrayOf('ResourceGroup') }),
  named('CIDRs', { cidrs: Cidrs }),
  named('LocalCIDRs', { local_cidrs: Cidrs }),
  named('PeerCIDRs', { peer_cidrs: Cidrs }),
  named('Transaction', {
    dry_run: Type.Boolean(),
    // As asked for; the id where the object is there behind the transaction.
    steps: Type.Array(Type.Object({ operation: Text, id: optional(Id) }, closed)),
  }),
  named('Backup', BACKUP_FIELDS),
  named('Restore', {
    dry_run: Type.Boolean(),
    made: Count,
    changed: Count,
    deleted: Count,
    unchanged: Count,
    connections_without_key: Type.Array(
      Type.Object({ id: Id, name: Text, gateway: Type.Object({ id: Id, name: Text }, closed) }, closed),
    ),
  }),
  named('AdvertisedCIDRs', { advertised_cidrs: Type.Array(Text) }),
];
