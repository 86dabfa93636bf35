import type { CryptoBackend } from '../../src/crypto/types.js';
import { createToyBackend } from './toy-crypto.js';

/**
 * The toy backend, with a hand in what is encrypted: a peer that says under its own keys what Culvert would never
 * say. `rewrite` changes the plaintext of a message in place, before it is sealed.
 */
export function rewritingBackend(rewrite: (plaintext: Uint8Array) => void): CryptoBackend {
  const toy = createToyBackend();
  const changed = (plaintext: Uint8Array): Uint8Array => {
    const copy = Uint8Array.from(plaintext);
    rewrite(copy);
    return copy;
  };
  return {
    name: 'rewriting',
    supports: (need) => toy.supports(need),
    hash: (name, ...chunks) => toy.hash(name, ...chunks),
    prf: (id) => toy.prf(id),
    integrity: (id) => toy.integrity(id),
    dh: (id) => toy.dh(id),
    keyExchange: (id) => toy.keyExchange(id),
    cipher: (id, keyBits) => {
      const cipher = toy.cipher(id, keyBits);
      return cipher.aead
        ? {
            ...cipher,
            seal: (key, nonce, aad, plaintext) => cipher.seal(key, nonce, aad, changed(plaintext)),
          }
        : { ...cipher, encrypt: (key, iv, plaintext) => cipher.encrypt(key, iv, changed(plaintext)) };
    },
  };
}
