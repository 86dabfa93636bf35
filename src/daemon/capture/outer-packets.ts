import type { TappedPacket } from '../../dataplane/packet-tap.js';
import { type Endpoint, parseIp } from '../../util/ip.js';
import { NAT_TRAVERSAL_PORT } from '../../wire/ike/constants.js';
import { buildPacket, IpProtocol } from '../../wire/ip.js';
import { buildUdpPacket } from '../../wire/udp.js';
import { fromWire, type Ports } from '../system/ports.js';

/*
 * The headers in front of what passes our sockets are the kernel's, and are made again here: addresses, ports and
 * lengths are true; hop limit, traffic class, identification and fragments are not those of the wire.
 */

/** The longest ESP packet that fits one IP packet with the headers of UDP and IPv6. */
export const MAX_OUTER = 0xffff - 48;

/** A datagram as an IP packet. Addresses of two families, or none, give one from and to nowhere. */
export function datagramPacket(from: Endpoint, to: Endpoint, payload: Uint8Array): Uint8Array {
  return buildUdpPacket(addressesOf(from.address, to.address), from.port, to.port, payload);
}

/** What an ESP packet looks like outside: the whole length, and the octets that are there. */
export function outerPacket(
  packet: Extract<TappedPacket, { layer: 'outer' }>,
  { peerOf }: { peerOf(childId: number | undefined): Endpoint | undefined },
  { address, ports }: { readonly address: string; readonly ports: Ports },
): { readonly length: number; readonly bytes: Uint8Array } {
  const { bytes, length, direction, form, childId } = packet;
  const local = { address, port: NAT_TRAVERSAL_PORT };
  const remote = fromWire(packet.remote ?? peerOf(childId) ?? { address: '', port: 0 }, ports);
  const [from, to] = direction === 'in' ? [remote, local] : [local, remote];
  let payload = bytes;
  if (bytes.length < length) {
    payload = new Uint8Array(length);
    payload.set(bytes);
  }
  const whole =
    form === 'udp'
      ? datagramPacket(from, to, payload)
      : buildPacket({ ...addressesOf(from.address, to.address), protocol: IpProtocol.ESP }, payload);
  return { length: whole.length, bytes: whole.subarray(0, whole.length - (length - bytes.length)) };
}

function addressesOf(from: string, to: string): { source: Uint8Array; destination: Uint8Array } {
  const source = parseIp(from);
  const destination = parseIp(to);
  const length = source?.length ?? destination?.length ?? 4;
  const known = (address: Uint8Array | undefined): Uint8Array =>
    address?.length === length ? address : new Uint8Array(length);
  return { source: known(source), destination: known(destination) };
}
