import { Dh } from '../../wire/ike/registry.js';

/** One parameter set of ML-KEM. Lengths in octets (FIPS 203 §8, table 3). */
export interface MlKemSet {
  /** Key exchange method (draft-ietf-ipsecme-ikev2-mlkem §2.1). */
  readonly id: number;
  readonly encapsulationKeyLength: number;
  readonly ciphertextLength: number;
  /** Bits of security against a search for an AES key of this length (FIPS 203 §8): for ordering, not for display. */
  readonly strength: number;
}

/** The parameter sets, the stronger first. */
export const ML_KEM_SETS: readonly MlKemSet[] = [
  { id: Dh.ML_KEM_1024, encapsulationKeyLength: 1568, ciphertextLength: 1568, strength: 256 },
  { id: Dh.ML_KEM_768, encapsulationKeyLength: 1184, ciphertextLength: 1088, strength: 192 },
  { id: Dh.ML_KEM_512, encapsulationKeyLength: 800, ciphertextLength: 768, strength: 128 },
];

/** Octets of d and z, of which key generation makes both keys (FIPS 203 §7.1). */
export const SEED_LENGTH = 64;
/** Octets of m, which encapsulation takes from its source of randomness (FIPS 203 §7.2). */
export const MESSAGE_LENGTH = 32;
/** Octets of the shared secret, in all sets. */
export const SHARED_LENGTH = 32;
