import type { V1Keys } from '../../crypto/keymat-v1.js';
import { encryptionTransform, prfTransform } from '../../crypto/transforms.js';
import type { CbcCipher, CryptoBackend, HashName, IkeSuite, PrfFunction } from '../../crypto/types.js';
import { writeU32 } from '../../util/bytes.js';
import { err, ok, type Result } from '../../util/result.js';
import { wipeSecrets } from '../../util/secret.js';
import type { WireError } from '../../wire/error.js';
import { decodeV1Payloads, encodeV1Payloads, encodeV1Sealed } from '../../wire/ike/v1/message.js';
import type { V1Header, V1Payload, V1Sealed } from '../../wire/ike/v1/payloads.js';

/** A decrypted message. Nothing proves yet that it is the peer's: its HASH does. */
export interface OpenedV1 {
  readonly payloads: readonly V1Payload[];
  /** The decrypted chain, generic headers included, without padding. */
  readonly plaintext: Uint8Array;
  /** The IV of the next message of the exchange, to be adopted when the message is authentic. */
  readonly nextIv: Uint8Array;
}

/**
 * Initialization vectors of one exchange (RFC 2409 appendix B): each message begins with the last cipher
 * block of the one before. Repetitions and foreign messages must not move it, so opening does not: the
 * caller adopts the next IV once the message's HASH verifies.
 */
export class IvChain {
  #iv: Uint8Array;

  constructor(iv: Uint8Array) {
    this.#iv = iv;
  }

  get iv(): Uint8Array {
    return this.#iv;
  }

  adopt(next: Uint8Array): void {
    this.#iv = next;
  }
}

/** g^xi and g^xr, as the KE payloads have them. */
interface PublicValues {
  readonly initiator: Uint8Array;
  readonly responder: Uint8Array;
}

/** The keys of one ISAKMP SA, which it owns, and encryption with them. */
export class V1Protection {
  readonly #crypto: CryptoBackend;
  readonly #cipher: CbcCipher;
  readonly #hash: HashName;
  readonly #suite: IkeSuite;
  readonly keys: V1Keys;
  /** Phase 1: its last cipher block is where all later exchanges begin. */
  readonly phase1: IvChain;

  /**
   * @param start of phase 1, or the IV that it has come to
   * @throws RangeError for a suite the backend does not have, or with an AEAD cipher
   */
  constructor(
    crypto: CryptoBackend,
    suite: IkeSuite,
    keys: V1Keys,
    start: PublicValues | { readonly iv: Uint8Array },
  ) {
    const cipher = crypto.cipher(suite.encryption.id, suite.encryption.keyBits);
    if (cipher.aead) throw new RangeError('IKEv1 has no AEAD ciphers in phase 1');
    this.#crypto = crypto;
    this.#cipher = cipher;
    this.#hash = prfTransform(suite.prf).hash;
    this.#suite = suite;
    this.keys = keys;
    // RFC 2409 appendix B: the first IV is the front of hash(g^xi | g^xr).
    this.phase1 = new IvChain('iv' in start ? start.iv : this.#front(start.initiator, start.responder));
  }

  /** The function that the hashes of phase 2 and informational exchanges are made with. */
  get prf(): PrfFunction {
    return this.#crypto.prf(this.#suite.prf);
  }

  /** The IVs of a phase 2 or informational exchange: from hash(last phase 1 block | M-ID). */
  exchange(messageId: number): IvChain {
    const id = new Uint8Array(4);
    writeU32(id, 0, messageId);
    return new IvChain(this.#front(this.phase1.iv, id));
  }

  /** A whole datagram; the chain moves on. */
  seal(chain: IvChain, header: V1Header, payloads: readonly V1Payload[]): Uint8Array {
    const inner = encodeV1Payloads(payloads);
    const { blockLength } = this.#cipher;
    // RFC 2409 appendix B: padded with zeros to a whole block, without a pad length.
    const plaintext = new Uint8Array(Math.ceil(inner.bytes.length / blockLength) * blockLength);
    plaintext.set(inner.bytes);
    const body = this.#cipher.encrypt(this.keys.encryption.expose(), chain.iv, plaintext);
    chain.adopt(lastBlock(body, blockLength));
    return encodeV1Sealed(header, inner.first, body);
  }

  /** Decrypts and reads a message; `undefined` as error when it is not a whole number of blocks. */
  open(chain: IvChain, sealed: V1Sealed): Result<OpenedV1, WireError | undefined> {
    const { blockLength } = this.#cipher;
    const { body } = sealed;
    if (body.length === 0 || body.length % blockLength !== 0) return err(undefined);
    const plaintext = this.#cipher.decrypt(this.keys.encryption.expose(), chain.iv, body);
    const decoded = decodeV1Payloads(sealed.first, plaintext, sealed.offset);
    if (!decoded.ok) return err(decoded.error);
    return ok({
      payloads: decoded.value.payloads,
      plaintext: plaintext.subarray(0, decoded.value.length),
      nextIv: lastBlock(body, blockLength),
    });
  }

  wipe(): void {
    wipeSecrets(this.keys);
  }

  #front(...chunks: readonly Uint8Array[]): Uint8Array {
    return this.#crypto.hash(this.#hash, ...chunks).slice(0, this.#cipher.blockLength);
  }
}

function lastBlock(body: Uint8Array, blockLength: number): Uint8Array {
  return body.slice(body.length - blockLength);
}

/** Octets of the cipher key of a suite. @throws RangeError for a cipher Culvert does not have */
export function cipherKeyLength(suite: IkeSuite): number {
  return encryptionTransform(suite.encryption).keyLength;
}
