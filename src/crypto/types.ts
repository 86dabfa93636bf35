import type { Random } from '../util/random.js';
import type { Result } from '../util/result.js';
import type { SecretKey } from '../util/secret.js';

/** An encryption transform: IANA number (wire/ike/registry.ts `Encr`) and key length in bits (0 when fixed). */
export interface CipherId {
  readonly id: number;
  readonly keyBits: number;
}

/** What a negotiated IKE SA uses. `integrity` is 0 with an AEAD cipher. Numbers are IANA transform ids. */
export interface IkeSuite {
  readonly encryption: CipherId;
  readonly integrity: number;
  readonly prf: number;
  readonly dh: number;
  /** Additional key exchanges in the order in which they are made (RFC 9370 §2.2.1); absent where there are none. */
  readonly additional?: readonly number[];
}

/** What a negotiated child SA uses. `integrity` is 0 with an AEAD cipher; `dh` is 0 without PFS. */
export interface EspSuite {
  readonly encryption: CipherId;
  readonly integrity: number;
  readonly dh: number;
  readonly esn: boolean;
  /** As in `IkeSuite`. */
  readonly additional?: readonly number[];
}

/** Hash functions, as the backends name them. */
export type HashName = 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512';

/** A keyed pseudo-random function (RFC 7296 §2.13). Lengths in octets. */
export interface PrfFunction {
  readonly id: number;
  /** Preferred key length: that of SK_d and SK_p. */
  readonly keyLength: number;
  readonly outputLength: number;
  compute(key: Uint8Array, ...chunks: readonly Uint8Array[]): Uint8Array;
}

/** A MAC truncated to its ICV (RFC 2403, 2404, 4868). Lengths in octets. */
export interface IntegrityFunction {
  readonly id: number;
  readonly keyLength: number;
  readonly icvLength: number;
  compute(key: Uint8Array, ...chunks: readonly Uint8Array[]): Uint8Array;
  /** Recomputes and compares in constant time. */
  verify(key: Uint8Array, icv: Uint8Array, ...chunks: readonly Uint8Array[]): boolean;
}

/** A block cipher in CBC mode, without padding of its own. Lengths in octets. */
export interface CbcCipher {
  readonly aead: false;
  readonly id: number;
  readonly keyLength: number;
  readonly ivLength: number;
  readonly blockLength: number;
  /** `plaintext` is a whole number of blocks, else RangeError. The last ciphertext block is the next IV in IKEv1. */
  encrypt(key: Uint8Array, iv: Uint8Array, plaintext: Uint8Array): Uint8Array;
  decrypt(key: Uint8Array, iv: Uint8Array, ciphertext: Uint8Array): Uint8Array;
}

/**
 * An AEAD cipher as ESP and IKE use it (RFC 4106, 5282, 7634): the nonce is the salt from the key material
 * followed by the explicit IV of the packet. Lengths in octets.
 */
export interface AeadCipher {
  readonly aead: true;
  readonly id: number;
  /** Without the salt. */
  readonly keyLength: number;
  readonly saltLength: number;
  readonly ivLength: number;
  readonly icvLength: number;
  /** Ciphertext followed by the ICV. `nonce` is salt and IV, 12 octets. */
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** The plaintext, or undefined when the ICV does not verify. */
  open(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | undefined;
}

/** The encryption of an SA: with an integrity algorithm of its own, or with one beside it. */
export type Cipher = CbcCipher | AeadCipher;

/**
 * Why a peer's public value was refused: by our own checks (RFC 6989 §2), or, as `refused_by_library`, by one
 * that the cryptographic library makes beyond them.
 */
export interface DhError {
  readonly code:
    | 'bad_length'
    | 'out_of_range'
    | 'out_of_subgroup'
    | 'not_on_curve'
    | 'weak_result'
    | 'out_of_modulus'
    | 'refused_by_library';
  readonly message: string;
}

/** One side of one Diffie-Hellman exchange, or the half of the end that begins another key exchange. */
export interface DhExchange {
  readonly group: number;
  /** As the KE payload has it, always `publicLength` or `requestLength` octets. */
  readonly publicValue: Uint8Array;
  /**
   * g^ir, padded to `sharedLength` octets, after the checks of RFC 6989. May be called once: a second call is
   * the caller's mistake and throws. No value of the peer makes it throw.
   */
  agree(peerPublic: Uint8Array): Result<SecretKey, DhError>;
  /**
   * As `agree`, but the exchange goes on until it is wiped: where anybody may have sent the value, the peer's own may
   * still come, and more than one may be tried.
   */
  tryAgree(peerPublic: Uint8Array): Result<SecretKey, DhError>;
  /**
   * A copy of the private value, for `DhGroup.restore`: the exchange can be finished elsewhere. The caller that asks
   * for it wipes it. @throws Error when the exchange is over
   */
  exportPrivate(): SecretKey;
  /** Forgets the private value. */
  wipe(): void;
}

/** One Diffie-Hellman group by its IANA number (RFC 7296 §3.3.2). Lengths in octets. */
export interface DhGroup {
  readonly id: number;
  readonly publicLength: number;
  readonly sharedLength: number;
  /** A fresh private value from `random`, never one used before. */
  generate(random: Random): DhExchange;
  /** Goes on with an exchange that was begun elsewhere. Copies the private value, which is of `exportPrivate`. */
  restore(privateValue: SecretKey): DhExchange;
}

/** What the end that answers a key exchange sends, and the secret that both ends have then. */
export interface KeyExchangeAnswer {
  readonly publicValue: Uint8Array;
  readonly shared: SecretKey;
}

/**
 * A key exchange method by its IANA number (RFC 9370 §2.1): a Diffie-Hellman group, or a key encapsulation mechanism,
 * in which the end that answers has no key pair of its own. Lengths in octets.
 */
export interface KeyExchangeMethod {
  readonly id: number;
  /** Of the value that the end which begins sends: for a mechanism, its encapsulation key. */
  readonly requestLength: number;
  /** Of the value that is sent in answer: for a mechanism, the ciphertext. */
  readonly answerLength: number;
  readonly sharedLength: number;
  /** The half of the end that begins; `agree` takes the answer. */
  begin(random: Random): DhExchange;
  /** The whole of the other end's part. No value of the peer makes it throw. */
  answer(random: Random, request: Uint8Array): Result<KeyExchangeAnswer, DhError>;
  /** Goes on with an exchange that was begun elsewhere. Copies the private value, which is of `exportPrivate`. */
  restore(privateValue: SecretKey): DhExchange;
}

/**
 * What a transform asks for, to find out whether a backend has it. `dh` is a group, `key_exchange` any method that may
 * follow one.
 */
export type TransformNeed =
  | { readonly kind: 'encryption'; readonly id: number; readonly keyBits: number }
  | { readonly kind: 'integrity' | 'prf' | 'dh' | 'key_exchange'; readonly id: number };

/**
 * All algorithms of one implementation. The lookups throw RangeError for what `supports` denies; asking
 * first is the caller's duty, since a missing algorithm is a matter of negotiation, not of one packet.
 */
export interface CryptoBackend {
  readonly name: string;
  supports(need: TransformNeed): boolean;
  hash(name: HashName, ...chunks: readonly Uint8Array[]): Uint8Array;
  prf(id: number): PrfFunction;
  integrity(id: number): IntegrityFunction;
  cipher(id: number, keyBits: number): Cipher;
  dh(id: number): DhGroup;
  keyExchange(id: number): KeyExchangeMethod;
}

/**
 * Key material of one direction of a child SA. `encryption` is the cipher key, for AEAD followed by the salt,
 * in the order KEYMAT yields it (RFC 7296 §2.17, RFC 4106 §8.1). `integrity` is absent with AEAD.
 */
export interface EspKeys {
  readonly encryption: SecretKey;
  readonly integrity?: SecretKey;
}
