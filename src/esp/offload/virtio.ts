/**
 * The header in front of every packet on a TUN device with IFF_VNET_HDR (struct virtio_net_hdr of
 * linux/virtio_net.h, legacy layout of VIRTIO 1.2 §5.1.6.1), offsets in octets:
 *
 *     0  flags (1)        1  gso_type (1)     2  hdr_len (2)
 *     4  gso_size (2)     6  csum_start (2)   8  csum_offset (2)
 *
 * 16-bit fields are in host order. All machines that the packet path runs on are little-endian (linux/ffi
 * refuses others), and so is this codec.
 */
export const VIRTIO_HEADER_LENGTH = 10;

/** Bits of `flags` in struct virtio_net_hdr (linux/virtio_net.h). */
export const VirtioFlag = {
  /** The checksum field contains the sum of the pseudo-header only; the reader completes it. */
  NEEDS_CSUM: 1,
  /** The kernel has verified the checksum. */
  DATA_VALID: 2,
} as const;

/** Values of `gso_type` in struct virtio_net_hdr (linux/virtio_net.h). */
export const GsoType = {
  NONE: 0,
  TCPV4: 1,
  TCPV6: 4,
  /** A train of UDP datagrams (USO), not a datagram to be fragmented. */
  UDP_L4: 5,
  /** A bit beside the TCP types: CWR is set. */
  ECN: 0x80,
} as const;

/** The header's fields. One record is made once and filled again for every packet. */
export interface VirtioHeader {
  flags: number;
  gsoType: number;
  /** Octets of all headers. Only a hint: forwarded packets have other values here. */
  headerLength: number;
  /** Octets of payload of each segment but the last. */
  gsoSize: number;
  /** Where the checksum's cover begins, from the first octet of the IP header. */
  checksumStart: number;
  /** Where the checksum is, from `checksumStart`. */
  checksumOffset: number;
}

/** A header that says nothing: a plain packet with complete checksums. */
export function createVirtioHeader(): VirtioHeader {
  return { flags: 0, gsoType: 0, headerLength: 0, gsoSize: 0, checksumStart: 0, checksumOffset: 0 };
}

/** Fills `header` from the 10 octets at `at`. The caller has checked that they are there. */
export function readVirtioHeader(bytes: Uint8Array, at: number, header: VirtioHeader): void {
  header.flags = bytes[at]!;
  header.gsoType = bytes[at + 1]!;
  header.headerLength = bytes[at + 2]! | (bytes[at + 3]! << 8);
  header.gsoSize = bytes[at + 4]! | (bytes[at + 5]! << 8);
  header.checksumStart = bytes[at + 6]! | (bytes[at + 7]! << 8);
  header.checksumOffset = bytes[at + 8]! | (bytes[at + 9]! << 8);
}

/** Writes the 10 octets at `at`. */
export function writeVirtioHeader(bytes: Uint8Array, at: number, header: VirtioHeader): void {
  bytes[at] = header.flags;
  bytes[at + 1] = header.gsoType;
  bytes[at + 2] = header.headerLength;
  bytes[at + 3] = header.headerLength >>> 8;
  bytes[at + 4] = header.gsoSize;
  bytes[at + 5] = header.gsoSize >>> 8;
  bytes[at + 6] = header.checksumStart;
  bytes[at + 7] = header.checksumStart >>> 8;
  bytes[at + 8] = header.checksumOffset;
  bytes[at + 9] = header.checksumOffset >>> 8;
}

/** Writes the header of a plain packet at `at`: ten zeros. */
export function clearVirtioHeader(bytes: Uint8Array, at: number): void {
  for (let i = 0; i < VIRTIO_HEADER_LENGTH; i++) bytes[at + i] = 0;
}

/**
 * Whether the checksum field that `header` speaks of lies within a packet of `packetLength` octets. The kernel
 * asks the same (net/core/skbuff.c, skb_partial_csum_set).
 */
export function checksumFieldWithin(header: VirtioHeader, packetLength: number): boolean {
  return header.checksumStart + header.checksumOffset + 2 <= packetLength;
}
