import type { IkeKeys } from '../../crypto/keymat.js';
import type {
  AeadCipher,
  CbcCipher,
  CryptoBackend,
  IkeSuite,
  IntegrityFunction,
} from '../../crypto/types.js';
import { concat, writeU32 } from '../../util/bytes.js';
import type { Random } from '../../util/random.js';
import { err, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import type { WireError } from '../../wire/error.js';
import { decodePayloads, encodePayloads, sealedMessagePrefix } from '../../wire/ike/message.js';
import type { IkeHeader, Payload, SkPayload } from '../../wire/ike/payloads.js';
import type { Role } from '../events.js';

/** Why a protected message was not read. */
export type OpenError =
  /** The ICV does not hold, or the octets cannot be those of this cipher: anyone may have sent it. */
  | { readonly kind: 'unauthentic' }
  /** It is the peer's own, and yet not well-formed. */
  | { readonly kind: 'malformed'; readonly error: WireError };

/** Seals and opens the encrypted payload of one IKE SA (RFC 7296 §3.14, RFC 5282). */
export interface Protection {
  /** A whole datagram with `payloads` inside an SK payload. */
  seal(header: IkeHeader, payloads: readonly Payload[]): Uint8Array;
  /** The payloads inside `sk`, the SK payload of the datagram `bytes`. Nothing is decrypted before the ICV holds. */
  open(bytes: Uint8Array, sk: SkPayload): Result<Payload[], OpenError>;
}

/** Keys of one direction. */
interface Direction {
  readonly encryption: SecretKey;
  readonly integrity: SecretKey | undefined;
}

/**
 * Protection with the keys of an SA; `role` is this end's. The keys stay the SA's, which wipes them.
 * @throws RangeError for a suite the backend does not have
 */
export function createProtection(
  crypto: CryptoBackend,
  random: Random,
  suite: IkeSuite,
  keys: IkeKeys,
  role: Role,
): Protection {
  const initiator: Direction = { encryption: keys.skEi, integrity: keys.skAi };
  const responder: Direction = { encryption: keys.skEr, integrity: keys.skAr };
  const [out, inward] = role === 'initiator' ? [initiator, responder] : [responder, initiator];
  const cipher = crypto.cipher(suite.encryption.id, suite.encryption.keyBits);
  return cipher.aead
    ? new AeadProtection(cipher, out, inward)
    : new CbcProtection(cipher, crypto.integrity(suite.integrity), random, out, inward);
}

/** Plaintext of the SK payload: payloads | padding | pad length, a multiple of `block` (RFC 7296 §3.14). */
function padded(payloads: Uint8Array, block: number): Uint8Array {
  const length = Math.ceil((payloads.length + 1) / block) * block;
  const out = new Uint8Array(length);
  out.set(payloads);
  out[length - 1] = length - payloads.length - 1;
  return out;
}

function unpadAndDecode(plaintext: Uint8Array, sk: SkPayload): Result<Payload[], OpenError> {
  const padLength = plaintext[plaintext.length - 1]!;
  const end = plaintext.length - 1 - padLength;
  if (end < 0) {
    const message = `pad length ${padLength} in a text of ${plaintext.length} octets`;
    const error: WireError = { code: 'bad_length', offset: sk.offset, context: 'SK payload', message };
    return err({ kind: 'malformed', error });
  }
  // The sender may pad with any octets (RFC 7296 §3.14): nothing to check in them.
  const inner = decodePayloads(sk.first, plaintext.subarray(0, end), sk.offset);
  return inner.ok ? inner : err({ kind: 'malformed', error: inner.error });
}

const UNAUTHENTIC: Result<never, OpenError> = err({ kind: 'unauthentic' });

/** Block cipher and MAC: body = IV | ciphertext | ICV over the whole message in front of it. */
class CbcProtection implements Protection {
  readonly #cipher: CbcCipher;
  readonly #integrity: IntegrityFunction;
  readonly #random: Random;
  readonly #out: Direction;
  readonly #in: Direction;

  constructor(
    cipher: CbcCipher,
    integrity: IntegrityFunction,
    random: Random,
    out: Direction,
    inward: Direction,
  ) {
    this.#cipher = cipher;
    this.#integrity = integrity;
    this.#random = random;
    this.#out = out;
    this.#in = inward;
  }

  seal(header: IkeHeader, payloads: readonly Payload[]): Uint8Array {
    const { ivLength, blockLength } = this.#cipher;
    const inner = encodePayloads(payloads);
    const plaintext = padded(inner.bytes, blockLength);
    // RFC 7296 §3.14: a fresh unpredictable IV for CBC.
    const iv = this.#random.bytes(ivLength);
    const ciphertext = this.#cipher.encrypt(this.#out.encryption.expose(), iv, plaintext);
    const bodyLength = ivLength + ciphertext.length + this.#integrity.icvLength;
    const prefix = sealedMessagePrefix(header, 'sk', inner.first, bodyLength);
    const icv = this.#integrity.compute(this.#out.integrity!.expose(), prefix, iv, ciphertext);
    return concat(prefix, iv, ciphertext, icv);
  }

  open(bytes: Uint8Array, sk: SkPayload): Result<Payload[], OpenError> {
    const { ivLength, blockLength } = this.#cipher;
    const ciphertextLength = sk.body.length - ivLength - this.#integrity.icvLength;
    if (ciphertextLength < blockLength || ciphertextLength % blockLength !== 0) return UNAUTHENTIC;
    const end = bytes.length - this.#integrity.icvLength;
    const authentic = this.#integrity.verify(
      this.#in.integrity!.expose(),
      bytes.subarray(end),
      bytes.subarray(0, end),
    );
    if (!authentic) return UNAUTHENTIC;
    const iv = sk.body.subarray(0, ivLength);
    const ciphertext = sk.body.subarray(ivLength, ivLength + ciphertextLength);
    return unpadAndDecode(this.#cipher.decrypt(this.#in.encryption.expose(), iv, ciphertext), sk);
  }
}

/** AEAD (RFC 5282): body = IV | ciphertext | ICV; the header and the SK payload's header are associated data. */
class AeadProtection implements Protection {
  readonly #cipher: AeadCipher;
  readonly #out: Direction;
  readonly #in: Direction;
  #sent = 0;

  constructor(cipher: AeadCipher, out: Direction, inward: Direction) {
    this.#cipher = cipher;
    this.#out = out;
    this.#in = inward;
  }

  seal(header: IkeHeader, payloads: readonly Payload[]): Uint8Array {
    const { ivLength, icvLength } = this.#cipher;
    const inner = encodePayloads(payloads);
    const plaintext = padded(inner.bytes, 1);
    const iv = this.#nextIv();
    const prefix = sealedMessagePrefix(header, 'sk', inner.first, ivLength + plaintext.length + icvLength);
    const { key, nonce } = this.#keyAndNonce(this.#out, iv);
    return concat(prefix, iv, this.#cipher.seal(key, nonce, prefix, plaintext));
  }

  open(bytes: Uint8Array, sk: SkPayload): Result<Payload[], OpenError> {
    const { ivLength, icvLength } = this.#cipher;
    if (sk.body.length < ivLength + 1 + icvLength) return UNAUTHENTIC;
    const { key, nonce } = this.#keyAndNonce(this.#in, sk.body.subarray(0, ivLength));
    const aad = bytes.subarray(0, sk.offset);
    const plaintext = this.#cipher.open(key, nonce, aad, sk.body.subarray(ivLength));
    return plaintext === undefined ? UNAUTHENTIC : unpadAndDecode(plaintext, sk);
  }

  /** RFC 5282 §3.1: an IV never repeats under one key. Each direction has its own key, so a counter will do. */
  #nextIv(): Uint8Array {
    const iv = new Uint8Array(this.#cipher.ivLength);
    this.#sent++;
    writeU32(iv, iv.length - 8, Math.floor(this.#sent / 2 ** 32));
    writeU32(iv, iv.length - 4, this.#sent);
    return iv;
  }

  /** RFC 5282 §7.1: the salt stands behind the key; nonce = salt | IV. */
  #keyAndNonce(direction: Direction, iv: Uint8Array): { key: Uint8Array; nonce: Uint8Array } {
    const material = direction.encryption.expose();
    const key = material.subarray(0, this.#cipher.keyLength);
    return { key, nonce: concat(material.subarray(this.#cipher.keyLength), iv) };
  }
}
