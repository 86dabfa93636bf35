import { IpProtocol, type PacketView } from './ip.js';

/** Type, code, checksum and four octets that depend on the type (RFC 792, RFC 4443 §2.1). */
export const ICMP_HEADER_LENGTH = 8;

/** Message types of ICMP (RFC 792). */
export const IcmpType = {
  ECHO_REPLY: 0,
  DESTINATION_UNREACHABLE: 3,
  ECHO_REQUEST: 8,
  TIME_EXCEEDED: 11,
  PARAMETER_PROBLEM: 12,
} as const;

/** Message types of ICMPv6 (RFC 4443 §2.1). */
export const Icmpv6Type = {
  DESTINATION_UNREACHABLE: 1,
  PACKET_TOO_BIG: 2,
  TIME_EXCEEDED: 3,
  PARAMETER_PROBLEM: 4,
  ECHO_REQUEST: 128,
  ECHO_REPLY: 129,
} as const;

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
