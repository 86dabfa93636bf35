import { readU16, writeU16 } from '../util/bytes.js';
import { addToChecksum, finishChecksum, pseudoHeaderSum } from './checksum.js';
import { buildPacket, type IpFields, IpProtocol, type PacketView } from './ip.js';

/** Source port, destination port, length, checksum (RFC 768). */
export const UDP_HEADER_LENGTH = 8;
export const UDP_LENGTH_OFFSET = 4;
export const UDP_CHECKSUM_OFFSET = 6;

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
