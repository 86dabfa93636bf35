import { writeU16 } from '../../util/bytes.js';
import { IPV4_HEADER_LENGTH, IpProtocol } from '../../wire/ip.js';
import { UDP_LENGTH_OFFSET } from '../../wire/udp.js';
import { IPV4_ADDRESSES, IPV6_ADDRESSES } from './flow-match.js';
import { checksumOf, foldSum } from './ones-complement.js';
import type { PacketMemory } from './packet-memory.js';
import { GsoType, type VirtioHeader } from './virtio.js';

/**
 * Writes what merging has changed in the headers of the packet at `at`: lengths, IPv4 header checksum, and in the
 * transport's checksum field the sum of the pseudo-header, which the kernel completes. `header` says what it is.
 */
export function completeSuperPacket(
  { bytes, sum }: PacketMemory,
  at: number,
  length: number,
  { gsoType, checksumStart, checksumOffset }: VirtioHeader,
): void {
  const udp = gsoType === GsoType.UDP_L4;
  const size = length - checksumStart;
  let pseudo = size + (udp ? IpProtocol.UDP : IpProtocol.TCP);
  if (bytes[at]! >>> 4 === 4) {
    writeU16(bytes, at + 2, length);
    writeU16(bytes, at + 10, 0);
    writeU16(bytes, at + 10, checksumOf(sum(at, IPV4_HEADER_LENGTH)));
    pseudo += sum(at + IPV4_ADDRESSES, 8);
  } else {
    writeU16(bytes, at + 4, size);
    pseudo += sum(at + IPV6_ADDRESSES, 32);
  }
  if (udp) writeU16(bytes, at + checksumStart + UDP_LENGTH_OFFSET, size);
  writeU16(bytes, at + checksumStart + checksumOffset, foldSum(pseudo));
}
