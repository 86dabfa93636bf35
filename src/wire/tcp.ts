import { IpProtocol, type PacketView } from './ip.js';

/** TCP header without options, and positions in it (RFC 9293 §3.1). */
export const TCP_HEADER_LENGTH = 20;
export const TCP_SEQUENCE_OFFSET = 4;
export const TCP_FLAGS_OFFSET = 13;
export const TCP_CHECKSUM_OFFSET = 16;

/** Bits of the flags octet. */
export const TcpFlag = {
  FIN: 0x01,
  SYN: 0x02,
  RST: 0x04,
  PSH: 0x08,
  ACK: 0x10,
  URG: 0x20,
  ECE: 0x40,
  CWR: 0x80,
} as const;

/**
 * Octets of the TCP header, options included, of the packet that `view` points at; -1 when it is no TCP, a
 * fragment, or the data offset contradicts the packet.
 */
export function tcpHeaderLength(view: PacketView): number {
  if (view.protocol !== IpProtocol.TCP || view.fragmentOffset !== 0 || view.moreFragments) return -1;
  const present = view.offset + view.totalLength - view.payloadOffset;
  if (present < TCP_HEADER_LENGTH) return -1;
  const length = (view.bytes[view.payloadOffset + 12]! >>> 4) << 2;
  return length < TCP_HEADER_LENGTH || length > present ? -1 : length;
}
