import { writeU16, writeU32 } from '../util/bytes.js';
import { addToChecksum, checksum, finishChecksum, pseudoHeaderSum } from './checksum.js';
import { buildPacket, type IpFields, IpProtocol, type PacketView } from './ip.js';

/** Type, code, checksum and four octets that depend on the type (RFC 792, RFC 4443 §2.1). */
export const ICMP_HEADER_LENGTH = 8;

export const IcmpType = {
  ECHO_REPLY: 0,
  DESTINATION_UNREACHABLE: 3,
  ECHO_REQUEST: 8,
  TIME_EXCEEDED: 11,
  PARAMETER_PROBLEM: 12,
} as const;

export const Icmpv6Type = {
  DESTINATION_UNREACHABLE: 1,
  PACKET_TOO_BIG: 2,
  TIME_EXCEEDED: 3,
  PARAMETER_PROBLEM: 4,
  ECHO_REQUEST: 128,
  ECHO_REPLY: 129,
} as const;

/** Code of DESTINATION_UNREACHABLE: fragmentation needed and DF set (RFC 792, RFC 1191 §4). */
const FRAGMENTATION_NEEDED = 4;

/** Most octets of an ICMPv4 error (RFC 1812 §4.3.2.3) and of an ICMPv6 error (RFC 4443 §2.4 c). */
const MAX_ICMPV4_ERROR = 576;
const MAX_ICMPV6_ERROR = 1280;

/**
 * An echo request or reply, over IPv4 or IPv6 as the addresses say.
 * @throws RangeError when the addresses are not of one family or the packet is too long
 */
export function buildEcho(
  fields: Omit<IpFields, 'protocol'>,
  kind: 'request' | 'reply',
  identifier: number,
  sequence: number,
  data: Uint8Array,
): Uint8Array {
  const ipv4 = fields.source.length === 4;
  const types = ipv4 ? IcmpType : Icmpv6Type;
  const type = kind === 'request' ? types.ECHO_REQUEST : types.ECHO_REPLY;
  return buildIcmp(fields, type, 0, ((identifier << 16) | sequence) >>> 0, data);
}

/**
 * The answer of a router to a packet that is too long for the next hop: fragmentation needed (RFC 1191 §4)
 * or packet too big (RFC 4443 §3.2), with as much of the packet as the RFCs allow.
 * @param router source address of the error, of the packet's family
 * @returns undefined when no error may be sent about this packet: it is an ICMP error itself, a later
 *   fragment, to or from a group address, or an IPv4 packet that may be fragmented (RFC 1122 §3.2.2, RFC
 *   4443 §2.4 e)
 */
export function buildTooBig(view: PacketView, router: Uint8Array, mtu: number): Uint8Array | undefined {
  if (!mayAnswerTooBig(view)) return undefined;
  const { bytes, sourceOffset, addressLength } = view;
  const ipv4 = view.version === 4;
  const room = ipv4 ? MAX_ICMPV4_ERROR - 28 : MAX_ICMPV6_ERROR - 48;
  const quoted = bytes.subarray(view.offset, view.offset + Math.min(view.totalLength, room));
  const source = bytes.subarray(sourceOffset, sourceOffset + addressLength);
  const fields = { source: router, destination: source };
  return ipv4
    ? buildIcmp(fields, IcmpType.DESTINATION_UNREACHABLE, FRAGMENTATION_NEEDED, mtu & 0xffff, quoted)
    : buildIcmp(fields, Icmpv6Type.PACKET_TOO_BIG, 0, mtu, quoted);
}

/**
 * Whether "too big" may be said about the packet: not about an ICMP error, a later fragment, a packet from or
 * to a group address, or an IPv4 packet that may be fragmented (RFC 1122 §3.2.2, RFC 1812 §4.3.2.7, RFC 4443
 * §2.4 e).
 */
export function mayAnswerTooBig(view: PacketView): boolean {
  if (view.fragmentOffset !== 0 || !view.dontFragment || isIcmpError(view)) return false;
  const { bytes, sourceOffset, destinationOffset, addressLength } = view;
  if (isGroupOrNone(bytes, sourceOffset, addressLength)) return false;
  // Path MTU discovery of groups needs packet too big about group destinations (RFC 4443 §2.4 e.3).
  return view.version === 6 || !isGroupOrNone(bytes, destinationOffset, addressLength);
}

/** Whether the packet is an ICMP message that no ICMP error may answer. */
export function isIcmpError(view: PacketView): boolean {
  const type = view.sourcePort >>> 8;
  if (view.protocol === IpProtocol.ICMPV6) return view.sourcePort < 0 || type < 128;
  if (view.protocol !== IpProtocol.ICMP) return false;
  return (
    view.sourcePort < 0 ||
    type === IcmpType.DESTINATION_UNREACHABLE ||
    type === 4 ||
    type === 5 ||
    type === IcmpType.TIME_EXCEEDED ||
    type === IcmpType.PARAMETER_PROBLEM
  );
}

/** Multicast, limited broadcast or the unspecified address: no host that an error could be sent to. */
function isGroupOrNone(bytes: Uint8Array, at: number, length: number): boolean {
  const first = bytes[at]!;
  if (length === 4 ? first >= 0xe0 || first === 0 : first === 0xff) return true;
  for (let i = 0; i < length; i++) if (bytes[at + i] !== 0) return false;
  return true;
}

function buildIcmp(
  fields: Omit<IpFields, 'protocol'>,
  type: number,
  code: number,
  second: number,
  data: Uint8Array,
): Uint8Array {
  const ipv4 = fields.source.length === 4;
  const message = new Uint8Array(ICMP_HEADER_LENGTH + data.length);
  message[0] = type;
  message[1] = code;
  writeU32(message, 4, second);
  message.set(data, ICMP_HEADER_LENGTH);
  if (ipv4) {
    writeU16(message, 2, checksum(message, 0, message.length));
    return buildPacket({ ...fields, protocol: IpProtocol.ICMP }, message);
  }
  const packet = buildPacket({ ...fields, protocol: IpProtocol.ICMPV6 }, message);
  const at = packet.length - message.length;
  const pseudo = pseudoHeaderSum(packet, 8, 16, IpProtocol.ICMPV6, message.length);
  writeU16(packet, at + 2, finishChecksum(addToChecksum(pseudo, packet, at, message.length)));
  return packet;
}
