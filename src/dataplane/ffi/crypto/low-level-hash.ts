import { HASH_LENGTHS } from '../../../crypto/transforms.js';
import type { HashName } from '../../../crypto/types.js';
import { type NativeFunction, openLibrary } from '../../../linux/ffi.js';

/**
 * Hash functions on a state in memory of our own (SHA256_Update(3) and the like). HMAC over them copies a
 * keyed state of some 100 octets for a packet, where EVP and HMAC_CTX allocate and free contexts: half a
 * microsecond less. Init and update answer 1.
 */
export interface HashCalls {
  init(state: number): number;
  /** (state, data, length) */
  readonly update: NativeFunction;
  /** (digest, state): writes the digest and wipes the state. */
  readonly final: NativeFunction;
}

/** Octets that no state exceeds: SHA512_CTX has 216. */
export const HASH_STATE = 224;

const P = 'uintptr_t';

/** Names in C. SHA-384 is SHA-512 with another start, and the state knows the length. */
const FAMILY: Readonly<Record<HashName, readonly [init: string, rest: string]>> = {
  md5: ['MD5_Init', 'MD5'],
  sha1: ['SHA1_Init', 'SHA1'],
  sha256: ['SHA256_Init', 'SHA256'],
  sha384: ['SHA384_Init', 'SHA512'],
  sha512: ['SHA512_Init', 'SHA512'],
};

/** The functions of each hash that the library at `path` exports; null is the Node binary. */
export function loadHashes(path: string | null): ReadonlyMap<HashName, HashCalls> {
  const found = new Map<HashName, HashCalls>();
  const library = openLibrary(path);
  for (const hash of Object.keys(HASH_LENGTHS) as HashName[]) {
    const [init, rest] = FAMILY[hash];
    if (![init, `${rest}_Update`, `${rest}_Final`].every((name) => library.has(name))) continue;
    found.set(hash, {
      init: library.bind(init, 'int', [P]),
      update: library.native(`${rest}_Update`, 'int', [P, P, 'size_t']),
      final: library.native(`${rest}_Final`, 'int', [P, P]),
    });
  }
  return found;
}
