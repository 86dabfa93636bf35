import { writeU16 } from '../util/bytes.js';
import { addToChecksum, finishChecksum } from './checksum.js';
import { buildPacket, type IpFields, IpProtocol } from './ip.js';

/** Source port, destination port, length, checksum (RFC 768). */
export const UDP_HEADER_LENGTH = 8;
export const UDP_LENGTH_OFFSET = 4;
export const UDP_CHECKSUM_OFFSET = 6;

/**
 * A datagram in an IP packet, with its checksum (RFC 768, RFC 8200 §8.1).
 * @throws RangeError when the addresses are not of one family or the packet exceeds 65,535 octets
 */
export function buildUdpPacket(
  addresses: Pick<IpFields, 'source' | 'destination'>,
  sourcePort: number,
  destinationPort: number,
  payload: Uint8Array,
): Uint8Array {
  const { source, destination } = addresses;
  const datagram = new Uint8Array(UDP_HEADER_LENGTH + payload.length);
  writeU16(datagram, 0, sourcePort);
  writeU16(datagram, 2, destinationPort);
  writeU16(datagram, UDP_LENGTH_OFFSET, datagram.length & 0xffff);
  datagram.set(payload, UDP_HEADER_LENGTH);
  let sum = addToChecksum(IpProtocol.UDP + datagram.length, source, 0, source.length);
  sum = addToChecksum(sum, destination, 0, destination.length);
  const checksum = finishChecksum(addToChecksum(sum, datagram, 0, datagram.length));
  // Zero would mean that there is none.
  writeU16(datagram, UDP_CHECKSUM_OFFSET, checksum === 0 ? 0xffff : checksum);
  return buildPacket({ source, destination, protocol: IpProtocol.UDP }, datagram);
}
