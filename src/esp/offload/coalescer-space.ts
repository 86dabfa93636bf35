/*
 * How a coalescer's memory is laid out: room for one saved header, then one slot per item. A packet in its slot has the
 * virtio-net header right before it.
 */

/** The longest packet, merged or not: what a 16-bit length can say. */
export const MAX_LENGTH = 0xffff;

/** Octets a packet may have after its own end while it is being decrypted: padding, trailer, ICV. */
export const TRAILER_ROOM = 512;

/** Where an item's packet begins in its slot: after the virtio-net header, aligned for the IP header. */
export const PACKET_OFFSET = 16;

/**
 * Distance of the slots: a multiple of a cache line but not of a page, else the headers of all items compete
 * for the same lines of the cache.
 */
export const SLOT = ((PACKET_OFFSET + MAX_LENGTH + TRAILER_ROOM + 63) & ~63) + 1408;

/** Room for the longest header that is ever overlapped: IPv6 and TCP with all options. */
export const SAVED_SPACE = 128;

/** Octets of memory that a coalescer of `items` items needs. */
export function coalescerSpace(items: number): number {
  return SAVED_SPACE + items * SLOT;
}
