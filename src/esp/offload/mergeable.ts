import { readU16 } from '../../util/bytes.js';
import { IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH, IpProtocol, type PacketView } from '../../wire/ip.js';
import { TCP_FLAGS_OFFSET, TCP_HEADER_LENGTH, TcpFlag } from '../../wire/tcp.js';
import { UDP_CHECKSUM_OFFSET, UDP_HEADER_LENGTH, UDP_LENGTH_OFFSET } from '../../wire/udp.js';

/** Which packets are merged. Both can be changed between two flushes, when a kernel refuses merged packets. */
export interface CoalesceSwitches {
  tcp: boolean;
  /** Off unless asked for: some kernels damage what was merged. */
  udp: boolean;
}

/**
 * Octets of the headers of a TCP segment or UDP datagram that may be merged; 0 when it may not. After them comes its
 * payload, of one octet at least. The packet is not a later fragment.
 */
export function mergeableHeader(bytes: Uint8Array, view: PacketView, switches: CoalesceSwitches): number {
  if (view.moreFragments) return 0;
  if (view.version === 4) {
    // No options, and the reserved flag as it should be.
    if (view.headerLength !== IPV4_HEADER_LENGTH || (bytes[view.offset + 6]! & 0x80) !== 0) return 0;
  } else if (view.headerLength !== IPV6_HEADER_LENGTH) {
    return 0;
  }
  const { payloadOffset } = view;
  const size = view.totalLength - view.headerLength;
  if (view.protocol === IpProtocol.TCP) {
    if (!switches.tcp || size <= TCP_HEADER_LENGTH) return 0;
    const header = (bytes[payloadOffset + 12]! >>> 4) << 2;
    const flags = bytes[payloadOffset + TCP_FLAGS_OFFSET]!;
    if (header < TCP_HEADER_LENGTH || header >= size) return 0;
    if ((flags & ~TcpFlag.PSH) !== TcpFlag.ACK) return 0;
    return view.headerLength + header;
  }
  if (!switches.udp || size <= UDP_HEADER_LENGTH) return 0;
  if (readU16(bytes, payloadOffset + UDP_LENGTH_OFFSET) !== size) return 0;
  // Without a checksum there is nothing to verify, and merging would add one.
  if (readU16(bytes, payloadOffset + UDP_CHECKSUM_OFFSET) === 0) return 0;
  return view.headerLength + UDP_HEADER_LENGTH;
}
