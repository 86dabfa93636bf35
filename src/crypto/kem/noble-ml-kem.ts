import { Dh, nameOf } from '../../wire/ike/registry.js';
import type { KemArithmetic } from './method.js';
import type { MlKemSet } from './ml-kem-sets.js';

/** What `@noble/post-quantum/ml-kem.js` exports. */
export type NobleMlKem = typeof import('@noble/post-quantum/ml-kem.js');

const NAMES: ReadonlyMap<number, 'ml_kem512' | 'ml_kem768' | 'ml_kem1024'> = new Map([
  [Dh.ML_KEM_512, 'ml_kem512'],
  [Dh.ML_KEM_768, 'ml_kem768'],
  [Dh.ML_KEM_1024, 'ml_kem1024'],
]);

/**
 * ML-KEM by @noble/post-quantum (FIPS 203). `library` is called when there is something to compute.
 * @throws RangeError for a set that it does not have
 */
export function nobleMlKem(set: MlKemSet, library: () => NobleMlKem): KemArithmetic {
  const name = NAMES.get(set.id);
  if (name === undefined) throw new RangeError(`there is no ${nameOf('dh', set.id)} in @noble/post-quantum`);
  return {
    set,
    keyPair: (seed) => {
      const { publicKey, secretKey } = library()[name].keygen(seed);
      return { encapsulationKey: publicKey, decapsulationKey: secretKey };
    },
    encapsulate: (key, message) => {
      const { cipherText, sharedSecret } = library()[name].encapsulate(key, message);
      return { ciphertext: cipherText, shared: sharedSecret };
    },
    decapsulate: (ciphertext, key) => library()[name].decapsulate(ciphertext, key),
  };
}
