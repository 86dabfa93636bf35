import { readU32 } from '../../util/bytes.js';
import { IPV4_HEADER_LENGTH, IPV6_HEADER_LENGTH, type PacketView } from '../../wire/ip.js';
import { foldSum } from './ones-complement.js';
import type { PacketMemory } from './packet-memory.js';

/** Where the IPv4 addresses are; the octets between them and the transport are none. */
export const IPV4_ADDRESSES = 12;
export const IPV6_ADDRESSES = 8;

/** Whether `length` octets at `a` and at `b` are equal. */
export function sameOctets(bytes: Uint8Array, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (bytes[a + i] !== bytes[b + i]) return false;
  return true;
}

/**
 * Whether two TCP headers of `length` octets with the same ports say the same but for sequence number, flags and
 * checksum: acknowledgment and data offset, window, urgent pointer and options.
 */
export function sameTcpHeader(bytes: Uint8Array, a: number, b: number, length: number): boolean {
  return (
    sameOctets(bytes, a + 8, b + 8, 5) &&
    sameOctets(bytes, a + 14, b + 14, 2) &&
    sameOctets(bytes, a + 18, b + 18, length - 18)
  );
}

/** Distinguishes most flows: ports and the low parts of the addresses. */
export function flowHash(bytes: Uint8Array, view: PacketView): number {
  const { sourceOffset, destinationOffset, addressLength } = view;
  const ports = (view.sourcePort << 16) | view.destinationPort;
  const source = readU32(bytes, sourceOffset + addressLength - 4);
  const destination = readU32(bytes, destinationOffset + addressLength - 4);
  return ports ^ source ^ ((destination << 7) | (destination >>> 25));
}

/**
 * Whether the IP header checksum and the transport checksum of the packet at `at` are right. For packets without
 * options and extension headers: there the addresses lie right before the transport.
 */
export function checksumsHold(
  { bytes, sum }: PacketMemory,
  at: number,
  length: number,
  version: number,
): boolean {
  if (version === 4) {
    if (sum(at, IPV4_HEADER_LENGTH) !== 0xffff) return false;
    const size = length - IPV4_HEADER_LENGTH;
    return foldSum(sum(at + IPV4_ADDRESSES, size + 8) + bytes[at + 9]! + size) === 0xffff;
  }
  const size = length - IPV6_HEADER_LENGTH;
  return foldSum(sum(at + IPV6_ADDRESSES, size + 32) + bytes[at + 6]! + size) === 0xffff;
}
