import type { Random } from '../../util/random.js';
import { err, ok, type Result } from '../../util/result.js';
import { SecretKey } from '../../util/secret.js';
import { nameOf } from '../../wire/ike/registry.js';
import { refusedByLibrary } from '../dh/checks.js';
import { type DhArithmetic, startExchange } from '../dh/exchange.js';
import { take } from '../dh/private-value.js';
import type { DhError, KeyExchangeAnswer, KeyExchangeMethod } from '../types.js';
import { MESSAGE_LENGTH, type MlKemSet, SEED_LENGTH, SHARED_LENGTH } from './ml-kem-sets.js';

/** What a backend knows about one key encapsulation mechanism. All it is given has the right length. */
export interface KemArithmetic {
  readonly set: MlKemSet;
  /** The key pair of a seed, the `d | z` of FIPS 203 §7.1. The decapsulation key is the caller's to wipe. */
  keyPair(seed: Uint8Array): {
    readonly encapsulationKey: Uint8Array;
    readonly decapsulationKey: Uint8Array;
  };
  /** With the `m` of FIPS 203 §7.2. Throws for a key that the library refuses. */
  encapsulate(
    encapsulationKey: Uint8Array,
    message: Uint8Array,
  ): { readonly ciphertext: Uint8Array; readonly shared: Uint8Array };
  /** A ciphertext that was tampered with gives another secret, and no error (implicit rejection, FIPS 203 §6.3). */
  decapsulate(ciphertext: Uint8Array, decapsulationKey: Uint8Array): Uint8Array;
}

/** A mechanism as a key exchange method: the end that begins sends its key, the other one the ciphertext. */
export function kemMethod(arithmetic: KemArithmetic): KeyExchangeMethod {
  const { id, encapsulationKeyLength, ciphertextLength } = arithmetic.set;
  const half = halfOf(arithmetic);
  return {
    id,
    requestLength: encapsulationKeyLength,
    answerLength: ciphertextLength,
    sharedLength: SHARED_LENGTH,
    begin: (random) => startExchange(half, half.draw(random)),
    answer: (random, request) => answer(arithmetic, random, request),
    restore: (seed) => startExchange(half, Uint8Array.from(seed.expose())),
  };
}

/** The part of the end that begins; its private value is the seed, which makes both keys again anywhere. */
function halfOf(arithmetic: KemArithmetic): DhArithmetic {
  const { id, encapsulationKeyLength, ciphertextLength } = arithmetic.set;
  return {
    id,
    publicLength: encapsulationKeyLength,
    sharedLength: SHARED_LENGTH,
    draw: (random) => take(random, SEED_LENGTH),
    check: (ciphertext) => checkLength(id, 'ciphertext', ciphertext, ciphertextLength),
    begin: (seed) => {
      const { encapsulationKey, decapsulationKey } = arithmetic.keyPair(seed);
      return {
        publicValue: encapsulationKey,
        combine: (ciphertext) => arithmetic.decapsulate(ciphertext, decapsulationKey),
        wipe: () => void decapsulationKey.fill(0),
      };
    },
  };
}

/** The checks of FIPS 203 §7.2 on the peer's key, and encapsulation to it. */
function answer(
  arithmetic: KemArithmetic,
  random: Random,
  key: Uint8Array,
): Result<KeyExchangeAnswer, DhError> {
  const { id, encapsulationKeyLength } = arithmetic.set;
  const refusal =
    checkLength(id, 'encapsulation key', key, encapsulationKeyLength) ?? checkModulus(arithmetic.set, key);
  if (refusal !== undefined) return err(refusal);
  const message = take(random, MESSAGE_LENGTH);
  try {
    const { ciphertext, shared } = arithmetic.encapsulate(key, message);
    return ok({ publicValue: ciphertext, shared: new SecretKey(shared) });
  } catch (error) {
    return err(refusedByLibrary(id, error));
  } finally {
    message.fill(0);
  }
}

/** The modulus of ML-KEM (FIPS 203 §2.4). */
const Q = 3329;
/** Octets of the seed of the matrix, at the end of an encapsulation key. */
const RHO_LENGTH = 32;

/**
 * The modulus check of FIPS 203 §7.2: the key decodes to numbers of twelve bits, and all of them have to be below q.
 * Else it has a second encoding, in which the two ends would not see the same key.
 */
function checkModulus({ id, encapsulationKeyLength }: MlKemSet, key: Uint8Array): DhError | undefined {
  for (let at = 0; at < encapsulationKeyLength - RHO_LENGTH; at += 3) {
    const [low, middle, high] = [key[at]!, key[at + 1]!, key[at + 2]!];
    const first = low | ((middle & 0x0f) << 8);
    const second = (middle >>> 4) | (high << 4);
    if (first < Q && second < Q) continue;
    return {
      code: 'out_of_modulus',
      message: `the peer's encapsulation key for ${nameOf('dh', id)} has a coefficient that is not below ${Q} (FIPS 203 section 7.2)`,
    };
  }
  return undefined;
}

function checkLength(id: number, what: string, value: Uint8Array, length: number): DhError | undefined {
  if (value.length === length) return undefined;
  return {
    code: 'bad_length',
    message: `the peer's ${what} for ${nameOf('dh', id)} has ${value.length} octets, not ${length}`,
  };
}
