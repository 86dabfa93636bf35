import type { EncryptionTransform } from '../transforms.js';
import type { AeadCipher, CbcCipher } from '../types.js';

/** CBC of one implementation, called with lengths already checked and at least one block. */
export type RawCbc = (key: Uint8Array, iv: Uint8Array, data: Uint8Array) => Uint8Array;

/** A CBC cipher that checks lengths before it calls the implementation. */
export function cbcCipher(transform: EncryptionTransform, encrypt: RawCbc, decrypt: RawCbc): CbcCipher {
  const { id, keyLength, ivLength, blockLength } = transform;
  const checked = (raw: RawCbc, what: string): RawCbc => {
    return (key, iv, data) => {
      expectLength('key', key, keyLength);
      expectLength('IV', iv, ivLength);
      if (data.length % blockLength !== 0) {
        throw new RangeError(
          `the ${what} has ${data.length} octets: CBC takes whole blocks of ${blockLength}`,
        );
      }
      return data.length === 0 ? new Uint8Array(0) : raw(key, iv, data);
    };
  };
  return {
    aead: false,
    id,
    keyLength,
    ivLength,
    blockLength,
    encrypt: checked(encrypt, 'plaintext'),
    decrypt: checked(decrypt, 'ciphertext'),
  };
}

/** An AEAD of one implementation, called with lengths already checked. `open` gives undefined for a bad tag. */
export interface RawAead {
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  open(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
}

/** An AEAD cipher that checks lengths before it calls the implementation. */
export function aeadCipher(transform: EncryptionTransform, raw: RawAead): AeadCipher {
  const { id, keyLength, saltLength, ivLength, icvLength } = transform;
  const nonceLength = saltLength + ivLength;
  return {
    aead: true,
    id,
    keyLength,
    saltLength,
    ivLength,
    icvLength,
    seal: (key, nonce, aad, plaintext) => {
      expectLength('key', key, keyLength);
      expectLength('nonce', nonce, nonceLength);
      return raw.seal(key, nonce, aad, plaintext);
    },
    open: (key, nonce, aad, sealed) => {
      expectLength('key', key, keyLength);
      expectLength('nonce', nonce, nonceLength);
      return sealed.length < icvLength ? undefined : raw.open(key, nonce, aad, sealed);
    },
  };
}

function expectLength(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length === length) return;
  throw new RangeError(`the ${what} has ${bytes.length} octets: this cipher takes ${length}`);
}
