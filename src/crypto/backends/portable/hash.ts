import { hmac } from '@noble/hashes/hmac.js';
import { md5, sha1 } from '@noble/hashes/legacy.js';
import { sha256, sha384, sha512 } from '@noble/hashes/sha2.js';
import type { HashName } from '../../types.js';
import type { HashFunctions } from '../assemble.js';

const HASHES = { md5, sha1, sha256, sha384, sha512 } as const;

/** One hash of @noble/hashes, alone and as HMAC. */
export function portableHash(name: HashName): HashFunctions {
  const algorithm = HASHES[name];
  return {
    hash: (chunks) => {
      const hash = algorithm.create();
      for (const chunk of chunks) hash.update(chunk);
      return hash.digest();
    },
    hmac: (key, chunks) => {
      const mac = hmac.create(algorithm, key);
      for (const chunk of chunks) mac.update(chunk);
      return mac.digest();
    },
  };
}
