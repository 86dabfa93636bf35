import { nameOf } from '../../wire/ike/registry.js';
import { equalConstantTime } from '../compare.js';
import { groupMethod } from '../dh/exchange.js';
import {
  INTEGRITY_TRANSFORMS,
  type IntegrityTransform,
  PRF_TRANSFORMS,
  type PrfTransform,
} from '../transforms.js';
import type {
  Cipher,
  CryptoBackend,
  DhGroup,
  HashName,
  IntegrityFunction,
  KeyExchangeMethod,
  PrfFunction,
  TransformNeed,
} from '../types.js';

/** A hash of one implementation, alone and as HMAC (RFC 2104), over the chunks one after the other. */
export interface HashFunctions {
  hash(chunks: readonly Uint8Array[]): Uint8Array;
  /** The whole digest, in an array of its own. */
  hmac(key: Uint8Array, chunks: readonly Uint8Array[]): Uint8Array;
}

/** What one implementation has. What it lacks is left out. */
export interface BackendParts {
  readonly hashes: ReadonlyMap<HashName, HashFunctions>;
  readonly ciphers: readonly { readonly keyBits: number; readonly cipher: Cipher }[];
  readonly groups: readonly DhGroup[];
  /** Key exchange methods that are no groups. */
  readonly kems: readonly KeyExchangeMethod[];
}

/** A backend of these parts: lookups by transform number, and PRFs and MACs over the hashes. */
export function assembleBackend(name: string, parts: BackendParts): CryptoBackend {
  return new AssembledBackend(name, parts);
}

class AssembledBackend implements CryptoBackend {
  readonly name: string;
  readonly #hashes: ReadonlyMap<HashName, HashFunctions>;
  readonly #prfs = new Map<number, PrfFunction>();
  readonly #macs = new Map<number, IntegrityFunction>();
  readonly #ciphers = new Map<string, Cipher>();
  readonly #groups = new Map<number, DhGroup>();
  readonly #methods = new Map<number, KeyExchangeMethod>();

  constructor(name: string, parts: BackendParts) {
    this.name = name;
    this.#hashes = parts.hashes;
    for (const transform of PRF_TRANSFORMS) {
      const functions = parts.hashes.get(transform.hash);
      if (functions !== undefined) this.#prfs.set(transform.id, hmacPrf(transform, functions));
    }
    for (const transform of INTEGRITY_TRANSFORMS) {
      const functions = parts.hashes.get(transform.hash);
      if (functions !== undefined) this.#macs.set(transform.id, hmacIntegrity(transform, functions));
    }
    for (const { keyBits, cipher } of parts.ciphers) this.#ciphers.set(`${cipher.id}/${keyBits}`, cipher);
    for (const group of parts.groups) {
      this.#groups.set(group.id, group);
      this.#methods.set(group.id, groupMethod(group));
    }
    for (const kem of parts.kems) this.#methods.set(kem.id, kem);
  }

  supports(need: TransformNeed): boolean {
    switch (need.kind) {
      case 'encryption':
        return this.#ciphers.has(`${need.id}/${need.keyBits}`);
      case 'integrity':
        return this.#macs.has(need.id);
      case 'prf':
        return this.#prfs.has(need.id);
      case 'dh':
        return this.#groups.has(need.id);
      case 'key_exchange':
        return this.#methods.has(need.id);
    }
  }

  hash(name: HashName, ...chunks: readonly Uint8Array[]): Uint8Array {
    return this.#have(this.#hashes.get(name), `hash ${name}`).hash(chunks);
  }

  prf(id: number): PrfFunction {
    return this.#have(this.#prfs.get(id), `PRF ${nameOf('prf', id)}`);
  }

  integrity(id: number): IntegrityFunction {
    return this.#have(this.#macs.get(id), `integrity algorithm ${nameOf('integ', id)}`);
  }

  cipher(id: number, keyBits: number): Cipher {
    return this.#have(
      this.#ciphers.get(`${id}/${keyBits}`),
      `cipher ${nameOf('encr', id)} with ${keyBits} key bits`,
    );
  }

  dh(id: number): DhGroup {
    return this.#have(this.#groups.get(id), `DH group ${nameOf('dh', id)}`);
  }

  keyExchange(id: number): KeyExchangeMethod {
    return this.#have(this.#methods.get(id), `key exchange method ${nameOf('dh', id)}`);
  }

  #have<T>(found: T | undefined, what: string): T {
    if (found !== undefined) return found;
    throw new RangeError(`the crypto backend "${this.name}" has no ${what}: ask supports() first`);
  }
}

function hmacPrf(transform: PrfTransform, functions: HashFunctions): PrfFunction {
  return {
    id: transform.id,
    keyLength: transform.keyLength,
    outputLength: transform.outputLength,
    compute: (key, ...chunks) => functions.hmac(key, chunks),
  };
}

function hmacIntegrity(transform: IntegrityTransform, functions: HashFunctions): IntegrityFunction {
  const { id, keyLength, icvLength } = transform;
  const compute = (key: Uint8Array, chunks: readonly Uint8Array[]): Uint8Array => {
    // RFC 2403 §3, RFC 2404 §3 and RFC 4868 §2.1.1 fix the length of the key.
    if (key.length !== keyLength) {
      throw new RangeError(`${nameOf('integ', id)} takes a key of ${keyLength} octets, not ${key.length}`);
    }
    return functions.hmac(key, chunks).slice(0, icvLength);
  };
  return {
    id,
    keyLength,
    icvLength,
    compute: (key, ...chunks) => compute(key, chunks),
    verify: (key, icv, ...chunks) => equalConstantTime(compute(key, chunks), icv),
  };
}
