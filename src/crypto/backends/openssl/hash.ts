import { createHash, createHmac } from 'node:crypto';
import type { HashName } from '../../types.js';
import type { HashFunctions } from '../assemble.js';
import { plain } from './plain.js';

/** One hash of OpenSSL, alone and as HMAC. */
export function opensslHash(name: HashName): HashFunctions {
  return {
    hash: (chunks) => {
      const hash = createHash(name);
      for (const chunk of chunks) hash.update(chunk);
      return plain(hash.digest());
    },
    hmac: (key, chunks) => {
      const hmac = createHmac(name, key);
      for (const chunk of chunks) hmac.update(chunk);
      return plain(hmac.digest());
    },
  };
}
