import type { Offload } from '../../dataplane/offload.js';
import { makeIdentity } from '../../ike/policy/identity.js';
import { PROFILES } from '../../ike/policy/matrix.js';
import type { ConfigIssue, ConfigPath } from '../../store/config-error.js';
import { unicastProblem } from '../../store/connection-rules.js';
import type {
  GatewayConnection,
  GatewayFile,
  GatewayLimits,
  GatewaySettings,
  IkeIdentity,
  IkePolicy,
  IpsecPolicy,
} from '../../store/model.js';
import { DpdModel, IdentityModel, modelOf } from '../../store/model-schema.js';
import {
  ADDITIONAL_KEY_EXCHANGES,
  AUTHENTICATION_NAMES,
  DeviceName,
  DH_GROUPS,
  ENCRYPTION_NAMES,
  FIRST_PORTS,
  GatewaySchema,
  KEY_LIFETIME,
} from '../../store/schema.js';
import { SchemaCheck } from '../../store/schema-check.js';
import { parseCidr } from '../../util/ip.js';
import * as Type from '../../util/json-schema.js';

/*
 * The wire form of `GatewayFile`, as a supervisor sends it. What a person wrote has been judged by the rules of the
 * store; here it is made sure that a damaged or foreign request is refused before any part of the gateway meets it.
 */

const { properties: written } = GatewaySchema;
const text = Type.String({ minLength: 1, maxLength: 4096 });
const cidrs = Type.Array(Type.String(), { maxItems: 255 });
const lifetime = Type.Integer({ minimum: KEY_LIFETIME.min, maximum: KEY_LIFETIME.max });
const bound = Type.Integer({ minimum: 0, maximum: 0x7fffffff });
const algorithms = (names: readonly string[], minItems: number) =>
  Type.Array(Type.Enum([...names]), { minItems, maxItems: names.length });

const offload = modelOf<Offload>({
  tso: Type.Optional(Type.Boolean()),
  uso: Type.Optional(Type.Boolean()),
  coalesce: Type.Optional(Type.Boolean()),
  segment: Type.Optional(Type.Boolean()),
  gro: Type.Optional(Type.Boolean()),
});

const gateway = modelOf<GatewaySettings>({
  name: text,
  mode: Type.Enum(['policy', 'route']),
  address: text,
  interface: DeviceName,
  encapsulation: Type.Enum(['always', 'auto']),
  profile: Type.Enum(PROFILES),
  offload: Type.Optional(offload),
  mss: written.mss,
  workers: written.workers,
  failClosed: Type.Boolean(),
  control: text,
});

const limits = modelOf<GatewayLimits>({
  halfOpenTotal: bound,
  halfOpenPerSource: bound,
  halfOpenBytes: bound,
  cookieThreshold: bound,
  ikeSas: bound,
  ikeSasPerPeer: bound,
  messageBytes: bound,
  firstMessageBytes: bound,
  fragmentPacket: bound,
  requestsPerSecondInAll: bound,
  requestsPerSecond: bound,
  childSas: bound,
  requestsPerConnection: bound,
});

const ikePolicy = modelOf<IkePolicy>({
  name: text,
  ikeVersion: Type.Enum([1, 2]),
  encryption: algorithms(ENCRYPTION_NAMES, 1),
  authentication: algorithms(AUTHENTICATION_NAMES, 1),
  dhGroups: Type.Array(Type.Enum([...DH_GROUPS]), { minItems: 1 }),
  additionalKeyExchanges: Type.Optional(algorithms(ADDITIONAL_KEY_EXCHANGES, 1)),
  keyLifetime: lifetime,
});

const ipsecPolicy = modelOf<IpsecPolicy>({
  name: text,
  encryption: algorithms(ENCRYPTION_NAMES, 1),
  authentication: algorithms(AUTHENTICATION_NAMES, 0),
  pfsGroups: Type.Array(Type.Enum([0, ...DH_GROUPS]), { minItems: 1 }),
  additionalKeyExchanges: Type.Optional(algorithms(ADDITIONAL_KEY_EXCHANGES, 1)),
  keyLifetime: lifetime,
});

const connection = modelOf<GatewayConnection>({
  id: text,
  name: text,
  // Any octets, in base64.
  psk: Type.String({
    pattern: '^(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}(?:==)|[A-Za-z0-9+/]{3}=)?$',
    maxLength: 4096,
  }),
  adminStateUp: Type.Boolean(),
  establishMode: Type.Enum(['bidirectional', 'peer_only']),
  deadPeerDetection: DpdModel,
  ikePolicy: Type.Optional(text),
  ipsecPolicy: Type.Optional(text),
  profile: Type.Optional(Type.Enum(PROFILES)),
  local: modelOf<GatewayConnection['local']>({
    cidrs,
    ikeIdentities: Type.Array(IdentityModel, { minItems: 1, maxItems: 2 }),
  }),
  peer: modelOf<GatewayConnection['peer']>({
    address: Type.Optional(text),
    fqdn: Type.Optional(text),
    port: Type.Optional(Type.Enum([...FIRST_PORTS])),
    cidrs,
    ikeIdentity: IdentityModel,
  }),
  distributeTraffic: Type.Boolean(),
  interface: Type.Optional(DeviceName),
  routes: cidrs,
});

const file = modelOf<GatewayFile>({
  source: Type.String(),
  gateway,
  ikePolicies: Type.Array(ikePolicy),
  ipsecPolicies: Type.Array(ipsecPolicy),
  connections: Type.Array(connection),
  limits,
});

const check = new SchemaCheck(Type.Object({ file }, { additionalProperties: false }));

/** A configuration in plain JSON, keys in it as base64. */
export type PlainFile = Omit<GatewayFile, 'connections'> & {
  readonly connections: readonly (Omit<GatewayConnection, 'psk'> & { readonly psk: string })[];
};

/** All that is wrong with the parameters of a `configure` request. No message repeats a key. */
export function desiredIssues(params: unknown): ConfigIssue[] {
  const issues = check.issues(params);
  if (issues.length > 0) return issues;
  const { file } = params as { readonly file: PlainFile };
  return [
    ...problemAt(['file', 'gateway', 'address'], unicastProblem(file.gateway.address)),
    ...unique(file, 'id'),
    ...unique(file, 'name'),
    ...file.connections.flatMap((one, i) => connectionIssues(file, one, ['file', 'connections', i])),
  ];
}

function problemAt(path: ConfigPath, problem: string | undefined): ConfigIssue[] {
  return problem === undefined ? [] : [{ path, message: problem }];
}

function unique({ connections }: PlainFile, key: 'id' | 'name'): ConfigIssue[] {
  const seen = new Set<string>();
  return connections.flatMap(({ [key]: value }, i) => {
    const twice = seen.has(value);
    seen.add(value);
    return problemAt(['file', 'connections', i, key], twice ? `is the ${key} of two connections` : undefined);
  });
}

function connectionIssues(
  { ikePolicies, ipsecPolicies }: PlainFile,
  { ikePolicy, ipsecPolicy, local, peer, routes }: PlainFile['connections'][number],
  at: ConfigPath,
): ConfigIssue[] {
  const known = (policies: readonly { readonly name: string }[], name: string | undefined) =>
    name === undefined || policies.some((policy) => policy.name === name)
      ? undefined
      : 'names a policy that is not there';
  const networks = (path: ConfigPath, list: readonly string[]) =>
    list.flatMap((one, i) => {
      const cidr = parseCidr(one);
      return problemAt([...path, i], cidr.ok ? undefined : cidr.error);
    });
  const identityAt = (path: ConfigPath, { type, value }: IkeIdentity) => {
    const made = makeIdentity(type, value);
    return problemAt(path, made.ok ? undefined : made.error);
  };
  const place = peer.address ?? peer.fqdn;
  return [
    ...problemAt([...at, 'ikePolicy'], known(ikePolicies, ikePolicy)),
    ...problemAt([...at, 'ipsecPolicy'], known(ipsecPolicies, ipsecPolicy)),
    ...problemAt([...at, 'peer'], place === undefined ? 'has neither address nor fqdn' : undefined),
    ...problemAt(
      [...at, 'peer', 'address'],
      peer.address === undefined ? undefined : unicastProblem(peer.address),
    ),
    ...networks([...at, 'local', 'cidrs'], local.cidrs),
    ...networks([...at, 'peer', 'cidrs'], peer.cidrs),
    ...networks([...at, 'routes'], routes),
    ...local.ikeIdentities.flatMap((one, i) => identityAt([...at, 'local', 'ikeIdentities', i], one)),
    ...identityAt([...at, 'peer', 'ikeIdentity'], peer.ikeIdentity),
  ];
}
