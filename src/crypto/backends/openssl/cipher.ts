import { type CipherGCMTypes, createCipheriv, createDecipheriv } from 'node:crypto';
import { concat } from '../../../util/bytes.js';
import { Encr } from '../../../wire/ike/registry.js';
import type { EncryptionTransform } from '../../transforms.js';
import type { Cipher } from '../../types.js';
import { aeadCipher, cbcCipher } from '../shape.js';
import { plain } from './plain.js';

/** OpenSSL's name of a cipher; undefined for what has none here. */
export function opensslCipherName(transform: EncryptionTransform): string | undefined {
  switch (transform.id) {
    case Encr.AES_CBC:
      return `aes-${transform.keyBits}-cbc`;
    case Encr.TRIPLE_DES:
      return 'des-ede3-cbc';
    case Encr.AES_GCM_16:
      return `aes-${transform.keyBits}-gcm`;
    case Encr.CHACHA20_POLY1305:
      return 'chacha20-poly1305';
    default:
      return undefined;
  }
}

/** One cipher of OpenSSL by its name. */
export function opensslCipher(transform: EncryptionTransform, name: string): Cipher {
  return transform.aead ? opensslAead(transform, name) : opensslCbc(transform, name);
}

function opensslCbc(transform: EncryptionTransform, name: string): Cipher {
  return cbcCipher(
    transform,
    (key, iv, plaintext) => {
      const cipher = createCipheriv(name, key, iv).setAutoPadding(false);
      return joined(cipher.update(plaintext), cipher.final());
    },
    (key, iv, ciphertext) => {
      const decipher = createDecipheriv(name, key, iv).setAutoPadding(false);
      return joined(decipher.update(ciphertext), decipher.final());
    },
  );
}

function opensslAead(transform: EncryptionTransform, name: string): Cipher {
  // The types know the two families apart by literal names; the calls are the same for both.
  const algorithm = name as CipherGCMTypes;
  const options = { authTagLength: transform.icvLength };
  return aeadCipher(transform, {
    seal: (key, nonce, aad, plaintext) => {
      const cipher = createCipheriv(algorithm, key, nonce, options);
      cipher.setAAD(aad);
      const ciphertext = cipher.update(plaintext);
      const rest = cipher.final();
      return concat(ciphertext, rest, cipher.getAuthTag());
    },
    open: (key, nonce, aad, sealed) => {
      const tagAt = sealed.length - transform.icvLength;
      const decipher = createDecipheriv(algorithm, key, nonce, options);
      decipher.setAAD(aad);
      decipher.setAuthTag(sealed.subarray(tagAt));
      const plaintext = decipher.update(sealed.subarray(0, tagAt));
      try {
        return joined(plaintext, decipher.final());
      } catch {
        // Unauthenticated plaintext must not be left lying about (RFC 5116 §2.2).
        plaintext.fill(0);
        return undefined;
      }
    },
  });
}

function joined(main: Buffer, rest: Buffer): Uint8Array {
  return rest.length === 0 ? plain(main) : concat(main, rest);
}
