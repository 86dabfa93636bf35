import { IDENTITY_TYPE_NAMES } from '../ike/policy/identity.js';
import { PROFILES } from '../ike/policy/matrix.js';
import * as Type from '../util/json-schema.js';
import { IKE_PORT, NAT_TRAVERSAL_PORT } from '../wire/ike/constants.js';
import { PSK_PATTERN } from './psk-rule.js';

/**
 * What the configuration file and the API have in common: gateways, policies, limits and the parts of connections,
 * whose fields are in connection-fields.ts. The one source of their types and of their validation. A `description` is
 * also the remedy in an error message, so it says what is allowed.
 */

/** Lifetimes of IKE and child SAs, in seconds. The minimum is that of the 2019 API. */
export const KEY_LIFETIME = { min: 300, max: 86_400 } as const;

/** Values that fields have when they are left out. */
export const DEFAULTS = {
  mode: 'policy',
  interface: 'culvert0',
  encapsulation: 'always',
  profile: 'compatible',
  failClosed: true,
  control: '/run/culvert/control.sock',
  ikeVersion: 2,
  ikeKeyLifetime: 28_800,
  ipsecKeyLifetime: 3600,
  pfs: 'disabled',
  peerPort: IKE_PORT,
} as const;

/** `3des` and `triple_des` are one algorithm. */
export const ENCRYPTION_NAMES = [
  'aes256',
  'aes192',
  'aes128',
  '3des',
  'triple_des',
  'aes256gcm16',
  'aes192gcm16',
  'aes128gcm16',
  'chacha20poly1305',
] as const;
export const AUTHENTICATION_NAMES = ['sha256', 'sha384', 'sha512', 'sha1', 'md5'] as const;
export const DH_GROUPS = [2, 5, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 31] as const;
/** Key exchanges that may follow one in a group (RFC 9370). */
export const ADDITIONAL_KEY_EXCHANGES = ['ml_kem_512', 'ml_kem_768', 'ml_kem_1024'] as const;
export const PFS_NAMES = [
  'disabled',
  'group_2',
  'group_5',
  'group_14',
  'group_15',
  'group_16',
  'group_17',
  'group_18',
  'group_19',
  'group_20',
  'group_21',
  'group_22',
  'group_23',
  'group_24',
  'group_31',
] as const;

/** Ports to which the first message to a peer may go. */
export const FIRST_PORTS = [IKE_PORT, NAT_TRAVERSAL_PORT] as const;

/** Selectors of one side: the count in a TS payload is one octet (RFC 7296 §3.13). */
const MAX_CIDRS = 255;

/** Unknown fields are refused: most of them are misspelt. */
export const closed = { additionalProperties: false } as const;

/** A name as files and the API allow it, which also fits a label of DNS (RFC 1035 §2.3.1). */
export const Name = Type.String({
  pattern: '^[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$',
  description:
    'a name of 1 to 63 lower-case letters, digits and hyphens that begins with a letter and does not end in a hyphen',
});

const KeyLifetime = Type.Integer({
  minimum: KEY_LIFETIME.min,
  maximum: KEY_LIFETIME.max,
  description: `seconds, from ${KEY_LIFETIME.min} to ${KEY_LIFETIME.max}`,
});

/** IFNAMSIZ less the zero octet, of characters that need no quoting in a shell. */
export const DeviceName = Type.String({
  pattern: '^(?!\\.{1,2}$)[A-Za-z0-9_.-]{1,15}$',
  description: 'the name of a TUN device: letters, digits, - _ and ., 15 characters at most',
});

function count(minimum: number, maximum: number, what: string) {
  return Type.Optional(
    Type.Integer({ minimum, maximum, description: `${what}, from ${minimum} to ${maximum}` }),
  );
}

/** Networks of one end of a connection. */
export const Cidrs = Type.Array(
  Type.String({ description: 'a network as address/prefix, for example 10.1.0.0/24' }),
  {
    minItems: 1,
    maxItems: MAX_CIDRS,
  },
);

/** Several algorithms of one category, most preferred first. */
function several<T extends Type.TSchema>(item: T, most: number) {
  return Type.Optional(Type.Array(item, { minItems: 1, maxItems: most, uniqueItems: true }));
}

const Encryption = Type.Enum(ENCRYPTION_NAMES);
const IkeAuthentication = Type.Enum(AUTHENTICATION_NAMES);
const IpsecAuthentication = Type.Enum([...AUTHENTICATION_NAMES, 'disabled']);
const DhGroup = Type.Enum(DH_GROUPS);
const Pfs = Type.Enum(PFS_NAMES);
/** All of them are made, one after the other; an empty list takes away those that were asked for before. */
const AdditionalKeyExchanges = Type.Optional(
  Type.Array(Type.Enum(ADDITIONAL_KEY_EXCHANGES), {
    maxItems: ADDITIONAL_KEY_EXCHANGES.length,
    uniqueItems: true,
    description: 'key exchanges that follow the one in a group, in their order: ml_kem_768 and so on',
  }),
);

/** Kernel offloads of the packet path, each to be switched off by false; `uso` is off unless asked for. */
const Offload = Type.Object(
  {
    tso: Type.Optional(Type.Boolean()),
    uso: Type.Optional(Type.Boolean()),
    coalesce: Type.Optional(Type.Boolean()),
    segment: Type.Optional(Type.Boolean()),
    gro: Type.Optional(Type.Boolean()),
  },
  closed,
);

/** The `gateway` section of a gateway file. */
export const GatewaySchema = Type.Object(
  {
    name: Name,
    mode: Type.Optional(Type.Enum(['policy', 'route'])),
    address: Type.String({ description: 'the IP address on which IKE and ESP listen' }),
    interface: Type.Optional(DeviceName),
    encapsulation: Type.Optional(Type.Enum(['always', 'auto'])),
    profile: Type.Optional(Type.Enum(PROFILES)),
    offload: Type.Optional(Offload),
    mss: Type.Optional(
      Type.Integer({
        minimum: 536,
        maximum: 65495,
        description: 'octets from 536 to 65495: the largest MSS of TCP connections through the tunnel',
      }),
    ),
    workers: Type.Optional(Type.Enum([1, 2, 4, 8, 16])),
    fail_closed: Type.Optional(Type.Boolean()),
    control: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 107,
        description: 'the path of a Unix socket, 1 to 107 characters',
      }),
    ),
  },
  closed,
);

/** An entry of `ike_policies`, also in the words of the API. */
export const IkePolicySchema = Type.Object(
  {
    name: Name,
    ike_version: Type.Optional(Type.Enum([1, 2])),
    encryption_algorithm: Type.Optional(Encryption),
    encryption_algorithms: several(Encryption, 3),
    authentication_algorithm: Type.Optional(IkeAuthentication),
    authentication_algorithms: several(IkeAuthentication, 3),
    dh_group: Type.Optional(DhGroup),
    dh_groups: several(DhGroup, 12),
    additional_key_exchanges: AdditionalKeyExchanges,
    key_lifetime: Type.Optional(KeyLifetime),
  },
  closed,
);

/** An entry of `ipsec_policies`, also in the words of the API. */
export const IpsecPolicySchema = Type.Object(
  {
    name: Name,
    encryption_algorithm: Type.Optional(Encryption),
    encryption_algorithms: several(Encryption, 3),
    authentication_algorithm: Type.Optional(IpsecAuthentication),
    authentication_algorithms: several(IpsecAuthentication, 3),
    pfs: Type.Optional(Pfs),
    pfs_groups: several(Pfs, 12),
    additional_key_exchanges: AdditionalKeyExchanges,
    key_lifetime: Type.Optional(KeyLifetime),
  },
  closed,
);

/** What a policy names algorithms of. */
export type CategoryName = 'encryption' | 'authentication' | 'groups';

/** Each category is written as one algorithm or as a list of them, most preferred first. */
export type AlgorithmNames = Readonly<Record<CategoryName, { readonly one: string; readonly many: string }>>;

const IKE_NAMES: AlgorithmNames = {
  encryption: { one: 'encryption_algorithm', many: 'encryption_algorithms' },
  authentication: { one: 'authentication_algorithm', many: 'authentication_algorithms' },
  groups: { one: 'dh_group', many: 'dh_groups' },
};

/** Both forms of each category, as they are written. */
export const ALGORITHM_FIELDS = {
  ike: IKE_NAMES,
  ipsec: { ...IKE_NAMES, groups: { one: 'pfs', many: 'pfs_groups' } },
} as const;

/** An identity as files and the API spell it. */
export const IkeIdentitySchema = Type.Object(
  {
    type: Type.Enum([...IDENTITY_TYPE_NAMES]),
    value: Type.String({ minLength: 1, maxLength: 512, description: '1 to 512 characters' }),
  },
  closed,
);

/** A key as the API takes it. */
export const PskSchema = Type.String({
  pattern: PSK_PATTERN,
  description: '6 to 128 characters, not beginning with 0x or 0s',
});

/** What peers, known or not, can make a gateway hold or do; see `EngineLimits`. */
export const LimitsSchema = Type.Object(
  {
    half_open: count(1, 100_000, 'unfinished negotiations in all'),
    half_open_per_source: count(1, 100_000, 'unfinished negotiations of one source address'),
    half_open_bytes: count(16_384, 1_073_741_824, 'octets that unfinished negotiations hold in all'),
    cookie_threshold: count(0, 100_000, 'unfinished negotiations from which cookies are demanded'),
    ike_sas: count(1, 100_000, 'established IKE SAs in all'),
    ike_sas_per_peer: count(1, 100_000, 'IKE SAs with one peer address'),
    message_bytes: count(1280, 65_507, 'octets of the longest IKE message'),
    first_message_bytes: count(1280, 65_507, 'octets of the longest request for a new IKE SA'),
    fragment_packet: count(576, 1500, 'octets of the longest IPv4 packet with an IKE fragment'),
    requests_per_second: count(
      1,
      100_000,
      'requests for new IKE SAs a second, beyond which cookies are demanded',
    ),
    requests_per_second_per_source: count(1, 100_000, 'requests for new IKE SAs a second'),
    child_sas: count(1, 15_360, 'child SAs in all'),
    requests_per_second_per_connection: count(1, 100_000, 'requests of one authenticated peer a second'),
  },
  closed,
);

/** The `gateway` section as the file spells it, after its schema was checked and defaults were filled in. */
export type GatewayInput = Type.Static<typeof GatewaySchema>;
/** An entry of `ike_policies` as the file spells it. */
export type IkePolicyInput = Type.Static<typeof IkePolicySchema>;
/** An entry of `ipsec_policies` as the file spells it. */
export type IpsecPolicyInput = Type.Static<typeof IpsecPolicySchema>;
/** An identity as the file spells it. */
export type IkeIdentityInput = Type.Static<typeof IkeIdentitySchema>;
/** The `limits` section as the file spells it; what is left out keeps its default. */
export type LimitsInput = Type.Static<typeof LimitsSchema>;
