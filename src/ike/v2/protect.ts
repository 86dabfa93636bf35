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
import { err, ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import { NO_TERM, type Term } from '../../util/term.js';
import type { ByteCount } from '../../util/units.js';
import type { WireError } from '../../wire/error.js';
import {
  decodePayloads,
  encodePayloads,
  type FragmentNumber,
  IKE_HEADER_LENGTH,
  sealedMessagePrefix,
} from '../../wire/ike/message.js';
import type { IkeHeader, Payload, SkfPayload, SkPayload } from '../../wire/ike/payloads.js';
import type { Role } from '../events.js';

/** Why a protected message was not read. */
export type OpenError =
  /** The ICV does not verify, or the octets cannot be those of this cipher: anyone may have sent it. */
  | { readonly kind: 'unauthentic' }
  /** It is the peer's own, and yet not well-formed. */
  | { readonly kind: 'malformed'; readonly error: WireError };

/** Seals and opens the encrypted payload of one IKE SA (RFC 7296 §3.14, RFC 5282, RFC 7383). */
export interface Protection {
  /**
   * Counts what was sealed with an IV that is a number: within a term none is ever used again under one key (RFC 5282
   * §3.1). At most `LAST_SEALED`, after which the SA must be gone.
   */
  readonly sealed: number;
  /** A whole datagram with `payloads` inside an SK payload. */
  seal(header: IkeHeader, payloads: readonly Payload[]): Uint8Array;
  /** The same as one datagram, or as several fragments when it would be longer than `longest` octets. */
  sealWithin(header: IkeHeader, payloads: readonly Payload[], longest: ByteCount): Uint8Array[];
  /**
   * The payloads inside `sk`, the SK payload of the datagram `bytes`. Nothing is decrypted before the ICV is verified.
   */
  open(bytes: Uint8Array, sk: SkPayload): Result<Payload[], OpenError>;
  /** The piece of a payload chain inside one fragment (RFC 7383 §2.5). Same rule. */
  openText(bytes: Uint8Array, sealed: SkPayload | SkfPayload): Result<Uint8Array, OpenError>;
}

/** What fits the lower half of an IV; the term is in the upper one. */
export const LAST_SEALED = 2 ** 32 - 1;

/** Octets of a fragment's payload header: generic header, fragment number, total (RFC 7383 §2.5). */
const SKF_HEADER_LENGTH = 8;
const SK_HEADER_LENGTH = 4;

/** Keys of one direction. */
interface Direction {
  readonly encryption: SecretKey;
}

/** The same for a cipher with a MAC beside it. */
interface MacDirection extends Direction {
  readonly integrity: SecretKey;
}

/** What both kinds of ciphers do for one SK or SKF payload. */
interface BodyCipher {
  /** See `Protection.sealed`; 0 where chance makes the IV. */
  readonly sealed: number;
  /** Octets of IV and ICV, and the multiple that plaintext with padding and pad length must be of. */
  readonly overhead: ByteCount;
  readonly block: ByteCount;
  seal(prefix: (bodyLength: number) => Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** The plaintext with its padding, or undefined when the ICV does not verify. */
  open(bytes: Uint8Array, body: Uint8Array, offset: number): Uint8Array | undefined;
}

/** What protection takes from outside. */
interface ProtectionDeps {
  readonly crypto: CryptoBackend;
  readonly random: Random;
  /** The upper half of IVs that are numbers; 0 when left out. */
  readonly term?: Term;
}

/**
 * Protection with the keys of an SA; `role` is this end's. The keys stay the SA's, which wipes them. `sealed`: what
 * `Protection.sealed` said where these keys were used before in the same term.
 * @throws RangeError for a suite the backend does not have, or keys that do not fit it
 */
export function createProtection(
  { crypto, random, term = NO_TERM }: ProtectionDeps,
  suite: IkeSuite,
  keys: IkeKeys,
  role: Role,
  sealed = 0,
): Protection {
  const initiator = { encryption: keys.skEi, integrity: keys.skAi };
  const responder = { encryption: keys.skEr, integrity: keys.skAr };
  const [out, inward] = role === 'initiator' ? [initiator, responder] : [responder, initiator];
  const cipher = crypto.cipher(suite.encryption.id, suite.encryption.keyBits);
  if (cipher.aead) return new SkProtection(new AeadBody(cipher, out, inward, { term, sealed }));
  const integrity = crypto.integrity(suite.integrity);
  return new SkProtection(new CbcBody(cipher, integrity, random, withIntegrity(out), withIntegrity(inward)));
}

function withIntegrity({
  encryption,
  integrity,
}: Direction & { readonly integrity: SecretKey | undefined }): MacDirection {
  if (integrity === undefined) throw new RangeError('a cipher without integrity of its own needs a MAC key');
  return { encryption, integrity };
}

class SkProtection implements Protection {
  readonly #body: BodyCipher;

  constructor(body: BodyCipher) {
    this.#body = body;
  }

  get sealed(): number {
    return this.#body.sealed;
  }

  seal(header: IkeHeader, payloads: readonly Payload[]): Uint8Array {
    const inner = encodePayloads(payloads);
    return this.#sealText(header, inner.first, inner.bytes);
  }

  sealWithin(header: IkeHeader, payloads: readonly Payload[], longest: ByteCount): Uint8Array[] {
    const inner = encodePayloads(payloads);
    const whole = IKE_HEADER_LENGTH + SK_HEADER_LENGTH + this.#sealedLength(inner.bytes.length);
    if (whole <= longest) return [this.#sealText(header, inner.first, inner.bytes)];
    const room = this.#room(longest - IKE_HEADER_LENGTH - SKF_HEADER_LENGTH);
    const total = Math.ceil(inner.bytes.length / room);
    const out: Uint8Array[] = [];
    for (let n = 0; n < total; n++) {
      const piece = inner.bytes.subarray(n * room, (n + 1) * room);
      // RFC 7383 §2.5: only the first fragment has the type of the first payload.
      out.push(this.#sealText(header, n === 0 ? inner.first : 0, piece, { fragment: n + 1, total }));
    }
    return out;
  }

  open(bytes: Uint8Array, sk: SkPayload): Result<Payload[], OpenError> {
    const text = this.#openText(bytes, sk);
    return text.ok ? decodeInner(sk.first, text.value, sk.offset) : text;
  }

  openText(bytes: Uint8Array, sealed: SkPayload | SkfPayload): Result<Uint8Array, OpenError> {
    return this.#openText(bytes, sealed);
  }

  #sealText(header: IkeHeader, first: number, text: Uint8Array, fragment?: FragmentNumber): Uint8Array {
    const prefix = (bodyLength: number): Uint8Array =>
      sealedMessagePrefix(header, fragment === undefined ? 'sk' : 'skf', first, bodyLength, fragment);
    return this.#body.seal(prefix, padded(text, this.#body.block));
  }

  #openText(bytes: Uint8Array, sealed: SkPayload | SkfPayload): Result<Uint8Array, OpenError> {
    const plaintext = this.#body.open(bytes, sealed.body, sealed.offset);
    return plaintext === undefined ? UNAUTHENTIC : unpad(plaintext, sealed.offset);
  }

  #sealedLength(textLength: number): number {
    const { block, overhead } = this.#body;
    return overhead + Math.ceil((textLength + 1) / block) * block;
  }

  /** Octets of text that fit into a body of `length` octets; at least one, whatever the length. */
  #room(length: number): number {
    const { block, overhead } = this.#body;
    return Math.max(1, Math.floor((length - overhead) / block) * block - 1);
  }
}

/** Plaintext of an SK or SKF payload: text | padding | pad length, a multiple of `block` (RFC 7296 §3.14). */
function padded(text: Uint8Array, block: number): Uint8Array {
  const length = Math.ceil((text.length + 1) / block) * block;
  const out = new Uint8Array(length);
  out.set(text);
  out[length - 1] = length - text.length - 1;
  return out;
}

function unpad(plaintext: Uint8Array, offset: number): Result<Uint8Array, OpenError> {
  const padLength = plaintext.at(-1) ?? 0;
  const end = plaintext.length - 1 - padLength;
  if (end < 0) {
    const message = `pad length ${padLength} in a text of ${plaintext.length} octets`;
    const error: WireError = { code: 'bad_length', offset, context: 'SK payload', message };
    return err({ kind: 'malformed', error });
  }
  // The sender may pad with any octets (RFC 7296 §3.14): nothing to check in them.
  return ok(plaintext.subarray(0, end));
}

/** The payloads of an opened text, or of the texts of all fragments in order. */
export function decodeInner(first: number, text: Uint8Array, offset: number): Result<Payload[], OpenError> {
  const inner = decodePayloads(first, text, offset);
  return inner.ok ? inner : err({ kind: 'malformed', error: inner.error });
}

const UNAUTHENTIC: Result<never, OpenError> = err({ kind: 'unauthentic' });

/** Block cipher and MAC: body = IV | ciphertext | ICV over the whole message in front of it. */
class CbcBody implements BodyCipher {
  readonly sealed = 0;
  readonly overhead: ByteCount;
  readonly block: ByteCount;
  readonly #cipher: CbcCipher;
  readonly #integrity: IntegrityFunction;
  readonly #random: Random;
  readonly #out: MacDirection;
  readonly #in: MacDirection;

  constructor(
    cipher: CbcCipher,
    integrity: IntegrityFunction,
    random: Random,
    out: MacDirection,
    inward: MacDirection,
  ) {
    this.overhead = cipher.ivLength + integrity.icvLength;
    this.block = cipher.blockLength;
    this.#cipher = cipher;
    this.#integrity = integrity;
    this.#random = random;
    this.#out = out;
    this.#in = inward;
  }

  seal(prefixFor: (bodyLength: number) => Uint8Array, plaintext: Uint8Array): Uint8Array {
    // RFC 7296 §3.14: a fresh unpredictable IV for CBC.
    const iv = this.#random.bytes(this.#cipher.ivLength);
    const ciphertext = this.#cipher.encrypt(this.#out.encryption.expose(), iv, plaintext);
    const prefix = prefixFor(iv.length + ciphertext.length + this.#integrity.icvLength);
    const icv = this.#integrity.compute(this.#out.integrity.expose(), prefix, iv, ciphertext);
    return concat(prefix, iv, ciphertext, icv);
  }

  open(bytes: Uint8Array, body: Uint8Array): Uint8Array | undefined {
    const { ivLength, blockLength } = this.#cipher;
    const ciphertextLength = body.length - ivLength - this.#integrity.icvLength;
    if (ciphertextLength < blockLength || ciphertextLength % blockLength !== 0) return undefined;
    const end = bytes.length - this.#integrity.icvLength;
    const authentic = this.#integrity.verify(
      this.#in.integrity.expose(),
      bytes.subarray(end),
      bytes.subarray(0, end),
    );
    if (!authentic) return undefined;
    const ciphertext = body.subarray(ivLength, ivLength + ciphertextLength);
    return this.#cipher.decrypt(this.#in.encryption.expose(), body.subarray(0, ivLength), ciphertext);
  }
}

/** AEAD (RFC 5282): body = IV | ciphertext | ICV; all octets in front of the body are associated data. */
class AeadBody implements BodyCipher {
  readonly overhead: ByteCount;
  readonly block = 1;
  readonly #cipher: AeadCipher;
  readonly #out: Direction;
  readonly #in: Direction;
  readonly #term: Term;
  #sealed: number;

  constructor(
    cipher: AeadCipher,
    out: Direction,
    inward: Direction,
    { term, sealed }: { readonly term: Term; readonly sealed: number },
  ) {
    this.#term = term;
    this.#sealed = sealed;
    this.overhead = cipher.ivLength + cipher.icvLength;
    this.#cipher = cipher;
    this.#out = out;
    this.#in = inward;
  }

  get sealed(): number {
    return this.#sealed;
  }

  seal(prefixFor: (bodyLength: number) => Uint8Array, plaintext: Uint8Array): Uint8Array {
    const iv = this.#nextIv();
    const prefix = prefixFor(iv.length + plaintext.length + this.#cipher.icvLength);
    const { key, nonce } = this.#keyAndNonce(this.#out, iv);
    return concat(prefix, iv, this.#cipher.seal(key, nonce, prefix, plaintext));
  }

  open(bytes: Uint8Array, body: Uint8Array, offset: number): Uint8Array | undefined {
    const { ivLength, icvLength } = this.#cipher;
    if (body.length < ivLength + 1 + icvLength) return undefined;
    const { key, nonce } = this.#keyAndNonce(this.#in, body.subarray(0, ivLength));
    return this.#cipher.open(key, nonce, bytes.subarray(0, offset), body.subarray(ivLength));
  }

  /**
   * RFC 5282 §3.1: an IV never repeats under one key. Each direction has its own key, so a counter will do, and the term
   * where several hosts have copies of the key.
   * @throws RangeError when all are used up, which `noteSpent` prevents
   */
  #nextIv(): Uint8Array {
    if (this.#sealed >= LAST_SEALED) throw new RangeError('no IV is left under the keys of this IKE SA');
    const iv = new Uint8Array(this.#cipher.ivLength);
    this.#sealed++;
    writeU32(iv, iv.length - 8, this.#term);
    writeU32(iv, iv.length - 4, this.#sealed);
    return iv;
  }

  /** RFC 5282 §7.1: the salt follows the key; nonce = salt | IV. */
  #keyAndNonce(direction: Direction, iv: Uint8Array): { key: Uint8Array; nonce: Uint8Array } {
    const material = direction.encryption.expose();
    const key = material.subarray(0, this.#cipher.keyLength);
    return { key, nonce: concat(material.subarray(this.#cipher.keyLength), iv) };
  }
}
