/**
 * Numbers of IKEv1: ISAKMP (RFC 2408), IKE (RFC 2409), the IPsec DOI (RFC 2407), NAT traversal (RFC 3947)
 * and dead peer detection (RFC 3706). Numbers that are not listed pass through the codec as numbers.
 */

/** RFC 2408 §3.1, RFC 2409 §5. */
export const V1Exchange = {
  BASE: 1,
  MAIN_MODE: 2,
  AUTH_ONLY: 3,
  AGGRESSIVE_MODE: 4,
  INFORMATIONAL: 5,
  TRANSACTION: 6,
  QUICK_MODE: 32,
  NEW_GROUP_MODE: 33,
} as const;

/** RFC 2408 §3.1, RFC 3947 §3.2; 130 and 131 as its drafts, 132 as Cisco's fragmentation. */
export const V1PayloadType = {
  NONE: 0,
  SA: 1,
  PROPOSAL: 2,
  TRANSFORM: 3,
  KE: 4,
  ID: 5,
  CERT: 6,
  CERTREQ: 7,
  HASH: 8,
  SIG: 9,
  NONCE: 10,
  NOTIFY: 11,
  DELETE: 12,
  VENDOR: 13,
  ATTRIBUTES: 14,
  NAT_D: 20,
  NAT_OA: 21,
  NAT_D_DRAFT: 130,
  NAT_OA_DRAFT: 131,
  FRAGMENT: 132,
} as const;

/** The IPsec domain of interpretation (RFC 2407 §4.1) and its situation without labels (§4.2.1). */
export const IPSEC_DOI = 1;
export const SIT_IDENTITY_ONLY = 1;

/** RFC 2407 §4.4.1. */
export const V1Protocol = { ISAKMP: 1, AH: 2, ESP: 3, IPCOMP: 4 } as const;

/** The only transform id of phase 1 (RFC 2407 §4.4.2). */
export const KEY_IKE = 1;

/** Phase 1 attributes (RFC 2409 appendix A). */
export const V1IkeAttribute = {
  ENCRYPTION: 1,
  HASH: 2,
  AUTH_METHOD: 3,
  GROUP: 4,
  GROUP_TYPE: 5,
  GROUP_PRIME: 6,
  GROUP_GENERATOR_ONE: 7,
  GROUP_GENERATOR_TWO: 8,
  GROUP_CURVE_A: 9,
  GROUP_CURVE_B: 10,
  LIFE_TYPE: 11,
  LIFE_DURATION: 12,
  PRF: 13,
  KEY_LENGTH: 14,
  FIELD_SIZE: 15,
  GROUP_ORDER: 16,
} as const;

/** Phase 1 ciphers (RFC 2409 appendix A, RFC 3602 §5.1). */
export const V1Cipher = {
  DES_CBC: 1,
  IDEA_CBC: 2,
  BLOWFISH_CBC: 3,
  RC5_CBC: 4,
  TRIPLE_DES_CBC: 5,
  CAST_CBC: 6,
  AES_CBC: 7,
  CAMELLIA_CBC: 8,
} as const;

/** Phase 1 hashes (RFC 2409 appendix A, RFC 4868 §2.7.1). */
export const V1Hash = { MD5: 1, SHA1: 2, TIGER: 3, SHA2_256: 4, SHA2_384: 5, SHA2_512: 6 } as const;

/** RFC 2409 appendix A; 65001 and up: XAUTH drafts. */
export const V1AuthMethod = {
  PSK: 1,
  DSS: 2,
  RSA_SIGNATURE: 3,
  RSA_ENCRYPTION: 4,
  RSA_ENCRYPTION_REVISED: 5,
  ECDSA_256: 9,
  ECDSA_384: 10,
  ECDSA_521: 11,
  HYBRID_INIT_RSA: 64221,
  XAUTH_INIT_PSK: 65001,
  XAUTH_RESP_PSK: 65002,
  XAUTH_INIT_RSA: 65005,
  XAUTH_RESP_RSA: 65006,
} as const;

/** Units of a lifetime: the same numbers in both phases (RFC 2409 appendix A, RFC 2407 §4.5). */
export const V1LifeType = { SECONDS: 1, KILOBYTES: 2 } as const;

/** Phase 2 attributes (RFC 2407 §4.5, RFC 4304 §3). */
export const V1IpsecAttribute = {
  LIFE_TYPE: 1,
  LIFE_DURATION: 2,
  GROUP: 3,
  MODE: 4,
  AUTH: 5,
  KEY_LENGTH: 6,
  KEY_ROUNDS: 7,
  COMPRESS_DICTIONARY: 8,
  COMPRESS_PRIVATE: 9,
  ECN_TUNNEL: 10,
  EXTENDED_SEQUENCE: 11,
} as const;

/** RFC 2407 §4.5, RFC 3947 §5.1; 61443 and 61444 as its drafts. */
export const V1Mode = {
  TUNNEL: 1,
  TRANSPORT: 2,
  UDP_TUNNEL: 3,
  UDP_TRANSPORT: 4,
  UDP_TUNNEL_DRAFT: 61443,
  UDP_TRANSPORT_DRAFT: 61444,
} as const;

/** Phase 2 authentication algorithms (RFC 2407 §4.5, RFC 4868). */
export const V1IpsecAuth = {
  HMAC_MD5: 1,
  HMAC_SHA1: 2,
  DES_MAC: 3,
  KPDK: 4,
  HMAC_SHA2_256: 5,
  HMAC_SHA2_384: 6,
  HMAC_SHA2_512: 7,
  HMAC_RIPEMD: 8,
  AES_XCBC_MAC: 9,
} as const;

/** ESP transforms (RFC 2407 §4.4.4 and later RFCs). */
export const V1EspTransform = {
  DES: 2,
  TRIPLE_DES: 3,
  RC5: 4,
  CAST: 6,
  BLOWFISH: 7,
  NULL: 11,
  AES_CBC: 12,
  AES_CTR: 13,
  AES_CCM_8: 14,
  AES_CCM_12: 15,
  AES_CCM_16: 16,
  AES_GCM_8: 18,
  AES_GCM_12: 19,
  AES_GCM_16: 20,
  CAMELLIA: 22,
} as const;

/** RFC 2407 §4.6.2.1. */
export const V1IdType = {
  IPV4_ADDR: 1,
  FQDN: 2,
  USER_FQDN: 3,
  IPV4_ADDR_SUBNET: 4,
  IPV6_ADDR: 5,
  IPV6_ADDR_SUBNET: 6,
  IPV4_ADDR_RANGE: 7,
  IPV6_ADDR_RANGE: 8,
  DER_ASN1_DN: 9,
  DER_ASN1_GN: 10,
  KEY_ID: 11,
} as const;

/** RFC 2408 §3.14.1, RFC 2407 §4.6.3, RFC 3706 §5.3. */
export const V1Notify = {
  INVALID_PAYLOAD_TYPE: 1,
  DOI_NOT_SUPPORTED: 2,
  SITUATION_NOT_SUPPORTED: 3,
  INVALID_COOKIE: 4,
  INVALID_MAJOR_VERSION: 5,
  INVALID_MINOR_VERSION: 6,
  INVALID_EXCHANGE_TYPE: 7,
  INVALID_FLAGS: 8,
  INVALID_MESSAGE_ID: 9,
  INVALID_PROTOCOL_ID: 10,
  INVALID_SPI: 11,
  INVALID_TRANSFORM_ID: 12,
  ATTRIBUTES_NOT_SUPPORTED: 13,
  NO_PROPOSAL_CHOSEN: 14,
  BAD_PROPOSAL_SYNTAX: 15,
  PAYLOAD_MALFORMED: 16,
  INVALID_KEY_INFORMATION: 17,
  INVALID_ID_INFORMATION: 18,
  INVALID_CERT_ENCODING: 19,
  INVALID_CERTIFICATE: 20,
  CERT_TYPE_UNSUPPORTED: 21,
  INVALID_CERT_AUTHORITY: 22,
  INVALID_HASH_INFORMATION: 23,
  AUTHENTICATION_FAILED: 24,
  INVALID_SIGNATURE: 25,
  ADDRESS_NOTIFICATION: 26,
  NOTIFY_SA_LIFETIME: 27,
  CERTIFICATE_UNAVAILABLE: 28,
  UNSUPPORTED_EXCHANGE_TYPE: 29,
  UNEQUAL_PAYLOAD_LENGTHS: 30,
  CONNECTED: 16384,
  RESPONDER_LIFETIME: 24576,
  REPLAY_STATUS: 24577,
  INITIAL_CONTACT: 24578,
  R_U_THERE: 36136,
  R_U_THERE_ACK: 36137,
} as const;

function reverse(table: Readonly<Record<string, number>>): ReadonlyMap<number, string> {
  return new Map(Object.entries(table).map(([name, number]) => [number, name]));
}

const NAMES = {
  exchange: reverse(V1Exchange),
  payload: reverse(V1PayloadType),
  protocol: reverse(V1Protocol),
  ikeAttribute: reverse(V1IkeAttribute),
  cipher: reverse(V1Cipher),
  hash: reverse(V1Hash),
  authMethod: reverse(V1AuthMethod),
  lifeType: reverse(V1LifeType),
  ipsecAttribute: reverse(V1IpsecAttribute),
  mode: reverse(V1Mode),
  ipsecAuth: reverse(V1IpsecAuth),
  esp: reverse(V1EspTransform),
  idType: reverse(V1IdType),
  notify: reverse(V1Notify),
} as const;

/** The registry's name of a number, or `registry(number)` when it has none here. For logs and status. */
export function v1NameOf(registry: keyof typeof NAMES, number: number): string {
  return NAMES[registry].get(number) ?? `${registry}(${number})`;
}
