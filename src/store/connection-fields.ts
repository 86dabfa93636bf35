import type { ReloadField } from '../connection/reload-table.js';
import { PROFILES } from '../ike/policy/matrix.js';
import { canonicalCidr, canonicalIp } from '../util/ip.js';
import * as Type from '../util/json-schema.js';
import { PSK_ENCODINGS } from './psk-encoding.js';
import { Cidrs, DeviceName, FIRST_PORTS, IkeIdentitySchema, Name } from './schema.js';

/** Where a field can be written: in the configuration file of a gateway, or in a body of the API. */
export type Origin = 'file' | 'api';

/** All that is known of one field of a connection, in one place. */
export interface ConnectionField {
  /** What may be written. Its `description` is also the remedy in an error message. */
  readonly schema: Type.TSchema;
  /** The one place where it can be written; both when left out. */
  readonly only?: Origin;
  /** The model does not have it: it is a way to write another field, or known only to be refused. */
  readonly unkept?: readonly Origin[];
  /** It distinguishes connections, so that it is not in `defaults` of the file. */
  readonly own?: true;
  /** Its value when it is left out. */
  readonly default?: unknown;
  /** In the API, null takes the value away: it is worked out by itself again. */
  readonly clears?: true;
  /** The canonical form of what is written. */
  readonly normal?: (given: never) => unknown;
  /** The rows of the reload table that a change of it leads to. */
  readonly changes: readonly ReloadField[];
  /** Its row in docs/configuration.md: what it means, and the default where `default` does not say it. */
  readonly means?: string;
  readonly usual?: string;
  /** What `--help` says of the option of `vpn-gateway-connection-create` and `-update`. */
  readonly help?: string;
}

const Identities = Type.Array(IkeIdentitySchema, { maxItems: 2 });
const canonicalCidrs = (texts: readonly string[]): string[] => texts.map(canonicalCidr);
const seconds = (minimum: number) =>
  Type.Optional(Type.Integer({ minimum, maximum: 86_399, description: `seconds, from ${minimum} to 86399` }));
const BGP = 'Needs dynamic routes (BGP), which are not offered';

/**
 * Every field of a connection, by its name in the file and in the API (there it is that of the newest version). From
 * here come the schemas of both, the reader, the mapping to the model, what `defaults` may contain, the options of the
 * command line, and the table of docs/configuration.md. In the model a field has its name in camel case.
 */
export const CONNECTION_FIELDS = {
  name: {
    schema: Name,
    own: true,
    changes: ['name'],
    means: 'name for people, status and log; up to 63 lower-case letters, digits and `-`',
    usual: 'required',
    help: 'New name',
  },
  psk: {
    // By the rule of psk_encoding.
    schema: Type.Optional(Type.String({ description: 'the pre-shared key' })),
    unkept: ['file'],
    changes: ['psk'],
    means:
      'pre-shared key, 6 to 128 letters, digits and `- + & ! @ # $ % ^ * ( ) , . : _`, not beginning with `0x` or `0s`',
    usual: 'required, or `psk_file`',
    help: 'New pre-shared key; prefer --psk-file',
  },
  psk_file: {
    schema: Type.Optional(
      Type.String({ minLength: 1, description: 'the path of a file that holds the key' }),
    ),
    only: 'file',
    unkept: ['file'],
    changes: ['psk'],
    means: 'path of a file that holds the key, in place of `psk`',
    usual: 'none',
    help: 'File with the pre-shared key, in place of the key itself',
  },
  psk_encoding: {
    schema: Type.Optional(Type.Enum(PSK_ENCODINGS)),
    only: 'file',
    unkept: ['file'],
    changes: ['psk'],
    means:
      '`text`; `hex` or `base64`: the key is the 6 to 128 octets that this stands for, whatever they are (`0x…` and `0s…` of strongSwan, with the prefix or without)',
    usual: '`text`',
  },
  admin_state_up: {
    schema: Type.Optional(Type.Boolean()),
    default: true,
    changes: ['admin_state_up: true', 'admin_state_up: false'],
    means: '`false`: neither initiated nor accepted',
    help: 'false shuts the connection down',
  },
  establish_mode: {
    schema: Type.Optional(Type.Enum(['bidirectional', 'peer_only'])),
    default: 'bidirectional',
    changes: ['establish_mode'],
    means: '`bidirectional`, or `peer_only`: never initiates',
    help: 'Who begins negotiations',
  },
  'dead_peer_detection.action': {
    schema: Type.Optional(Type.Enum(['restart', 'clear', 'hold', 'none'])),
    default: 'restart',
    changes: ['dead_peer_detection'],
    means: 'what to do when the peer stops answering: `restart`, `clear`, `hold` or `none`',
    help: 'What to do when the peer stops answering',
  },
  'dead_peer_detection.interval': {
    schema: seconds(1),
    default: 2,
    changes: ['dead_peer_detection'],
    means: 'seconds between two questions to the peer',
    help: 'Seconds between two questions to the peer',
  },
  'dead_peer_detection.timeout': {
    schema: seconds(2),
    default: 10,
    changes: ['dead_peer_detection'],
    means: 'seconds until the peer counts as dead',
    help: 'Seconds until the peer counts as dead',
  },
  ike_policy: {
    schema: Type.Optional(Type.String({ description: 'the name of an IKE policy' })),
    clears: true,
    changes: [
      'ike_policy',
      'ike_policy key_lifetime',
      'ike_policy ike_version',
      'ike_policy accepted versions',
    ],
    means: 'name of an IKE policy',
    usual: 'auto-negotiation',
    help: 'IKE policy by name or id; auto-negotiation without one',
  },
  ipsec_policy: {
    schema: Type.Optional(Type.String({ description: 'the name of an IPsec policy' })),
    clears: true,
    changes: ['ipsec_policy', 'ipsec_policy key_lifetime'],
    means: 'name of an IPsec policy',
    usual: 'auto-negotiation',
    help: 'IPsec policy by name or id; auto-negotiation without one',
  },
  profile: {
    schema: Type.Optional(Type.Enum(PROFILES)),
    clears: true,
    changes: ['ike_policy', 'ipsec_policy', 'ike_policy accepted versions'],
    means: 'what auto-negotiation offers and accepts here, see [Auto-negotiation](#auto-negotiation)',
    usual: 'that of the gateway',
    help: 'What auto-negotiation offers and accepts; that of the server without one',
  },
  distribute_traffic: {
    schema: Type.Optional(Type.Boolean()),
    default: false,
    changes: ['distribute_traffic'],
    means:
      'in route mode: networks in `routes` that other connections name, too, go over all of them that are up and have this',
    help: 'In route mode: over both tunnels',
  },
  routing_protocol: {
    schema: Type.Optional(Type.Enum(['none', 'bgp'])),
    only: 'api',
    unkept: ['api'],
    changes: [],
    help: 'In route mode: none is for static routes; bgp is not offered',
  },
  tunnels: {
    // Known, so that its refusal can say why.
    schema: Type.Optional(Type.Array(Type.Object({}), { maxItems: 16 })),
    only: 'api',
    unkept: ['api'],
    changes: [],
    help: BGP,
  },
  'local.cidrs': {
    schema: Type.Optional(Cidrs),
    default: [],
    normal: canonicalCidrs,
    changes: ['cidrs added', 'cidrs removed'],
    means: 'networks on this side, as address/prefix; in policy mode only',
    usual: 'required in policy mode',
    help: 'Network on this side; may be repeated',
  },
  'local.ike_identities': {
    schema: Type.Optional(Identities),
    default: [],
    changes: ['local.ike_identities'],
    means: 'one identity of `type` `ipv4_address`, `fqdn`, `hostname` or `key_id`; two in route mode',
    usual: 'the address of the gateway',
    help: 'local IKE identity',
  },
  'peer.address': {
    schema: Type.Optional(Type.String({ description: 'the IP address of the peer' })),
    own: true,
    normal: canonicalIp,
    changes: ['peer.address'],
    means: 'IP address of the peer',
    usual: 'required, or `peer.fqdn`',
    help: 'New address of the peer',
  },
  'peer.fqdn': {
    schema: Type.Optional(Type.String({ description: 'the host name of the peer' })),
    own: true,
    changes: ['peer.address'],
    means: 'host name of the peer, in place of its address',
    usual: 'none',
    help: 'New host name of the peer',
  },
  'peer.port': {
    schema: Type.Optional(Type.Enum(FIRST_PORTS)),
    only: 'file',
    own: true,
    changes: ['peer.port'],
    means:
      'UDP port of the first message, at both ends: `500` or `4500`, see [Peers that move, and NAT](#peers-that-move-and-nat)',
    usual: '`500`',
  },
  'peer.cidrs': {
    schema: Type.Optional(Cidrs),
    own: true,
    default: [],
    normal: canonicalCidrs,
    changes: ['cidrs added', 'cidrs removed'],
    means: 'networks behind the peer; in policy mode only',
    usual: 'required in policy mode',
    help: 'Network behind the peer; may be repeated',
  },
  'peer.ike_identity': {
    schema: Type.Optional(IkeIdentitySchema),
    own: true,
    clears: true,
    changes: ['peer.ike_identity'],
    means: 'identity of the peer, as `local.ike_identities`',
    usual: 'its address or host name',
    help: "peer's IKE identity",
  },
  'peer.asn': {
    schema: Type.Optional(Type.Integer({ minimum: 0, maximum: 4_294_967_295 })),
    only: 'api',
    unkept: ['api'],
    own: true,
    changes: [],
    help: BGP,
  },
  interface: {
    schema: Type.Optional(DeviceName),
    only: 'file',
    own: true,
    changes: ['interface'],
    means: "in route mode: the connection's own TUN device",
    usual: 'the next free one',
  },
  routes: {
    schema: Type.Optional(Cidrs),
    only: 'file',
    own: true,
    default: [],
    normal: canonicalCidrs,
    changes: ['routes'],
    means: 'in route mode: networks that are routed into that device',
    usual: 'none',
  },
} as const satisfies Readonly<Record<string, ConnectionField>>;

/** The path of a connection's field, as in the configuration file. */
export type FieldPath = keyof typeof CONNECTION_FIELDS;

/** Fields that are written below another one. */
export const GROUPS = ['dead_peer_detection', 'local', 'peer'] as const;

/** All fields, in the order of the table. */
export const FIELD_PATHS = Object.keys(CONNECTION_FIELDS) as readonly FieldPath[];

/** Returns the entry of a field, typed as what all entries have in common. */
export function fieldOf(path: FieldPath): ConnectionField {
  return CONNECTION_FIELDS[path];
}

/** The fields that the model of an origin has, in the order of the table. */
export function keptPaths(origin: Origin): FieldPath[] {
  return FIELD_PATHS.filter((path) => {
    const { only, unkept }: ConnectionField = fieldOf(path);
    return (only ?? origin) === origin && unkept?.includes(origin) !== true;
  });
}

/** Returns the value at a path of an object; undefined where there is none. */
export function valueAt(object: object, path: string): unknown {
  const [group, name] = path.split('.') as [string, string?];
  return own(name === undefined ? object : own(object, group), name ?? group);
}

function own(object: unknown, name: string): unknown {
  return typeof object === 'object' && object !== null
    ? (object as Readonly<Record<string, unknown>>)[name]
    : undefined;
}

/** Puts a value at a path of an object, or takes away what is there when it is undefined. */
export function putAt(object: Record<string, unknown>, path: string, value: unknown): void {
  const [group, name] = path.split('.') as [string, string?];
  if (name !== undefined) object[group] ??= {};
  const owner = name === undefined ? object : (object[group] as Record<string, unknown>);
  if (value === undefined) delete owner[name ?? group];
  else owner[name ?? group] = value;
}

/** The canonical form of a field's value. */
export function canonicalValue(path: FieldPath, value: unknown): unknown {
  const form = fieldOf(path).normal as ((given: unknown) => unknown) | undefined;
  return form === undefined ? value : form(value);
}

type Defaulted = {
  [K in FieldPath as (typeof CONNECTION_FIELDS)[K] extends { default: unknown } ? K : never]: true;
};

/** The value that a field has when it is left out. */
function defaultOf<P extends keyof Defaulted>(path: P): (typeof CONNECTION_FIELDS)[P]['default'] {
  return CONNECTION_FIELDS[path].default;
}

/** Dead peer detection when nothing is said of it. */
export const DPD_DEFAULTS = {
  action: defaultOf('dead_peer_detection.action'),
  interval: defaultOf('dead_peer_detection.interval'),
  timeout: defaultOf('dead_peer_detection.timeout'),
} as const;
