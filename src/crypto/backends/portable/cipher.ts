import { cbc, gcm } from '@noble/ciphers/aes.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { Encr } from '../../../wire/ike/registry.js';
import type { EncryptionTransform } from '../../transforms.js';
import type { Cipher } from '../../types.js';
import { aeadCipher, cbcCipher } from '../shape.js';

/** One cipher of @noble/ciphers; undefined for what it lacks, that is 3DES. */
export function portableCipher(transform: EncryptionTransform): Cipher | undefined {
  switch (transform.id) {
    case Encr.AES_CBC:
      return cbcCipher(
        transform,
        (key, iv, plaintext) => cbc(key, iv, { disablePadding: true }).encrypt(plaintext),
        (key, iv, ciphertext) => cbc(key, iv, { disablePadding: true }).decrypt(ciphertext),
      );
    case Encr.AES_GCM_16:
      return portableAead(transform, gcm);
    case Encr.CHACHA20_POLY1305:
      return portableAead(transform, chacha20poly1305);
    default:
      return undefined;
  }
}

type NobleAead = (
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
) => { encrypt(plaintext: Uint8Array): Uint8Array; decrypt(sealed: Uint8Array): Uint8Array };

function portableAead(transform: EncryptionTransform, algorithm: NobleAead): Cipher {
  return aeadCipher(transform, {
    seal: (key, nonce, aad, plaintext) => algorithm(key, nonce, aad).encrypt(plaintext),
    open: (key, nonce, aad, sealed) => {
      try {
        return algorithm(key, nonce, aad).decrypt(sealed);
      } catch {
        // All lengths were checked before, so the one cause left is a tag that does not verify.
        return undefined;
      }
    },
  });
}
