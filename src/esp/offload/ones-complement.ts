/**
 * Arithmetic of the Internet checksum (RFC 1071) in 32-bit integers. A sum here is a number below 2^31 that
 * is congruent to the big-endian one's complement sum; sums of parts are added by `+`.
 */

/** Folds the carries of a sum into 16 bits. */
export function foldSum(sum: number): number {
  const once = (sum & 0xffff) + (sum >>> 16);
  return (once & 0xffff) + (once >>> 16);
}

/** The checksum for the packet's field: folded and complemented. */
export function checksumOf(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}

/** The same for UDP, where zero would mean "no checksum" (RFC 768; RFC 8200 §8.1 forbids zero). */
export function udpChecksumOf(sum: number): number {
  const value = ~foldSum(sum) & 0xffff;
  return value === 0 ? 0xffff : value;
}

/**
 * The checksum after one covered 16-bit word changed: HC' = ~(~HC + ~m + m') (RFC 1624 §3, equation 3).
 * A word at an odd offset of the covered octets counts with its halves swapped: see `swapHalves`.
 */
export function updateChecksum(checksum: number, oldWord: number, newWord: number): number {
  return checksumOf((~checksum & 0xffff) + (~oldWord & 0xffff) + newWord);
}

/** The two octets of a 16-bit word in reverse order. */
export function swapHalves(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}
