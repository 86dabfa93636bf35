import type {
  AeadCipher,
  CbcCipher,
  CryptoBackend,
  EspKeys,
  EspSuite,
  IntegrityFunction,
} from '../crypto/types.js';
import { readU32 } from '../util/bytes.js';
import type { Spi } from '../util/ids.js';
import { err, ok, type Result } from '../util/result.js';
import { createPacketView } from '../wire/ip.js';
import type { DropReason } from './drops.js';
import { AAD_LENGTH, type EspLayout, espLayout, SEQUENCE_OFFSET } from './layout.js';
import { ReplayWindow } from './replay-window.js';
import { type SaKeys, splitKeys, wipeKeys } from './sa-keys.js';
import type { SelectorSet } from './selectors.js';
import { readInner, refusedBecause } from './trailer.js';

/** What an inbound ESP SA is made of (RFC 4301 §4.4.2.1). */
export interface InboundSaOptions {
  /** Our SPI, unsigned. */
  readonly spi: Spi;
  readonly suite: EspSuite;
  /** Taken over: wiped once split. */
  readonly keys: EspKeys;
  readonly crypto: CryptoBackend;
  readonly selectors: SelectorSet;
  /** Packets the anti-replay window spans. */
  readonly replayWindow: number;
  /** Every sequence number up to it counts as seen; 0 when left out. */
  readonly highest?: number;
}

const MALFORMED = err<DropReason>('malformed');
const UNKNOWN_SPI = err<DropReason>('unknown_spi');
const REPLAY = err<DropReason>('replay');
const AUTH_FAILED = err<DropReason>('auth_failed');

/** One inbound ESP SA in tunnel mode (RFC 4303 §3.4). */
export class InboundSa {
  readonly spi: Spi;
  readonly layout: EspLayout;
  readonly #keys: SaKeys;
  readonly #window: ReplayWindow;
  readonly #selectors: SelectorSet;
  readonly #decrypt: (packet: Uint8Array) => Uint8Array | undefined;
  readonly #view = createPacketView();
  #authentic = 0;

  /** @throws RangeError for a suite the backend lacks, or keys or a window that do not fit */
  constructor(options: InboundSaOptions) {
    const { suite, crypto } = options;
    this.spi = options.spi;
    this.layout = espLayout(suite);
    this.#window = new ReplayWindow(options.replayWindow);
    this.#window.startAt(options.highest ?? 0);
    this.#selectors = options.selectors;
    const cipher = crypto.cipher(suite.encryption.id, suite.encryption.keyBits);
    const integrity = cipher.aead ? undefined : crypto.integrity(suite.integrity);
    this.#keys = splitKeys(this.layout, options.keys);
    this.#decrypt = cipher.aead
      ? openAead(this.layout, this.#keys, cipher)
      : openCbc(this.layout, this.#keys, cipher, integrity!);
  }

  /** The highest sequence number accepted: the right edge of the anti-replay window. */
  get highestSequence(): number {
    return this.#window.highest;
  }

  /** Counts every sequence number up to `highest` as seen. */
  startAt(highest: number): void {
    this.#window.startAt(highest);
  }

  /** Packets whose ICV held and whose number was new, also those that were dropped afterwards. */
  get authenticPackets(): number {
    return this.#authentic;
  }

  /**
   * The inner packet of an ESP packet, from SPI to ICV. Never throws for what a packet contains. Nothing looks at
   * plaintext before the ICV held, and a packet that fails leaves the anti-replay window as it was.
   */
  open(packet: Uint8Array): Result<Uint8Array, DropReason> {
    const { layout } = this;
    const bodyLength = packet.length - layout.bodyOffset - layout.icvLength;
    // RFC 4303 §2.4: ciphertext that does not end on the alignment cannot come from a conforming sender.
    if (bodyLength < layout.alignment || (bodyLength & (layout.alignment - 1)) !== 0) return MALFORMED;
    if (readU32(packet, 0) !== this.spi) return UNKNOWN_SPI;
    const sequence = readU32(packet, SEQUENCE_OFFSET);
    if (!this.#window.check(sequence)) return REPLAY;
    const plaintext = this.#decrypt(packet);
    if (plaintext === undefined) return AUTH_FAILED;
    if (!this.#window.advance(sequence)) return REPLAY;
    this.#authentic++;
    const length = readInner(plaintext, 0, plaintext.length, this.#selectors, this.#view);
    return length < 0 ? err(refusedBecause(length)) : ok(plaintext.subarray(0, length));
  }

  /** Overwrites the keys: the SA cannot be used any more. Safe to call twice. */
  wipe(): void {
    wipeKeys(this.#keys);
  }
}

function openAead(
  layout: EspLayout,
  keys: SaKeys,
  cipher: AeadCipher,
): (packet: Uint8Array) => Uint8Array | undefined {
  const { bodyOffset, saltLength, ivLength } = layout;
  return (packet) => {
    keys.nonce.set(packet.subarray(bodyOffset - ivLength, bodyOffset), saltLength);
    const aad = packet.subarray(0, AAD_LENGTH);
    return cipher.open(keys.cipher.expose(), keys.nonce, aad, packet.subarray(bodyOffset));
  };
}

/** RFC 4303 §3.4.4.1: the ICV first, and only when it verifies the decryption. */
function openCbc(
  layout: EspLayout,
  keys: SaKeys,
  cipher: CbcCipher,
  integrity: IntegrityFunction,
): (packet: Uint8Array) => Uint8Array | undefined {
  const { bodyOffset, ivLength, icvLength } = layout;
  const integrityKey = keys.integrity!;
  return (packet) => {
    const bodyEnd = packet.length - icvLength;
    const icv = packet.subarray(bodyEnd);
    if (!integrity.verify(integrityKey.expose(), icv, packet.subarray(0, bodyEnd))) return undefined;
    const iv = packet.subarray(bodyOffset - ivLength, bodyOffset);
    return cipher.decrypt(keys.cipher.expose(), iv, packet.subarray(bodyOffset, bodyEnd));
  };
}
