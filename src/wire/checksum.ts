/**
 * The Internet checksum (RFC 1071). Sums are kept unfolded so that several runs of octets can be added one
 * after the other; a sum of one packet stays far below 2^53.
 */

/**
 * Adds the octets as big-endian 16-bit words to `sum`. An odd last octet counts as the upper half of a word,
 * so only the last part of a packet may have odd length.
 */
export function addToChecksum(sum: number, bytes: Uint8Array, offset: number, length: number): number {
  const even = offset + (length & ~1);
  let part = 0;
  // At most 65,535 octets per packet: 32,767 words of 16 bits stay below 2^31, a small integer to the engine.
  for (let i = offset; i < even; i += 2) part += (bytes[i]! << 8) | bytes[i + 1]!;
  if ((length & 1) !== 0) part += bytes[even]! << 8;
  return sum + part;
}

/** Folds the carries into 16 bits and complements: the value for the packet's field. */
export function finishChecksum(sum: number): number {
  let folded = (sum % 0x10000) + Math.floor(sum / 0x10000);
  folded = (folded & 0xffff) + (folded >>> 16);
  folded = (folded & 0xffff) + (folded >>> 16);
  return ~folded & 0xffff;
}

/** The checksum over one run of octets. Over data that contains a correct checksum the result is 0. */
export function checksum(bytes: Uint8Array, offset: number, length: number): number {
  return finishChecksum(addToChecksum(0, bytes, offset, length));
}
