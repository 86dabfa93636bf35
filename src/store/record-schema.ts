import { PROFILES } from '../ike/policy/matrix.js';
import * as Type from '../util/json-schema.js';
import { DpdModel, IdentityModel, modelOf } from './model-schema.js';
import {
  type ConnectionRecord,
  type GatewayMember,
  type GatewayRecord,
  type IkePolicyRecord,
  INGRESS_SOURCES,
  type IpsecPolicyRecord,
  KIND,
  ROUTE_ACTIONS,
  ROUTE_LEARNERS,
  ROUTE_MAKERS,
  ROUTE_PRIORITY,
  type RouteRecord,
  type RoutingTableRecord,
} from './records.js';
import {
  ADDITIONAL_KEY_EXCHANGES,
  AUTHENTICATION_NAMES,
  DH_GROUPS,
  ENCRYPTION_NAMES,
  KEY_LIFETIME,
  PFS_NAMES,
  PskSchema,
} from './schema.js';

/*
 * The form of the objects in the store, for those that come from outside: a backup. Rules between fields and between
 * objects are not here.
 */

/** An id of an object. Some of them name folders and sockets: they contain nothing that a path could be made of. */
export const ObjectId = Type.String({
  pattern: '^[0-9a-z][-0-9a-z]{0,63}$',
  description: 'an id of 1 to 64 lower-case letters, digits and hyphens',
});

const Name = Type.String({
  // As of 2019, which is the widest one.
  pattern: '^[A-Za-z][-A-Za-z0-9_]{0,62}$',
  description: 'a name of 1 to 63 letters, digits, hyphens and underscores that begins with a letter',
});
const Time = Type.String({
  pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,15}Z$',
  description: 'a time as RFC 3339 writes it, in UTC',
});
const Text = Type.String({ minLength: 1, maxLength: 512, description: '1 to 512 characters' });
const Cidrs = Type.Array(Type.String({ maxLength: 64 }), { maxItems: 255 });
const KeyLifetime = Type.Integer({
  minimum: KEY_LIFETIME.min,
  maximum: KEY_LIFETIME.max,
  description: `seconds, from ${KEY_LIFETIME.min} to ${KEY_LIFETIME.max}`,
});
const algorithms = (names: readonly string[], minItems: number) =>
  Type.Array(Type.Enum([...names]), { minItems, maxItems: names.length });

const member = modelOf<GatewayMember>({
  privateIp: modelOf<GatewayMember['privateIp']>({ id: ObjectId, name: Name, address: Text }),
  publicAddress: Type.Optional(Text),
});

const gateway = modelOf<GatewayRecord>({
  name: Name,
  createdAt: Time,
  mode: Type.Enum(['policy', 'route']),
  subnet: Text,
  vpc: Text,
  zone: Text,
  resourceGroup: Text,
  localAsn: Type.Optional(Type.Integer({ minimum: 0, maximum: 4_294_967_295 })),
  advertisedCidrs: Type.Array(Type.String({ maxLength: 64 }), { maxItems: 1000 }),
  members: Type.Array(member, { minItems: 2, maxItems: 2 }),
  lifecycle: Type.Enum(['pending', 'stable', 'failed', 'deleting']),
});

const connection = modelOf<ConnectionRecord>({
  gateway: ObjectId,
  name: Name,
  createdAt: Time,
  psk: Type.Optional(PskSchema),
  adminStateUp: Type.Boolean(),
  establishMode: Type.Enum(['bidirectional', 'peer_only']),
  deadPeerDetection: DpdModel,
  ikePolicy: Type.Optional(ObjectId),
  ipsecPolicy: Type.Optional(ObjectId),
  profile: Type.Optional(Type.Enum(PROFILES)),
  distributeTraffic: Type.Boolean(),
  local: modelOf<ConnectionRecord['local']>({
    cidrs: Cidrs,
    ikeIdentities: Type.Array(IdentityModel, { maxItems: 2 }),
  }),
  peer: modelOf<ConnectionRecord['peer']>({
    address: Type.Optional(Text),
    fqdn: Type.Optional(Text),
    cidrs: Cidrs,
    ikeIdentity: Type.Optional(IdentityModel),
  }),
});

const policy = {
  name: Name,
  createdAt: Time,
  resourceGroup: Text,
  keyLifetime: KeyLifetime,
  additionalKeyExchanges: Type.Optional(algorithms(ADDITIONAL_KEY_EXCHANGES, 1)),
};

const ikePolicy = modelOf<IkePolicyRecord>({
  ...policy,
  encryption: algorithms(ENCRYPTION_NAMES, 1),
  authentication: algorithms(AUTHENTICATION_NAMES, 1),
  ikeVersion: Type.Enum([1, 2]),
  dhGroups: Type.Array(Type.Enum([...DH_GROUPS]), { minItems: 1, maxItems: DH_GROUPS.length }),
});

const ipsecPolicy = modelOf<IpsecPolicyRecord>({
  ...policy,
  encryption: algorithms(ENCRYPTION_NAMES, 1),
  authentication: algorithms(AUTHENTICATION_NAMES, 0),
  pfsGroups: algorithms(PFS_NAMES, 1),
});

const someOf = <T extends string>(values: readonly T[]) =>
  Type.Array(Type.Enum([...values]), { maxItems: values.length });

const routingTable = modelOf<RoutingTableRecord>({
  name: Name,
  createdAt: Time,
  vpc: Text,
  isDefault: Type.Boolean(),
  acceptRoutesFrom: someOf(ROUTE_MAKERS),
  advertiseRoutesTo: someOf(ROUTE_LEARNERS),
  ingress: someOf(INGRESS_SOURCES),
  subnets: Type.Array(Text, { maxItems: 1000 }),
});

const route = modelOf<RouteRecord>({
  table: ObjectId,
  vpc: Text,
  name: Name,
  createdAt: Time,
  zone: Text,
  destination: Type.String({ maxLength: 64 }),
  action: Type.Enum([...ROUTE_ACTIONS]),
  nextHop: modelOf<RouteRecord['nextHop']>({
    address: Type.Optional(Text),
    connection: Type.Optional(ObjectId),
  }),
  priority: Type.Integer({ minimum: ROUTE_PRIORITY.min, maximum: ROUTE_PRIORITY.max }),
  advertise: Type.Boolean(),
});

/** By kind of object. */
export const RECORD_SCHEMAS = {
  [KIND.gateway]: gateway,
  [KIND.connection]: connection,
  [KIND.ikePolicy]: ikePolicy,
  [KIND.ipsecPolicy]: ipsecPolicy,
  [KIND.routingTable]: routingTable,
  [KIND.route]: route,
} as const satisfies Readonly<Record<string, Type.TSchema>>;
