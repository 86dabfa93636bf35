import type { EspSuite, IkeSuite } from '../../crypto/types.js';
import { toHex } from '../../util/bytes.js';
import type { SecretKey } from '../../util/secret.js';
import { Encr, Integ } from '../../wire/ike/registry.js';

/*
 * Lines of the tables by which Wireshark decrypts IKE and ESP. Each table is a file of its own in Wireshark's
 * configuration folder; a line is a list of values in quotes with commas between. The names of algorithms are
 * Wireshark's, to the letter. All of them hold keys: a file of them opens the traffic to anybody.
 */

/** A table by the name of its file, and one line of it. */
export interface KeyLine {
  readonly table: 'ikev1_decryption_table' | 'ikev2_decryption_table' | 'esp_sa';
  readonly line: string;
}

const IKE_INTEGRITY = new Map<number, string>([
  [Integ.NONE, 'NONE [RFC4306]'],
  [Integ.HMAC_MD5_96, 'HMAC_MD5_96 [RFC2403]'],
  [Integ.HMAC_SHA1_96, 'HMAC_SHA1_96 [RFC2404]'],
  [Integ.HMAC_SHA2_256_128, 'HMAC_SHA2_256_128 [RFC4868]'],
  [Integ.HMAC_SHA2_384_192, 'HMAC_SHA2_384_192 [RFC4868]'],
  [Integ.HMAC_SHA2_512_256, 'HMAC_SHA2_512_256 [RFC4868]'],
]);
const ESP_ENCRYPTION = new Map<number, string>([
  [Encr.TRIPLE_DES, 'TripleDES-CBC [RFC2451]'],
  [Encr.AES_CBC, 'AES-CBC [RFC3602]'],
  [Encr.AES_GCM_16, 'AES-GCM with 16 octet ICV [RFC4106]'],
]);
const ESP_INTEGRITY = new Map<number, string>([
  [Integ.NONE, 'NULL'],
  [Integ.HMAC_MD5_96, 'HMAC-MD5-96 [RFC2403]'],
  [Integ.HMAC_SHA1_96, 'HMAC-SHA-1-96 [RFC2404]'],
  [Integ.HMAC_SHA2_256_128, 'HMAC-SHA-256-128 [RFC4868]'],
  [Integ.HMAC_SHA2_384_192, 'HMAC-SHA-384-192 [RFC4868]'],
  [Integ.HMAC_SHA2_512_256, 'HMAC-SHA-512-256 [RFC4868]'],
]);

/** The cipher of an IKEv2 SA with the length of its key in the name; undefined for one that Wireshark does not decrypt. */
function ikeEncryption({ encryption: { id, keyBits } }: IkeSuite): string | undefined {
  switch (id) {
    case Encr.TRIPLE_DES:
      return '3DES [RFC2451]';
    case Encr.AES_CBC:
      return `AES-CBC-${keyBits} [RFC3602]`;
    case Encr.AES_GCM_16:
      return `AES-GCM-${keyBits} with 16 octet ICV [RFC5282]`;
    default:
      return undefined;
  }
}

/** Keys of an IKEv2 SA: SK_ei and SK_er with the salt after the key where the cipher has one (RFC 5282 §7.1). */
export interface Ikev2Keys {
  readonly skEi: SecretKey;
  readonly skEr: SecretKey;
  readonly skAi?: SecretKey;
  readonly skAr?: SecretKey;
}

/** Undefined for a suite that Wireshark has no name for, ChaCha20-Poly1305 for example. SPIs are 8 octets. */
export function ikev2Line(
  initiatorSpi: Uint8Array,
  responderSpi: Uint8Array,
  suite: IkeSuite,
  keys: Ikev2Keys,
): KeyLine | undefined {
  const encryption = ikeEncryption(suite);
  const integrity = IKE_INTEGRITY.get(suite.integrity);
  if (encryption === undefined || integrity === undefined) return undefined;
  const fields = [
    ...[toHex(initiatorSpi), toHex(responderSpi), hex(keys.skEi), hex(keys.skEr), quoted(encryption)],
    ...[hex(keys.skAi), hex(keys.skAr), quoted(integrity)],
  ];
  return { table: 'ikev2_decryption_table', line: fields.join(',') };
}

/** The initiator's cookie and the cipher key (RFC 2409 appendix B). Wireshark reads the algorithm from message 2. */
export function ikev1Line(initiatorCookie: Uint8Array, encryption: SecretKey): KeyLine {
  return { table: 'ikev1_decryption_table', line: `${toHex(initiatorCookie)},${hex(encryption)}` };
}

/** One direction of a child SA. `encryption` has the salt after the key where the suite has one. */
export interface EspDirection {
  /** Of the outer addresses. */
  readonly family: 4 | 6;
  readonly spi: number;
  readonly encryption: Uint8Array;
  /** Empty where the cipher authenticates by itself. */
  readonly integrity: Uint8Array;
}

/** Undefined for a suite that Wireshark has no name for. Any outer addresses: NAT may change them. */
export function espLine(suite: EspSuite, sa: EspDirection): KeyLine | undefined {
  const encryption = ESP_ENCRYPTION.get(suite.encryption.id);
  const integrity = ESP_INTEGRITY.get(suite.integrity);
  if (encryption === undefined || integrity === undefined) return undefined;
  const fields = [
    ...[`IPv${sa.family}`, '*', '*', `0x${sa.spi.toString(16).padStart(8, '0')}`],
    ...[encryption, `0x${toHex(sa.encryption)}`],
    ...[integrity, sa.integrity.length === 0 ? '' : `0x${toHex(sa.integrity)}`],
  ];
  return { table: 'esp_sa', line: fields.map(quoted).join(',') };
}

function hex(key: SecretKey | undefined): string {
  return key === undefined ? '' : toHex(key.expose());
}

function quoted(text: string): string {
  return `"${text}"`;
}
