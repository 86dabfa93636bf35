import { ICMP_HEADER_LENGTH, IcmpType, Icmpv6Type } from '../wire/icmp.js';
import { IpProtocol, type PacketView, readBeginning } from '../wire/ip.js';

/** RFC 792; "fragmentation needed" is one of the unreachable kind. */
const ERRORS_4: ReadonlySet<number> = new Set([
  IcmpType.DESTINATION_UNREACHABLE,
  IcmpType.TIME_EXCEEDED,
  IcmpType.PARAMETER_PROBLEM,
]);
/** RFC 4443 §3. */
const ERRORS_6: ReadonlySet<number> = new Set([
  Icmpv6Type.DESTINATION_UNREACHABLE,
  Icmpv6Type.PACKET_TOO_BIG,
  Icmpv6Type.TIME_EXCEEDED,
  Icmpv6Type.PARAMETER_PROBLEM,
]);

/**
 * The packet that would answer the one that an ICMP error quotes: `answer` is filled with the quoted packet, source
 * and destination exchanged. A router's error about a packet of the tunnel comes from an address that no selector
 * covers as a rule; it belongs to the SA that carries the answer (RFC 4301 §6.2, §7). Allocates nothing.
 *
 * Only errors count, never queries, and only those that go to the sender of the packet they quote: one who
 * forges one reaches no host that the SA does not connect already.
 * @returns false when `error` is nothing of the kind; `answer` is then undefined in content
 */
export function readAnswered(error: PacketView, answer: PacketView): boolean {
  const { version, protocol, bytes, payloadOffset, fragmentOffset, moreFragments } = error;
  if (protocol !== (version === 4 ? IpProtocol.ICMP : IpProtocol.ICMPV6)) return false;
  // A fragment may quote less than its checks would have to see.
  if (fragmentOffset !== 0 || moreFragments) return false;
  const quoted = payloadOffset + ICMP_HEADER_LENGTH;
  const length = error.offset + error.totalLength - quoted;
  if (length < 1 || !(version === 4 ? ERRORS_4 : ERRORS_6).has(bytes[payloadOffset]!)) return false;
  if (!readBeginning(bytes, quoted, length, answer) || answer.version !== version) return false;
  exchangeEnds(answer);
  return isSameAddress(error, answer);
}

function exchangeEnds(view: PacketView): void {
  const { sourceOffset, sourcePort } = view;
  view.sourceOffset = view.destinationOffset;
  view.sourcePort = view.destinationPort;
  view.destinationOffset = sourceOffset;
  view.destinationPort = sourcePort;
}

/** Whether both packets go to one address. They are of one version. */
function isSameAddress(a: PacketView, b: PacketView): boolean {
  for (let i = 0; i < a.addressLength; i++) {
    if (a.bytes[a.destinationOffset + i] !== b.bytes[b.destinationOffset + i]) return false;
  }
  return true;
}
