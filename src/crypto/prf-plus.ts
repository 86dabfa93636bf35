import type { PrfFunction } from './types.js';

/** RFC 7296 §2.13: the counter that ends each block is one octet and starts at 1. */
export const MAX_PRF_PLUS_BLOCKS = 255;

/**
 * prf+ of RFC 7296 §2.13: the first `length` octets of T1 | T2 | ..., where T1 = prf(K, S | 0x01) and
 * Tn = prf(K, Tn-1 | S | n). The caller owns the result; nothing else of the stream is left in memory.
 * @throws RangeError when more than 255 blocks would be needed
 */
export function prfPlus(
  prf: PrfFunction,
  key: Uint8Array,
  seed: readonly Uint8Array[],
  length: number,
): Uint8Array {
  if (!Number.isInteger(length) || length < 0 || length > MAX_PRF_PLUS_BLOCKS * prf.outputLength) {
    throw new RangeError(
      `prf+ gives 0 to ${MAX_PRF_PLUS_BLOCKS * prf.outputLength} octets with this PRF, not ${length} (RFC 7296 section 2.13)`,
    );
  }
  const out = new Uint8Array(length);
  const counter = new Uint8Array(1);
  let previous: Uint8Array = new Uint8Array(0);
  for (let at = 0, n = 1; at < length; at += prf.outputLength, n++) {
    counter[0] = n;
    const block = prf.compute(key, previous, ...seed, counter);
    out.set(block.subarray(0, length - at), at);
    previous.fill(0);
    previous = block;
  }
  previous.fill(0);
  return out;
}
