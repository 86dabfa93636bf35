import * as library from '@noble/post-quantum/ml-kem.js';
import type { KemArithmetic } from '../../kem/method.js';
import type { MlKemSet } from '../../kem/ml-kem-sets.js';
import { nobleMlKem } from '../../kem/noble-ml-kem.js';

/** ML-KEM by @noble/post-quantum. */
export function portableMlKem(set: MlKemSet): KemArithmetic {
  return nobleMlKem(set, () => library);
}
