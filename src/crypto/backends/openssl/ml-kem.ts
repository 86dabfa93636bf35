import * as crypto from 'node:crypto';
import { createRequire } from 'node:module';
import { concat, fromHex } from '../../../util/bytes.js';
import { Dh } from '../../../wire/ike/registry.js';
import type { KemArithmetic } from '../../kem/method.js';
import type { MlKemSet } from '../../kem/ml-kem-sets.js';
import { type NobleMlKem, nobleMlKem } from '../../kem/noble-ml-kem.js';
import { plain } from './plain.js';

/** Last octet of the object identifier of each set, 2.16.840.1.101.3.4.4.n (RFC 9935 §3). */
const ARCS: ReadonlyMap<number, string> = new Map([
  [Dh.ML_KEM_512, '01'],
  [Dh.ML_KEM_768, '02'],
  [Dh.ML_KEM_1024, '03'],
]);

/** What node:crypto has from Node 24.7 on, over OpenSSL 3.5. */
interface Decapsulating {
  readonly decapsulate?: (key: crypto.KeyObject, ciphertext: Uint8Array) => Buffer;
}

/**
 * Key pairs and decapsulation of ML-KEM by OpenSSL: the part that works with a private key. Encapsulation takes its
 * randomness from OpenSSL alone there, and here it has to come from the caller. Undefined where Node has none.
 */
export function opensslMlKem({
  id,
  encapsulationKeyLength,
}: MlKemSet): Pick<KemArithmetic, 'keyPair' | 'decapsulate'> | undefined {
  const { decapsulate } = crypto as Decapsulating;
  const arc = ARCS.get(id);
  if (decapsulate === undefined || arc === undefined) return undefined;
  // PrivateKeyInfo with the seed (RFC 9935 §6): version, algorithm, and [0] of 64 octets in an OCTET STRING.
  const prefix = fromHex(`3054020100300b06096086480165030404${arc}04428040`);
  const keyOf = (seed: Uint8Array): crypto.KeyObject => {
    const der = concat(prefix, seed);
    try {
      return crypto.createPrivateKey({ key: Buffer.from(der.buffer), format: 'der', type: 'pkcs8' });
    } finally {
      der.fill(0);
    }
  };
  return {
    keyPair: (seed) => {
      const spki = crypto.createPublicKey(keyOf(seed)).export({ format: 'der', type: 'spki' });
      // The key is the end of the BIT STRING, which is the end of the structure.
      const encapsulationKey = Uint8Array.from(spki.subarray(spki.length - encapsulationKeyLength));
      return { encapsulationKey, decapsulationKey: seed.slice() };
    },
    decapsulate: (ciphertext, seed) => plain(decapsulate(keyOf(seed), ciphertext)),
  };
}

const load = createRequire(import.meta.url);
let library: NobleMlKem | undefined;

/**
 * ML-KEM by @noble/post-quantum, which is loaded for the first exchange: that takes tens of milliseconds, which a gateway
 * without such exchanges, or one that starts again, does not spend.
 */
export function lazyMlKem(set: MlKemSet): KemArithmetic {
  return nobleMlKem(set, () => {
    library ??= load('@noble/post-quantum/ml-kem.js') as NobleMlKem;
    return library;
  });
}
