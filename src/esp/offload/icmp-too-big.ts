import { writeU16, writeU32 } from '../../util/bytes.js';
import { ICMP_HEADER_LENGTH, IcmpType, Icmpv6Type, mayAnswerTooBig } from '../../wire/icmp.js';
import { IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH, IpProtocol, type PacketView } from '../../wire/ip.js';
import { checksumOf } from './ones-complement.js';
import type { PacketMemory } from './packet-memory.js';

/** Most octets of an ICMPv4 error (RFC 1812 §4.3.2.3): the slot for an answer must have so many. */
export const MAX_ICMPV4_ERROR = 576;
/** Most octets of an ICMPv6 error: the least IPv6 MTU (RFC 4443 §2.4 c). */
export const MAX_ICMPV6_ERROR = 1280;

const FRAGMENTATION_NEEDED = 4;

/** Precedence 6, internetwork control: what RFC 1812 §4.3.2.5 wants of ICMP errors. */
const INTERNETWORK_CONTROL = 0xc0;

const DONT_FRAGMENT = 0x4000;
const HOP_LIMIT = 64;

/** Least MTU of a link for IPv4 (RFC 791 §3.2) and IPv6 (RFC 8200 §5). Hosts ignore smaller ones. */
const MIN_IPV4_MTU = 68;
const MIN_IPV6_MTU = 1280;

/**
 * Writes the tunnel's answer to the packet in `view`, which is longer than `mtu` and must not be fragmented:
 * ICMPv4 "fragmentation needed" with the next-hop MTU (RFC 1191 §4) or ICMPv6 "packet too big" (RFC 4443
 * §3.2). The slot at `outAt` has `MAX_ICMPV6_ERROR` octets (IPv4: `MAX_ICMPV4_ERROR`) and does not overlap
 * the packet. The checksums of the packet should be complete: it is quoted. The caller limits the rate (RFC
 * 1812 §4.3.2.8, RFC 4443 §2.4 f).
 * @param router source of the answer, of the packet's family
 * @returns octets written; 0 when this packet must not be answered: an ICMP error, a later fragment, from or
 *   to a group, an IPv4 packet without DF (RFC 1812 §4.3.2.7, RFC 4443 §2.4 e), or a router of the other family
 */
export function writeTooBig(
  memory: PacketMemory,
  view: PacketView,
  outAt: number,
  mtu: number,
  router: Uint8Array,
): number {
  if (router.length !== view.addressLength || !mayAnswerTooBig(view)) return 0;
  return view.version === 4
    ? writeIpv4(memory, view, outAt, Math.min(Math.max(mtu, MIN_IPV4_MTU), 0xffff), router)
    : writeIpv6(memory, view, outAt, Math.max(mtu, MIN_IPV6_MTU), router);
}

function writeIpv4(
  memory: PacketMemory,
  view: PacketView,
  outAt: number,
  mtu: number,
  router: Uint8Array,
): number {
  const { bytes, sum, copy } = memory;
  const icmp = outAt + IPV4_HEADER_LENGTH;
  const quoted = Math.min(view.totalLength, MAX_ICMPV4_ERROR - IPV4_HEADER_LENGTH - ICMP_HEADER_LENGTH);
  const length = IPV4_HEADER_LENGTH + ICMP_HEADER_LENGTH + quoted;
  bytes[outAt] = 0x45;
  bytes[outAt + 1] = INTERNETWORK_CONTROL;
  writeU16(bytes, outAt + 2, length);
  // An atomic datagram needs no id (RFC 6864 §4.1).
  writeU16(bytes, outAt + 4, 0);
  writeU16(bytes, outAt + 6, DONT_FRAGMENT);
  bytes[outAt + 8] = HOP_LIMIT;
  bytes[outAt + 9] = IpProtocol.ICMP;
  writeU16(bytes, outAt + 10, 0);
  for (let i = 0; i < 4; i++) bytes[outAt + 12 + i] = router[i]!;
  copy(outAt + 16, view.sourceOffset, 4);
  writeU16(bytes, outAt + 10, checksumOf(sum(outAt, IPV4_HEADER_LENGTH)));
  bytes[icmp] = IcmpType.DESTINATION_UNREACHABLE;
  bytes[icmp + 1] = FRAGMENTATION_NEEDED;
  writeU16(bytes, icmp + 2, 0);
  writeU32(bytes, icmp + 4, mtu);
  copy(icmp + ICMP_HEADER_LENGTH, view.offset, quoted);
  writeU16(bytes, icmp + 2, checksumOf(sum(icmp, ICMP_HEADER_LENGTH + quoted)));
  return length;
}

function writeIpv6(
  memory: PacketMemory,
  view: PacketView,
  outAt: number,
  mtu: number,
  router: Uint8Array,
): number {
  const { bytes, sum, copy } = memory;
  const icmp = outAt + IPV6_HEADER_LENGTH;
  const quoted = Math.min(view.totalLength, MAX_ICMPV6_ERROR - IPV6_HEADER_LENGTH - ICMP_HEADER_LENGTH);
  const size = ICMP_HEADER_LENGTH + quoted;
  writeU32(bytes, outAt, 0x60000000);
  writeU16(bytes, outAt + 4, size);
  bytes[outAt + 6] = IpProtocol.ICMPV6;
  bytes[outAt + 7] = HOP_LIMIT;
  for (let i = 0; i < 16; i++) bytes[outAt + 8 + i] = router[i]!;
  copy(outAt + 24, view.sourceOffset, 16);
  bytes[icmp] = Icmpv6Type.PACKET_TOO_BIG;
  bytes[icmp + 1] = 0;
  writeU16(bytes, icmp + 2, 0);
  writeU32(bytes, icmp + 4, mtu);
  copy(icmp + ICMP_HEADER_LENGTH, view.offset, quoted);
  // The addresses of the header and the message lie one after the other.
  writeU16(bytes, icmp + 2, checksumOf(sum(outAt + 8, 32 + size) + IpProtocol.ICMPV6 + size));
  return IPV6_HEADER_LENGTH + size;
}
