import { writeU16, writeU32 } from '../util/bytes.js';
import { checksum } from './checksum.js';

/** IP protocol numbers that the packet path looks into. */
export const IpProtocol = {
  HOP_BY_HOP: 0,
  ICMP: 1,
  IPV4: 4,
  TCP: 6,
  UDP: 17,
  IPV6: 41,
  ROUTING: 43,
  FRAGMENT: 44,
  ESP: 50,
  AH: 51,
  ICMPV6: 58,
  NO_NEXT_HEADER: 59,
  DESTINATION_OPTIONS: 60,
  SCTP: 132,
  MOBILITY: 135,
  UDP_LITE: 136,
} as const;

/** Octets of the fixed headers, without options (RFC 791 §3.1) and extension headers (RFC 8200 §3). */
export const IPV4_HEADER_LENGTH = 20;
export const IPV6_HEADER_LENGTH = 40;

/** Extension headers walked before a packet is refused: bounds the work one packet can cause. */
export const MAX_EXTENSION_HEADERS = 8;

/** Port fields of a packet whose ports cannot be seen: a later fragment, or a protocol without ports. */
export const NO_PORT = -1;

/**
 * What `readPacket` found. One view is made once and filled again for every packet; all positions are
 * indexes into `bytes`, nothing is copied. Content is only meaningful after `readPacket` returned true.
 */
export interface PacketView {
  bytes: Uint8Array;
  /** Where the IP header begins. */
  offset: number;
  version: 4 | 6;
  /** Octets of the IP header with options or extension headers. */
  headerLength: number;
  /** Octets of the packet by its own header; the buffer may have more after it. */
  totalLength: number;
  /** The upper-layer protocol, after all extension headers. */
  protocol: number;
  /** Where the upper layer begins. */
  payloadOffset: number;
  sourceOffset: number;
  destinationOffset: number;
  /** 4 or 16. */
  addressLength: number;
  /** Type of service or traffic class: DSCP in the upper six bits, ECN in the lower two. */
  trafficClass: number;
  hopLimit: number;
  /** IPv4 flag DF; always true for IPv6, where routers do not fragment. */
  dontFragment: boolean;
  /** Octets in front of this fragment in the original packet; 0 for whole packets and first fragments. */
  fragmentOffset: number;
  moreFragments: boolean;
  /**
   * TCP, UDP, UDP-Lite, SCTP: the ports. ICMP and ICMPv6: type × 256 + code in both, Mobility Header: type ×
   * 256 in both, as selectors see them (RFC 4301 §4.4.1.1, RFC 7296 §3.13.1). Else `NO_PORT`.
   */
  sourcePort: number;
  destinationPort: number;
}

/** A view to be filled by `readPacket`. */
export function createPacketView(): PacketView {
  return {
    bytes: new Uint8Array(0),
    offset: 0,
    version: 4,
    headerLength: 0,
    totalLength: 0,
    protocol: 0,
    payloadOffset: 0,
    sourceOffset: 0,
    destinationOffset: 0,
    addressLength: 4,
    trafficClass: 0,
    hopLimit: 0,
    dontFragment: false,
    fragmentOffset: 0,
    moreFragments: false,
    sourcePort: NO_PORT,
    destinationPort: NO_PORT,
  };
}

/**
 * Reads the IP packet at `offset`, of which `length` octets are there, into `view`; allocates nothing. Octets
 * after the packet's own length are tolerated (RFC 4303 §2.7 traffic-flow padding).
 * @returns false when it is no whole IPv4 or IPv6 packet; the view is then undefined in content
 */
export function readPacket(bytes: Uint8Array, offset: number, length: number, view: PacketView): boolean {
  return readBeginning(bytes, offset, length, view) && view.totalLength <= length;
}

/**
 * As `readPacket`, for a packet of which only the first `length` octets are there, as ICMP quotes it: IP header,
 * extension headers and ports count, the rest may be missing. `totalLength` is what the packet's own header says.
 */
export function readBeginning(bytes: Uint8Array, offset: number, length: number, view: PacketView): boolean {
  if (length < 1 || offset < 0 || offset + length > bytes.length) return false;
  view.bytes = bytes;
  view.offset = offset;
  view.sourcePort = NO_PORT;
  view.destinationPort = NO_PORT;
  const version = bytes[offset]! >>> 4;
  if (version === 4 ? !readIpv4(bytes, offset, length, view) : version !== 6) return false;
  if (version === 6 && !readIpv6(bytes, offset, length, view)) return false;
  if (view.fragmentOffset === 0) readPorts(bytes, offset + Math.min(length, view.totalLength), view);
  return true;
}

/** RFC 791 §3.1. */
function readIpv4(bytes: Uint8Array, offset: number, length: number, view: PacketView): boolean {
  if (length < IPV4_HEADER_LENGTH) return false;
  const headerLength = (bytes[offset]! & 0x0f) << 2;
  const totalLength = (bytes[offset + 2]! << 8) | bytes[offset + 3]!;
  if (headerLength < IPV4_HEADER_LENGTH || headerLength > length || totalLength < headerLength) return false;
  const fragment = (bytes[offset + 6]! << 8) | bytes[offset + 7]!;
  view.version = 4;
  view.headerLength = headerLength;
  view.totalLength = totalLength;
  view.protocol = bytes[offset + 9]!;
  view.payloadOffset = offset + headerLength;
  view.sourceOffset = offset + 12;
  view.destinationOffset = offset + 16;
  view.addressLength = 4;
  view.trafficClass = bytes[offset + 1]!;
  view.hopLimit = bytes[offset + 8]!;
  view.dontFragment = (fragment & 0x4000) !== 0;
  view.moreFragments = (fragment & 0x2000) !== 0;
  view.fragmentOffset = (fragment & 0x1fff) << 3;
  return true;
}

/** RFC 8200 §3, §4. */
function readIpv6(bytes: Uint8Array, offset: number, length: number, view: PacketView): boolean {
  if (length < IPV6_HEADER_LENGTH) return false;
  const totalLength = IPV6_HEADER_LENGTH + ((bytes[offset + 4]! << 8) | bytes[offset + 5]!);
  view.version = 6;
  view.totalLength = totalLength;
  view.sourceOffset = offset + 8;
  view.destinationOffset = offset + 24;
  view.addressLength = 16;
  view.trafficClass = ((bytes[offset]! & 0x0f) << 4) | (bytes[offset + 1]! >>> 4);
  view.hopLimit = bytes[offset + 7]!;
  view.dontFragment = true;
  view.moreFragments = false;
  view.fragmentOffset = 0;
  const end = offset + Math.min(length, totalLength);
  let at = offset + IPV6_HEADER_LENGTH;
  let next = bytes[offset + 6]!;
  let walked = 0;
  // After the header of a later fragment comes data, not another header.
  while (view.fragmentOffset === 0 && isExtension(next)) {
    if (++walked > MAX_EXTENSION_HEADERS || at + 8 > end) return false;
    let size = 8;
    if (next === IpProtocol.FRAGMENT) {
      const field = (bytes[at + 2]! << 8) | bytes[at + 3]!;
      view.fragmentOffset = field & 0xfff8;
      view.moreFragments = (field & 1) !== 0;
    } else if (next === IpProtocol.AH) {
      // RFC 4302 §2.2: in units of 4 octets, minus 2.
      size = (bytes[at + 1]! + 2) << 2;
    } else {
      size = (bytes[at + 1]! + 1) << 3;
    }
    if (at + size > end) return false;
    next = bytes[at]!;
    at += size;
  }
  view.protocol = next;
  view.payloadOffset = at;
  view.headerLength = at - offset;
  return true;
}

function isExtension(protocol: number): boolean {
  return (
    protocol === IpProtocol.HOP_BY_HOP ||
    protocol === IpProtocol.ROUTING ||
    protocol === IpProtocol.FRAGMENT ||
    protocol === IpProtocol.DESTINATION_OPTIONS ||
    protocol === IpProtocol.AH
  );
}

/** `end` is where the octets that are there end. */
function readPorts(bytes: Uint8Array, end: number, view: PacketView): void {
  const at = view.payloadOffset;
  const present = end - at;
  switch (view.protocol) {
    case IpProtocol.TCP:
    case IpProtocol.UDP:
    case IpProtocol.UDP_LITE:
    case IpProtocol.SCTP:
      if (present < 4) return;
      view.sourcePort = (bytes[at]! << 8) | bytes[at + 1]!;
      view.destinationPort = (bytes[at + 2]! << 8) | bytes[at + 3]!;
      return;
    case IpProtocol.ICMP:
    case IpProtocol.ICMPV6:
      if (present < 2) return;
      view.sourcePort = (bytes[at]! << 8) | bytes[at + 1]!;
      view.destinationPort = view.sourcePort;
      return;
    case IpProtocol.MOBILITY:
      // RFC 6275 §6.1.1: next header, length, MH type.
      if (present < 3) return;
      view.sourcePort = bytes[at + 2]! << 8;
      view.destinationPort = view.sourcePort;
      return;
    default:
      return;
  }
}

/** The packet's destination address as a view. Allocates: not for the packet path. */
export function destinationOf(view: PacketView): Uint8Array {
  return view.bytes.subarray(view.destinationOffset, view.destinationOffset + view.addressLength);
}

/** Fields of an IPv4 or IPv6 header to be written; the family follows from the addresses. */
export interface IpFields {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly protocol: number;
  /** Default 64. */
  readonly hopLimit?: number;
  readonly trafficClass?: number;
  /** IPv4 only. */
  readonly identification?: number;
  /** IPv4 only; default true. */
  readonly dontFragment?: boolean;
}

/**
 * An IP packet around `payload`, without options or extension headers.
 * @throws RangeError when the addresses are not of one family or the packet exceeds 65,535 octets
 */
export function buildPacket(fields: IpFields, payload: Uint8Array): Uint8Array {
  const { source, destination } = fields;
  const version = source.length === 4 ? 4 : 6;
  if (source.length !== destination.length || (source.length !== 4 && source.length !== 16)) {
    throw new RangeError('source and destination are two addresses of one family');
  }
  const headerLength = version === 4 ? IPV4_HEADER_LENGTH : IPV6_HEADER_LENGTH;
  if (headerLength + payload.length > 0xffff) {
    throw new RangeError(`${payload.length} octets do not fit one IP packet`);
  }
  const out = new Uint8Array(headerLength + payload.length);
  const trafficClass = fields.trafficClass ?? 0;
  if (version === 4) {
    out[0] = 0x45;
    out[1] = trafficClass;
    writeU16(out, 2, out.length);
    writeU16(out, 4, fields.identification ?? 0);
    writeU16(out, 6, fields.dontFragment === false ? 0 : 0x4000);
    out[8] = fields.hopLimit ?? 64;
    out[9] = fields.protocol;
    out.set(source, 12);
    out.set(destination, 16);
    writeU16(out, 10, checksum(out, 0, IPV4_HEADER_LENGTH));
  } else {
    writeU32(out, 0, 0x60000000 | (trafficClass << 20));
    writeU16(out, 4, payload.length);
    out[6] = fields.protocol;
    out[7] = fields.hopLimit ?? 64;
    out.set(source, 8);
    out.set(destination, 24);
  }
  out.set(payload, headerLength);
  return out;
}
