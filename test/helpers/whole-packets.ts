import { MAX_ICMPV4_ERROR, MAX_ICMPV6_ERROR } from '../../src/esp/offload/icmp-too-big.js';
import { readU16, writeU16, writeU32 } from '../../src/util/bytes.js';
import { addToChecksum, checksum, finishChecksum } from '../../src/wire/checksum.js';
import { ICMP_HEADER_LENGTH, IcmpType, Icmpv6Type, mayAnswerTooBig } from '../../src/wire/icmp.js';
import { buildPacket, type IpFields, IpProtocol, type PacketView } from '../../src/wire/ip.js';
import { UDP_CHECKSUM_OFFSET, UDP_HEADER_LENGTH, UDP_LENGTH_OFFSET } from '../../src/wire/udp.js';

/*
 * UDP and ICMP packets as hosts and routers send them: the gateway itself builds neither.
 */

/** Code of DESTINATION_UNREACHABLE: fragmentation needed and DF set (RFC 792, RFC 1191 §4). */
const FRAGMENTATION_NEEDED = 4;

/**
 * Octets of data in the UDP datagram that `view` points at; -1 when it is none, a fragment, or its length
 * field contradicts the packet.
 */
export function udpDataLength(view: PacketView): number {
  if (view.protocol !== IpProtocol.UDP || view.fragmentOffset !== 0 || view.moreFragments) return -1;
  const present = view.offset + view.totalLength - view.payloadOffset;
  if (present < UDP_HEADER_LENGTH) return -1;
  const length = readU16(view.bytes, view.payloadOffset + UDP_LENGTH_OFFSET);
  return length < UDP_HEADER_LENGTH || length > present ? -1 : length - UDP_HEADER_LENGTH;
}

/**
 * A whole UDP packet with its checksum, over IPv4 or IPv6.
 * @throws RangeError when the addresses are not of one family or the packet is too long
 */
export function buildUdpPacket(
  fields: Omit<IpFields, 'protocol'>,
  sourcePort: number,
  destinationPort: number,
  data: Uint8Array,
): Uint8Array {
  const datagram = new Uint8Array(UDP_HEADER_LENGTH + data.length);
  writeU16(datagram, 0, sourcePort);
  writeU16(datagram, 2, destinationPort);
  writeU16(datagram, UDP_LENGTH_OFFSET, datagram.length);
  datagram.set(data, UDP_HEADER_LENGTH);
  const packet = buildPacket({ ...fields, protocol: IpProtocol.UDP }, datagram);
  const addressLength = fields.source.length;
  const addressesAt = addressLength === 4 ? 12 : 8;
  const at = packet.length - datagram.length;
  const pseudo = pseudoHeaderSum(packet, addressesAt, addressLength, IpProtocol.UDP, datagram.length);
  const sum = finishChecksum(addToChecksum(pseudo, packet, at, datagram.length));
  // RFC 768: zero means "no checksum", a computed zero is sent as all ones.
  writeU16(packet, at + UDP_CHECKSUM_OFFSET, sum === 0 ? 0xffff : sum);
  return packet;
}

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

/** The packet's source address as a view. Allocates: not for the packet path. */
export function sourceOf(view: PacketView): Uint8Array {
  return view.bytes.subarray(view.sourceOffset, view.sourceOffset + view.addressLength);
}

/** Whether the checksum of the IPv4 header at `offset` is right. The header's length has been checked. */
export function ipv4ChecksumHolds(bytes: Uint8Array, offset: number): boolean {
  return checksum(bytes, offset, (bytes[offset]! & 0x0f) << 2) === 0;
}

/**
 * The sum of the pseudo-header in front of a TCP, UDP or ICMPv6 packet: RFC 793 §3.1, RFC 8200 §8.1.
 * @param addresses octets that contain source and destination address one after the other, as IP headers do
 * @param at where the source address begins
 * @param addressLength 4 or 16
 * @param length octets of upper-layer header and data
 */
export function pseudoHeaderSum(
  addresses: Uint8Array,
  at: number,
  addressLength: number,
  protocol: number,
  length: number,
): number {
  return addToChecksum(protocol + (length >>> 16) + (length & 0xffff), addresses, at, 2 * addressLength);
}
