import type {
  AeadCipher,
  CbcCipher,
  CryptoBackend,
  EspKeys,
  EspSuite,
  IntegrityFunction,
} from '../crypto/types.js';
import { writeU32 } from '../util/bytes.js';
import type { Spi } from '../util/ids.js';
import type { Random } from '../util/random.js';
import { err, ok, type Result } from '../util/result.js';
import { NO_TERM, type Term } from '../util/term.js';
import type { DropReason } from './drops.js';
import {
  AAD_LENGTH,
  ESP_TRAILER_LENGTH,
  type EspLayout,
  espLayout,
  padLength,
  SEQUENCE_OFFSET,
} from './layout.js';
import { RandomIv } from './random-iv.js';
import { type SaKeys, splitKeys, wipeKeys } from './sa-keys.js';
import { type EspStart, FRESH_START, LAST_SEQUENCE } from './start.js';
import { nextHeaderOf, writeTrailer } from './trailer.js';

/** What an outbound ESP SA is made of (RFC 4301 §4.4.2.1). */
export interface OutboundSaOptions {
  /** The peer's SPI, unsigned. */
  readonly spi: Spi;
  readonly suite: EspSuite;
  /** Taken over: wiped once split. */
  readonly keys: EspKeys;
  readonly crypto: CryptoBackend;
  /** IVs of CBC suites come from here. */
  readonly random: Random;
  /** The next sequence number and the last one allowed, when the keys were used elsewhere. Never goes back. */
  readonly start?: Pick<EspStart, 'next' | 'limit'>;
  /** The upper half of the IVs of an AEAD suite; 0 when left out. */
  readonly term?: Term;
}

const MALFORMED = err<DropReason>('malformed');
const EXHAUSTED = err<DropReason>('sequence_exhausted');
const NOT_RESERVED = err<DropReason>('not_reserved');

/** One outbound ESP SA in tunnel mode (RFC 4303 §3.3). */
export class OutboundSa {
  readonly spi: Spi;
  readonly layout: EspLayout;
  readonly #keys: SaKeys;
  readonly #seal: (packet: Uint8Array, bodyEnd: number, term: Term) => void;
  #sequence: number;
  #limit: number;
  #term: Term;

  /** @throws RangeError for a suite the backend lacks or keys that do not fit it */
  constructor(options: OutboundSaOptions) {
    const { suite, crypto } = options;
    this.spi = options.spi;
    this.layout = espLayout(suite);
    const cipher = crypto.cipher(suite.encryption.id, suite.encryption.keyBits);
    const integrity = cipher.aead ? undefined : crypto.integrity(suite.integrity);
    this.#keys = splitKeys(this.layout, options.keys);
    const { next, limit } = options.start ?? FRESH_START;
    this.#sequence = next - 1;
    this.#limit = limit;
    this.#term = options.term ?? NO_TERM;
    this.#seal = cipher.aead
      ? sealAead(this.layout, this.#keys, cipher)
      : sealCbc(this.layout, this.#keys, cipher, integrity!, new RandomIv(options.random, cipher.ivLength));
  }

  /** The sequence number used last: packets sent under this key. */
  get sequence(): number {
    return this.#sequence;
  }

  /** The last sequence number that may be used. */
  get limit(): number {
    return this.#limit;
  }

  /** Seals in this term from now on. The caller has made sure that it is not over. */
  enterTerm(term: Term): void {
    this.#term = term;
  }

  /** Sequence numbers up to `limit` may be used from now on; none that was used comes again. */
  reserve(limit: number): void {
    this.#limit = limit;
  }

  /** Goes on where another host may have been: at `next`, or where this one is when that is further. */
  resume({ next, limit }: Pick<EspStart, 'next' | 'limit'>): void {
    this.#sequence = Math.max(this.#sequence, next - 1);
    this.#limit = limit;
  }

  /** Leaves out as many sequence numbers (RFC 6311 §5.2), all that are left when there are not so many. */
  skip(packets: number): void {
    this.#sequence = Math.min(this.#sequence + packets, LAST_SEQUENCE);
  }

  /**
   * The ESP packet, from SPI to ICV, around an inner IPv4 or IPv6 packet. The inner header is left as it is:
   * the host lowered the hop limit when it routed the packet here (RFC 4301 §5.1.2.1).
   * Fails with `malformed` when it is neither, and with `sequence_exhausted` when all 2^32 - 1 numbers are
   * used: the counter never cycles (RFC 4303 §3.3.3). Fails with `not_reserved` when the next one is beyond the limit.
   */
  seal(inner: Uint8Array): Result<Uint8Array, DropReason> {
    const nextHeader = inner.length === 0 ? 0 : nextHeaderOf(inner[0]!);
    if (nextHeader === 0) return MALFORMED;
    return this.sealPayload(inner, nextHeader);
  }

  /** As `seal`, around any payload: dummy packets (RFC 4303 §2.6) and tests. */
  sealPayload(payload: Uint8Array, nextHeader: number): Result<Uint8Array, DropReason> {
    if (this.#sequence >= this.#limit) return this.#sequence >= LAST_SEQUENCE ? EXHAUSTED : NOT_RESERVED;
    this.#sequence++;
    const { layout } = this;
    const padding = padLength(layout, payload.length);
    const bodyEnd = layout.bodyOffset + payload.length + padding + ESP_TRAILER_LENGTH;
    const packet = new Uint8Array(bodyEnd + layout.icvLength);
    writeU32(packet, 0, this.spi);
    writeU32(packet, SEQUENCE_OFFSET, this.#sequence);
    packet.set(payload, layout.bodyOffset);
    writeTrailer(packet, layout.bodyOffset + payload.length, padding, nextHeader);
    this.#seal(packet, bodyEnd, this.#term);
    return ok(packet);
  }

  /** Overwrites the keys: the SA cannot be used any more. Safe to call twice. */
  wipe(): void {
    wipeKeys(this.#keys);
  }
}

/**
 * RFC 4106 §3.1, RFC 7634 §2: the IV must only be unique under the key. One sender's sequence number is; for the copies
 * of a key on several hosts the term in the upper half distinguishes them (RFC 6054 §3).
 */
function sealAead(
  layout: EspLayout,
  keys: SaKeys,
  cipher: AeadCipher,
): (packet: Uint8Array, bodyEnd: number, term: Term) => void {
  const { bodyOffset, saltLength, ivLength } = layout;
  const ivOffset = bodyOffset - ivLength;
  return (packet, bodyEnd, term) => {
    writeU32(packet, ivOffset, term);
    packet.copyWithin(bodyOffset - 4, SEQUENCE_OFFSET, SEQUENCE_OFFSET + 4);
    keys.nonce.set(packet.subarray(ivOffset, bodyOffset), saltLength);
    const aad = packet.subarray(0, AAD_LENGTH);
    const plaintext = packet.subarray(bodyOffset, bodyEnd);
    packet.set(cipher.seal(keys.cipher.expose(), keys.nonce, aad, plaintext), bodyOffset);
  };
}

/** RFC 4303 §3.3.2.1: encrypt, then MAC over all in front of the ICV. */
function sealCbc(
  layout: EspLayout,
  keys: SaKeys,
  cipher: CbcCipher,
  integrity: IntegrityFunction,
  ivs: RandomIv,
): (packet: Uint8Array, bodyEnd: number) => void {
  const { bodyOffset, ivLength } = layout;
  const ivOffset = bodyOffset - ivLength;
  const integrityKey = keys.integrity!;
  return (packet, bodyEnd) => {
    ivs.write(packet, ivOffset);
    const iv = packet.subarray(ivOffset, bodyOffset);
    packet.set(cipher.encrypt(keys.cipher.expose(), iv, packet.subarray(bodyOffset, bodyEnd)), bodyOffset);
    packet.set(integrity.compute(integrityKey.expose(), packet.subarray(0, bodyEnd)), bodyEnd);
  };
}
