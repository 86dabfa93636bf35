import { fromUtf8, readU16, toHex } from '../../util/bytes.js';
import { formatIp } from '../../util/ip.js';
import type { Proposal, TrafficSelector, Transform, TransformAttribute } from './payloads.js';
import { Encr, Esn, IdType, nameOf, TransformType, TsType } from './registry.js';

const IP_PROTOCOLS: ReadonlyMap<number, string> = new Map([
  [0, 'any'],
  [1, 'icmp'],
  [2, 'igmp'],
  [4, 'ipip'],
  [6, 'tcp'],
  [17, 'udp'],
  [41, 'ipv6'],
  [47, 'gre'],
  [50, 'esp'],
  [51, 'ah'],
  [58, 'icmpv6'],
  [89, 'ospf'],
  [132, 'sctp'],
  [135, 'mh'],
  [136, 'udplite'],
]);

/** Whether all octets are printable ASCII, so that the text can go into a log line as it is. */
function isPrintable(data: Uint8Array): boolean {
  return data.length > 0 && data.every((octet) => octet >= 0x20 && octet < 0x7f);
}

/** The octets as text when they are printable ASCII, else in hexadecimal, at most `most` octets of them. */
export function textOrHex(data: Uint8Array, most = 64): string {
  const shown = data.subarray(0, most);
  const text = isPrintable(shown) ? fromUtf8(shown) : shown.length === 0 ? '' : `0x${toHex(shown)}`;
  return data.length > most ? `${text}…` : text;
}

/** Length and, unless `prefix` is 0, the first octets: enough to distinguish two values in a log. */
export function octets(data: Uint8Array, prefix = 4): string {
  const size = `${data.length} ${data.length === 1 ? 'octet' : 'octets'}`;
  if (data.length === 0 || prefix === 0) return size;
  const more = data.length > prefix ? '…' : '';
  return `${size} (${toHex(data.subarray(0, prefix))}${more})`;
}

/** For example `ESP #1 spi c1a2b3c4: AES_CBC-256 HMAC_SHA2_256_128 NO_ESN`. */
export function describeProposal(proposal: Proposal): string {
  const spi = proposal.spi.length === 0 ? '' : ` spi ${toHex(proposal.spi)}`;
  const transforms = proposal.transforms.map(describeTransform).join(' ');
  return `${nameOf('protocol', proposal.protocol)} #${proposal.number}${spi}: ${transforms || 'no transforms'}`;
}

/** For example `AES_CBC-256`, `PRF_HMAC_SHA2_256`, `MODP_2048`, `NO_ESN`. */
export function describeTransform(transform: Transform): string {
  const size = transform.keyBits === undefined ? '' : `-${transform.keyBits}`;
  const attributes = transform.attributes ?? [];
  const more = attributes.length === 0 ? '' : `{${attributes.map(describeAttribute).join(' ')}}`;
  return `${transformName(transform)}${size}${more}`;
}

function transformName({ type, id }: Transform): string {
  switch (type) {
    case TransformType.ENCR:
      return id === Encr.TRIPLE_DES ? '3DES' : nameOf('encr', id);
    case TransformType.PRF:
      return `PRF_${nameOf('prf', id)}`;
    case TransformType.INTEG:
      return id === 0 ? 'NO_INTEG' : nameOf('integ', id);
    case TransformType.DH:
      return id === 0 ? 'NO_DH' : nameOf('dh', id);
    case TransformType.ESN:
      return id === Esn.NO ? 'NO_ESN' : id === Esn.YES ? 'ESN' : nameOf('esn', id);
    default:
      return `transform(${type})=${id}`;
  }
}

function describeAttribute({ type, value }: TransformAttribute): string {
  return `${type}=${typeof value === 'number' ? value : `0x${toHex(value)}`}`;
}

/** For example `10.1.0.0/24`, `10.1.0.5-10.1.0.9`, `10.1.0.0/24[tcp/443]`, `0.0.0.0/0[icmp/8.0]`. */
export function describeSelector(selector: TrafficSelector): string {
  if (selector.other !== undefined) {
    return `${nameOf('tsType', selector.tsType)} ${octets(selector.other, 16)}`;
  }
  const ports = describePorts(selector);
  return `${describeRange(selector.startAddress, selector.endAddress)}${ports}`;
}

/** A range of addresses as network when it is exactly one, else as first and last address. */
function describeRange(start: Uint8Array, end: Uint8Array): string {
  const bits = 8 * start.length;
  const bit = (ip: Uint8Array, i: number) => (ip[i >>> 3]! >>> (7 - (i & 7))) & 1;
  let prefix = 0;
  while (prefix < bits && bit(start, prefix) === bit(end, prefix)) prefix++;
  for (let i = prefix; i < bits; i++) {
    if (bit(start, i) !== 0 || bit(end, i) !== 1) return `${formatIp(start)}-${formatIp(end)}`;
  }
  return `${formatIp(start)}/${prefix}`;
}

function describePorts({ protocol, startPort, endPort, tsType }: TrafficSelector): string {
  const anyPort = startPort === 0 && endPort === 0xffff;
  if (protocol === 0 && anyPort) return '';
  const name = IP_PROTOCOLS.get(protocol) ?? String(protocol);
  if (anyPort) return `[${name}]`;
  // RFC 7296 §3.13.1: this order means packets whose ports cannot be seen.
  if (startPort === 0xffff && endPort === 0) return `[${name}/opaque]`;
  const icmp =
    (protocol === 1 && tsType === TsType.IPV4_ADDR_RANGE) ||
    (protocol === 58 && tsType === TsType.IPV6_ADDR_RANGE);
  if (icmp) return `[${name}/${describeIcmp(startPort, endPort)}]`;
  return startPort === endPort ? `[${name}/${startPort}]` : `[${name}/${startPort}-${endPort}]`;
}

/** Type in the upper octet, code in the lower one (RFC 7296 §3.13.1). */
function describeIcmp(start: number, end: number): string {
  if (start >>> 8 === end >>> 8 && (start & 0xff) === 0 && (end & 0xff) === 0xff) return `${start >>> 8}`;
  const one = (value: number) => `${value >>> 8}.${value & 0xff}`;
  return start === end ? one(start) : `${one(start)}-${one(end)}`;
}

/**
 * An identity with its type, for example `FQDN a.example`, `IPV4_ADDR 192.0.2.1`, `KEY_ID 0x00ff`. The type
 * is part of the text because two identities of different type never match. Data that is not printable
 * ASCII is shown in hexadecimal: a peer cannot write control characters into a log.
 */
export function describeIdentity(idType: number, data: Uint8Array): string {
  const name = nameOf('idType', idType);
  const isAddress =
    (idType === IdType.IPV4_ADDR && data.length === 4) || (idType === IdType.IPV6_ADDR && data.length === 16);
  return `${name} ${isAddress ? formatIp(data) : textOrHex(data, 256)}`.trimEnd();
}

/** The numbers in a list of 16-bit values; an odd last octet is left out. */
export function u16List(data: Uint8Array): number[] {
  const out: number[] = [];
  for (let i = 0; i + 1 < data.length; i += 2) out.push(readU16(data, i));
  return out;
}
