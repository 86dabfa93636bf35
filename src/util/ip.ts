import { compareBytes, equalBytes } from './bytes.js';
import { err, ok, type Result } from './result.js';

/** An IP address as its octets: 4 for IPv4, 16 for IPv6, in network order. */
export type IpBytes = Uint8Array;

/** Where a datagram comes from or goes to. `address` is in the canonical text of `formatIp`. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** A network: `address` has no bit set after `prefix`. */
export interface Cidr {
  readonly address: IpBytes;
  readonly prefix: number;
}

/** All addresses from `start` to `end`, both included; the two have the same length. */
export interface IpRange {
  readonly start: IpBytes;
  readonly end: IpBytes;
}

/** The octets of an address in text form, or undefined when the text is no IP address. */
export function parseIp(text: string): IpBytes | undefined {
  return text.includes(':') ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): IpBytes | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const out = new Uint8Array(4);
  for (let i = 0; i < 4; i++) {
    const part = parts[i]!;
    // A leading zero is octal to some tools and decimal to others: refuse what cannot be read one way only.
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return undefined;
    const value = Number(part);
    if (value > 255) return undefined;
    out[i] = value;
  }
  return out;
}

function parseIpv6(text: string): IpBytes | undefined {
  let tail = text;
  let embedded: IpBytes | undefined;
  const lastColon = text.lastIndexOf(':');
  if (text.includes('.')) {
    embedded = parseIpv4(text.slice(lastColon + 1));
    if (embedded === undefined) return undefined;
    tail = `${text.slice(0, lastColon)}:0:0`;
  }
  const halves = tail.split('::');
  if (halves.length > 2) return undefined;
  const head = groups(halves[0]!);
  const rest = halves.length === 2 ? groups(halves[1]!) : [];
  if (head === undefined || rest === undefined) return undefined;
  const missing = 8 - head.length - rest.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...new Array<number>(missing).fill(0), ...rest];
  const out = new Uint8Array(16);
  for (let i = 0; i < 8; i++) {
    out[2 * i] = all[i]! >>> 8;
    out[2 * i + 1] = all[i]!;
  }
  if (embedded !== undefined) out.set(embedded, 12);
  return out;
}

function groups(text: string): number[] | undefined {
  if (text === '') return [];
  const out: number[] = [];
  for (const group of text.split(':')) {
    if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
    out.push(Number.parseInt(group, 16));
  }
  return out;
}

/** Canonical text: dotted decimal, or RFC 5952 for IPv6. Other lengths are a bug and throw RangeError. */
export function formatIp(ip: IpBytes): string {
  if (ip.length === 4) return ip.join('.');
  if (ip.length !== 16) throw new RangeError(`an IP address has 4 or 16 octets, not ${ip.length}`);
  const words: number[] = [];
  for (let i = 0; i < 16; i += 2) words.push((ip[i]! << 8) | ip[i + 1]!);
  // RFC 5952 §4.2: the longest run of at least two zero groups becomes "::", the first one on a tie.
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; ) {
    let end = i;
    while (end < 8 && words[end] === 0) end++;
    if (end - i > bestLength) {
      best = i;
      bestLength = end - i;
    }
    i = Math.max(end, i + 1);
  }
  const text = words.map((w) => w.toString(16));
  if (best < 0) return text.join(':');
  return `${text.slice(0, best).join(':')}::${text.slice(best + bestLength).join(':')}`;
}

/** The network of `a.b.c.d/n` or `x::/n`; else why the text is not one, as the rest of a sentence. */
export function parseCidr(text: string): Result<Cidr, string> {
  const slash = text.indexOf('/');
  if (slash < 0) return err('is not a CIDR: write address/prefix, for example 10.1.0.0/24');
  const address = parseIp(text.slice(0, slash));
  const digits = text.slice(slash + 1);
  if (address === undefined) return err(`has no IP address before the slash: "${text.slice(0, slash)}"`);
  const bits = address.length * 8;
  if (!/^(0|[1-9][0-9]{0,2})$/.test(digits) || Number(digits) > bits) {
    return err(`has a prefix length that is not between 0 and ${bits}: "${digits}"`);
  }
  const prefix = Number(digits);
  const network = maskTo(address, prefix);
  if (!equalBytes(network, address)) return err(`has host bits set: write ${formatIp(network)}/${prefix}`);
  return ok({ address, prefix });
}

/** The network of a text that was checked before. @throws Error when it is none, which is a bug */
export function cidrOf(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!cidr.ok) throw new Error(`${text} ${cidr.error}`);
  return cidr.value;
}

/** The IP version of an address or a network, in any text of it. */
export function familyOf(text: string): 4 | 6 {
  return text.includes(':') ? 6 : 4;
}

/** A network in canonical text; a text that is none stays as it is, for the rules to refuse. */
export function canonicalCidr(text: string): string {
  const cidr = parseCidr(text);
  return cidr.ok ? formatCidr(cidr.value) : text;
}

/** As `canonicalCidr`, of an address. */
export function canonicalIp(text: string): string {
  const ip = parseIp(text);
  return ip === undefined ? text : formatIp(ip);
}

/** Text form of a network. */
export function formatCidr(cidr: Cidr): string {
  return `${formatIp(cidr.address)}/${cidr.prefix}`;
}

/** `ip` with all bits after `prefix` cleared. */
export function maskTo(ip: IpBytes, prefix: number): IpBytes {
  const out = Uint8Array.from(ip);
  for (let i = 0; i < out.length; i++) out[i] = out[i]! & octetMask(prefix - 8 * i);
  return out;
}

function octetMask(bits: number): number {
  return bits >= 8 ? 0xff : bits <= 0 ? 0 : (0xff << (8 - bits)) & 0xff;
}

/** First and last address of a network. */
export function cidrRange(cidr: Cidr): IpRange {
  const end = Uint8Array.from(cidr.address);
  for (let i = 0; i < end.length; i++) end[i] = end[i]! | (~octetMask(cidr.prefix - 8 * i) & 0xff);
  return { start: Uint8Array.from(cidr.address), end };
}

/** Whether `ip` lies in the range; false when the families differ. */
export function rangeContains(range: IpRange, ip: IpBytes): boolean {
  return (
    ip.length === range.start.length && compareBytes(range.start, ip) <= 0 && compareBytes(ip, range.end) <= 0
  );
}

/** The addresses that both ranges contain, or undefined when there are none or the families differ. */
export function intersectRanges(a: IpRange, b: IpRange): IpRange | undefined {
  if (a.start.length !== b.start.length) return undefined;
  const start = compareBytes(a.start, b.start) >= 0 ? a.start : b.start;
  const end = compareBytes(a.end, b.end) <= 0 ? a.end : b.end;
  return compareBytes(start, end) <= 0 ? { start, end } : undefined;
}

/** The smallest list of networks that is exactly the range, lowest first. */
export function rangeToCidrs(range: IpRange): Cidr[] {
  const out: Cidr[] = [];
  const bits = range.start.length * 8;
  let at = ipToNumber(range.start);
  const last = ipToNumber(range.end);
  while (at <= last) {
    let size = at === 0n ? bits : trailingZeros(at, bits);
    while (at + (1n << BigInt(size)) - 1n > last) size--;
    out.push({ address: ipFromNumber(at, range.start.length), prefix: bits - size });
    at += 1n << BigInt(size);
  }
  return out;
}

/** The address as an unsigned number. */
export function ipToNumber(ip: IpBytes): bigint {
  let out = 0n;
  for (const octet of ip) out = (out << 8n) | BigInt(octet);
  return out;
}

/** The address of `length` octets (4 or 16) that `ipToNumber` made this number of. */
export function ipFromNumber(value: bigint, length: number): IpBytes {
  const out = new Uint8Array(length);
  let rest = value;
  for (let i = length - 1; i >= 0; i--) {
    out[i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return out;
}

function trailingZeros(value: bigint, most: number): number {
  let n = 0;
  while (n < most && ((value >> BigInt(n)) & 1n) === 0n) n++;
  return n;
}

/** `address:port`, the address in brackets for IPv6. */
export function formatEndpoint(endpoint: Endpoint): string {
  return endpoint.address.includes(':')
    ? `[${endpoint.address}]:${endpoint.port}`
    : `${endpoint.address}:${endpoint.port}`;
}
