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
import type { DropReason } from './drops.js';
import {
  AAD_LENGTH,
  ESP_TRAILER_LENGTH,
  type EspLayout,
  espLayout,
  LAST_SEQUENCE,
  padLength,
  SEQUENCE_OFFSET,
} from './layout.js';
import { RandomIv } from './random-iv.js';
import { type SaKeys, splitKeys, wipeKeys } from './sa-keys.js';
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
  /** The sequence number used last under these keys, 0 for fresh ones. Going back repeats IVs: never do. */
  readonly lastSequence?: number;
}

const MALFORMED = err<DropReason>('malformed');
const EXHAUSTED = err<DropReason>('sequence_exhausted');

/** One outbound ESP SA in tunnel mode (RFC 4303 §3.3). */
export class OutboundSa {
  readonly spi: Spi;
  readonly layout: EspLayout;
  readonly #keys: SaKeys;
  readonly #seal: (packet: Uint8Array, bodyEnd: number) => void;
  #sequence: number;

  /** @throws RangeError for a suite the backend lacks or keys that do not fit it */
  constructor(options: OutboundSaOptions) {
    const { suite, crypto } = options;
    this.spi = options.spi;
    this.layout = espLayout(suite);
    const cipher = crypto.cipher(suite.encryption.id, suite.encryption.keyBits);
    const integrity = cipher.aead ? undefined : crypto.integrity(suite.integrity);
    this.#keys = splitKeys(this.layout, options.keys);
    this.#sequence = options.lastSequence ?? 0;
    this.#seal = cipher.aead
      ? sealAead(this.layout, this.#keys, cipher)
      : sealCbc(this.layout, this.#keys, cipher, integrity!, new RandomIv(options.random, cipher.ivLength));
  }

  /** The sequence number used last: packets sent under this key. */
  get sequence(): number {
    return this.#sequence;
  }

  /**
   * The ESP packet, from SPI to ICV, around an inner IPv4 or IPv6 packet. The inner header is left as it is:
   * the host lowered the hop limit when it routed the packet here (RFC 4301 §5.1.2.1).
   * Fails with `malformed` when it is neither, and with `sequence_exhausted` when all 2^32 - 1 numbers are
   * used: the counter never cycles (RFC 4303 §3.3.3).
   */
  seal(inner: Uint8Array): Result<Uint8Array, DropReason> {
    const nextHeader = inner.length === 0 ? 0 : nextHeaderOf(inner[0]!);
    if (nextHeader === 0) return MALFORMED;
    return this.sealPayload(inner, nextHeader);
  }

  /** As `seal`, around any payload: dummy packets (RFC 4303 §2.6) and tests. */
  sealPayload(payload: Uint8Array, nextHeader: number): Result<Uint8Array, DropReason> {
    if (this.#sequence >= LAST_SEQUENCE) return EXHAUSTED;
    this.#sequence++;
    const { layout } = this;
    const padding = padLength(layout, payload.length);
    const bodyEnd = layout.bodyOffset + payload.length + padding + ESP_TRAILER_LENGTH;
    const packet = new Uint8Array(bodyEnd + layout.icvLength);
    writeU32(packet, 0, this.spi);
    writeU32(packet, SEQUENCE_OFFSET, this.#sequence);
    packet.set(payload, layout.bodyOffset);
    writeTrailer(packet, layout.bodyOffset + payload.length, padding, nextHeader);
    this.#seal(packet, bodyEnd);
    return ok(packet);
  }

  /** Overwrites the keys: the SA cannot be used any more. Safe to call twice. */
  wipe(): void {
    wipeKeys(this.#keys);
  }
}

/**
 * RFC 4106 §3.1, RFC 7634 §2: the IV must only be unique under the key, and the sequence number is. As a 64-bit
 * counter its high half stays zero.
 */
function sealAead(
  layout: EspLayout,
  keys: SaKeys,
  cipher: AeadCipher,
): (packet: Uint8Array, bodyEnd: number) => void {
  const { bodyOffset, saltLength, ivLength } = layout;
  const ivOffset = bodyOffset - ivLength;
  return (packet, bodyEnd) => {
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
