import { equalBytes, fromUtf8, toHex, utf8 } from '../../util/bytes.js';
import { formatIp, parseIp } from '../../util/ip.js';
import { err, ok, type Result } from '../../util/result.js';
import { IdType } from '../../wire/ike/registry.js';
import type { Identity } from '../config.js';

/** Names of identity types in the configuration. A `hostname` travels as ID_FQDN. */
export type IdentityTypeName = 'ipv4_address' | 'ipv6_address' | 'fqdn' | 'hostname' | 'key_id' | 'email';

/** Every type of identity, as configuration and API name it. */
export const IDENTITY_TYPE_NAMES: readonly IdentityTypeName[] = [
  'ipv4_address',
  'ipv6_address',
  'fqdn',
  'hostname',
  'key_id',
  'email',
];

/** Longest key_id that is accepted from a configuration, in octets. */
const MAX_KEY_ID = 256;
/** Octets of a received identity that are shown; the rest is counted. */
const MAX_SHOWN = 128;

/** The identity of a configured type and value, or what is wrong with the value. */
export function makeIdentity(type: IdentityTypeName, value: string): Result<Identity, string> {
  switch (type) {
    case 'ipv4_address':
      return addressIdentity(value, 4);
    case 'ipv6_address':
      return addressIdentity(value, 16);
    case 'fqdn':
    case 'hostname':
      return nameIdentity(type, value);
    case 'email':
      return emailIdentity(value);
    case 'key_id':
      return keyIdentity(value);
  }
}

/** The identity that an address makes: ID_IPV4_ADDR or ID_IPV6_ADDR. @throws RangeError for another text */
export function identityOfAddress(address: string): Identity {
  const data = parseIp(address);
  if (data === undefined) throw new RangeError(`"${address}" is no IP address`);
  return { idType: data.length === 4 ? IdType.IPV4_ADDR : IdType.IPV6_ADDR, data };
}

/**
 * Whether two identities are the same to a policy. Domain names compare without case and without the root's
 * dot (RFC 4343, RFC 4301 §4.4.3.1), mailboxes without case in the domain; all else octet by octet.
 */
export function sameIdentity(a: Identity, b: Identity): boolean {
  return a.idType === b.idType && equalBytes(canonical(a), canonical(b));
}

/** A key that is equal exactly for identities that are the same (`sameIdentity`), for maps. */
export function identityKey(identity: Identity): string {
  return `${identity.idType}:${toHex(canonical(identity))}`;
}

/**
 * `type:value` for people. Octets that could disturb a terminal or a log never pass: a name with others than
 * printable ASCII is shown as hexadecimal with `0x`, a key_id as base64, and long values are cut.
 */
export function formatIdentity(identity: Identity): string {
  const { idType, data } = identity;
  switch (idType) {
    case IdType.IPV4_ADDR:
      return `ipv4_address:${data.length === 4 ? formatIp(data) : hex(data)}`;
    case IdType.IPV6_ADDR:
      return `ipv6_address:${data.length === 16 ? formatIp(data) : hex(data)}`;
    case IdType.FQDN:
      return `fqdn:${printable(data)}`;
    case IdType.RFC822_ADDR:
      return `email:${printable(data)}`;
    case IdType.KEY_ID:
      return `key_id:${cut(data, (part) => btoa(String.fromCharCode(...part)))}`;
    case IdType.DER_ASN1_DN:
      return `der_asn1_dn:${hex(data)}`;
    case IdType.DER_ASN1_GN:
      return `der_asn1_gn:${hex(data)}`;
    default:
      return `id_type_${idType}:${hex(data)}`;
  }
}

/** The address an identity names, or undefined when it is of another type. */
export function addressOfIdentity(identity: Identity): string | undefined {
  const { idType, data } = identity;
  if (idType === IdType.IPV4_ADDR && data.length === 4) return formatIp(data);
  return idType === IdType.IPV6_ADDR && data.length === 16 ? formatIp(data) : undefined;
}

function addressIdentity(value: string, length: 4 | 16): Result<Identity, string> {
  const data = parseIp(value);
  if (data?.length === length)
    return ok({ idType: length === 4 ? IdType.IPV4_ADDR : IdType.IPV6_ADDR, data });
  const family = length === 4 ? 'IPv4' : 'IPv6';
  const example = length === 4 ? '192.0.2.1' : '2001:db8::1';
  return err(`is no ${family} address: write one such as ${example}, or choose another type`);
}

function nameIdentity(type: 'fqdn' | 'hostname', value: string): Result<Identity, string> {
  if (parseIp(value) !== undefined) {
    const family = value.includes(':') ? 'ipv6_address' : 'ipv4_address';
    return err(`is an address, not a name: use type ${family}, or write a name`);
  }
  const name = value.endsWith('.') ? value.slice(0, -1) : value;
  if (!isDomainName(name)) {
    return err(
      'is no domain name: labels of letters, digits, - and _ with dots between, 253 characters at most',
    );
  }
  if (type === 'fqdn' && !name.includes('.')) {
    return err('is not fully qualified: write the name with its domain, or use type hostname');
  }
  return ok({ idType: IdType.FQDN, data: utf8(name) });
}

function emailIdentity(value: string): Result<Identity, string> {
  const at = value.lastIndexOf('@');
  const mailbox = value.slice(0, at);
  // RFC 822's quoted local parts are left out: no peer is known to use them as an identity.
  if (at < 1 || mailbox.length > 64 || !/^[!-~]+$/.test(mailbox) || !isDomainName(value.slice(at + 1))) {
    return err('is no mail address: write user@domain');
  }
  return ok({ idType: IdType.RFC822_ADDR, data: utf8(value) });
}

function keyIdentity(value: string): Result<Identity, string> {
  const wanted = 'write the base64 form of its octets, padded with = to a multiple of four';
  if (value === '' || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value)) {
    return err(`is not base64: ${wanted}`);
  }
  const data = Uint8Array.from(atob(value), (char) => char.charCodeAt(0));
  if (data.length > MAX_KEY_ID) return err(`has ${data.length} octets: at most ${MAX_KEY_ID} are taken`);
  return ok({ idType: IdType.KEY_ID, data });
}

/** Whether the text is a host name: labels of 1 to 63 characters, 253 in all (RFC 1123 §2.1). */
export function isDomainName(text: string): boolean {
  if (text.length === 0 || text.length > 253) return false;
  return text.split('.').every((label) => /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/.test(label));
}

function canonical({ idType, data }: Identity): Uint8Array {
  if (idType === IdType.FQDN) {
    const end = data.length > 1 && data[data.length - 1] === 0x2e ? data.length - 1 : data.length;
    return lowerCase(data.subarray(0, end), 0);
  }
  if (idType === IdType.RFC822_ADDR) return lowerCase(data, data.lastIndexOf(0x40) + 1);
  return data;
}

/** A copy with the ASCII letters from `from` on in lower case; other octets stay, so no two names fold into one. */
function lowerCase(data: Uint8Array, from: number): Uint8Array {
  return data.map((octet, index) => (index >= from && octet >= 0x41 && octet <= 0x5a ? octet + 0x20 : octet));
}

function printable(data: Uint8Array): string {
  const clean = data.length > 0 && data.every((octet) => octet > 0x20 && octet < 0x7f);
  return clean ? cut(data, fromUtf8) : hex(data);
}

function hex(data: Uint8Array): string {
  return data.length === 0 ? '(empty)' : cut(data, (part) => `0x${toHex(part)}`);
}

function cut(data: Uint8Array, format: (part: Uint8Array) => string): string {
  if (data.length <= MAX_SHOWN) return format(data);
  return `${format(data.subarray(0, MAX_SHOWN))}… (${data.length} octets)`;
}
