import { assembleBackend, type HashFunctions } from '../../src/crypto/backends/assemble.js';
import { aeadCipher, cbcCipher } from '../../src/crypto/backends/shape.js';
import { type DhArithmetic, dhGroup } from '../../src/crypto/dh/exchange.js';
import { type KemArithmetic, kemMethod } from '../../src/crypto/kem/method.js';
import { ML_KEM_SETS, type MlKemSet } from '../../src/crypto/kem/ml-kem-sets.js';
import { DH_TRANSFORMS, ENCRYPTION_TRANSFORMS, HASH_LENGTHS } from '../../src/crypto/transforms.js';
import type { CryptoBackend, HashName } from '../../src/crypto/types.js';

/**
 * A backend that keeps the shapes and lengths of the real algorithms and none of their strength: thousands of
 * handshakes a second for the simulations. What differs still gives different results: a wrong key, nonce,
 * message or public value is noticed.
 */
export function createToyBackend(): CryptoBackend {
  const hashes = new Map<HashName, HashFunctions>();
  for (const name of Object.keys(HASH_LENGTHS) as HashName[]) {
    const { digest } = HASH_LENGTHS[name];
    hashes.set(name, {
      hash: (chunks) => mix(digest, 1, chunks),
      hmac: (key, chunks) => mix(digest, 2, [key, ...chunks]),
    });
  }
  const ciphers = ENCRYPTION_TRANSFORMS.map((transform) => ({
    keyBits: transform.keyBits,
    cipher: transform.aead
      ? aeadCipher(transform, {
          seal: (key, nonce, aad, plaintext) => {
            const out = new Uint8Array(plaintext.length + transform.icvLength);
            out.set(xor(key, nonce, plaintext));
            out.set(mix(transform.icvLength, 3, [key, nonce, aad, plaintext]), plaintext.length);
            return out;
          },
          open: (key, nonce, aad, sealed) => {
            const end = sealed.length - transform.icvLength;
            const plaintext = xor(key, nonce, sealed.subarray(0, end));
            const icv = mix(transform.icvLength, 3, [key, nonce, aad, plaintext]);
            return icv.every((octet, i) => octet === sealed[end + i]) ? plaintext : undefined;
          },
        })
      : cbcCipher(transform, xor, xor),
  }));
  return assembleBackend('toy', {
    hashes,
    ciphers,
    groups: DH_TRANSFORMS.map((x) => dhGroup(toyDh(x))),
    kems: ML_KEM_SETS.map(toyKem).map(kemMethod),
  });
}

/** A hash that is quick and mixes every octet in; chunk borders do not matter. */
function mix(length: number, domain: number, chunks: readonly Uint8Array[]): Uint8Array {
  let h1 = 0xdeadbeef ^ domain;
  let h2 = 0x41c6ce57 ^ length;
  for (const chunk of chunks) {
    for (let i = 0; i < chunk.length; i++) {
      const octet = chunk[i]!;
      h1 = Math.imul(h1 ^ octet, 0x9e3779b1);
      h2 = Math.imul(h2 ^ octet, 0x5f356495);
    }
  }
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i += 4) {
    h1 = Math.imul(h1 ^ (h2 >>> 13) ^ i, 0x85ebca6b) ^ (h1 >>> 15);
    h2 = Math.imul(h2 ^ (h1 >>> 16), 0xc2b2ae35) ^ (h2 >>> 13);
    const word = h1 ^ h2;
    for (let j = 0; j < 4 && i + j < length; j++) out[i + j] = word >>> (8 * j);
  }
  return out;
}

function xor(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array {
  const stream = mix(data.length, 4, [key, iv]);
  return data.map((octet, i) => octet ^ stream[i]!);
}

/** 2^26 - 5: products of two residues are exact numbers. */
const PRIME = 67_108_859;

function power(base: number, exponent: number): number {
  let result = 1;
  let factor = base % PRIME;
  for (let e = exponent; e > 0; e = Math.floor(e / 2)) {
    if (e % 2 === 1) result = (result * factor) % PRIME;
    factor = (factor * factor) % PRIME;
  }
  return result;
}

/** A number as the last four octets of a value, and back. */
function write(value: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let i = 0; i < 4; i++) out[length - 1 - i] = value >>> (8 * i);
  return out;
}

function read(bytes: Uint8Array): number {
  return bytes.subarray(-4).reduce((value, octet) => value * 256 + octet, 0);
}

/** Exponentiation in a field of 26 bits, in arrays of the real group's size. */
function toyDh(group: { id: number; publicLength: number; sharedLength: number }): DhArithmetic {
  return {
    id: group.id,
    publicLength: group.publicLength,
    sharedLength: group.sharedLength,
    draw: (random) => {
      const bytes = random.bytes(4);
      bytes[0]! &= 0x03;
      bytes[3]! |= 1;
      return bytes;
    },
    check: (peerPublic) => {
      const value = read(peerPublic);
      if (peerPublic.length === group.publicLength && value > 1 && value < PRIME - 1) return undefined;
      return { code: 'out_of_range', message: `public value ${value}` };
    },
    begin: (privateValue) => ({
      publicValue: write(power(2, read(privateValue)), group.publicLength),
      combine: (peerPublic) => write(power(read(peerPublic), read(privateValue)), group.sharedLength),
    }),
  };
}

/** The same field behind the form of a key encapsulation mechanism: values are the last four octets. */
function toyKem(set: MlKemSet): KemArithmetic {
  const secret = (bytes: Uint8Array): number => 2 + (read(bytes) % (PRIME - 3));
  return {
    set,
    keyPair: (seed) => ({
      encapsulationKey: write(power(2, secret(seed)), set.encapsulationKeyLength),
      decapsulationKey: seed.slice(),
    }),
    encapsulate: (key, message) => ({
      ciphertext: write(power(2, secret(message)), set.ciphertextLength),
      shared: mix(32, 5, [write(power(read(key), secret(message)), 4)]),
    }),
    decapsulate: (ciphertext, key) => mix(32, 5, [write(power(read(ciphertext), secret(key)), 4)]),
  };
}
