import { AAD_LENGTH, type EspLayout } from '../../esp/layout.js';
import { writeU32 } from '../../util/bytes.js';
import { type Arena, At } from './arena.js';
import type { CallList } from './call-list.js';
import { completed, type EspCalls, frame } from './esp-calls.js';
import type { PacketOpener, PacketSealer } from './packet-crypto.js';

const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;
const ENCRYPT = 1;
const DECRYPT = 0;

/** The calls of one packet, in order. */
const Seal = { iv: 0, aad: 1, body: 2, final: 3, tag: 4, count: 5 } as const;
const Open = { iv: 0, tag: 1, aad: 2, body: 3, final: 4, count: 5 } as const;

/** ESP packets of a combined mode: AES-GCM (RFC 4106), ChaCha20-Poly1305 (RFC 7634). */
export class AeadSealer implements PacketSealer {
  readonly layout: EspLayout;
  readonly #calls: EspCalls;
  readonly #list: CallList;
  readonly #arena: Arena;
  readonly #spi: number;
  readonly #salt: Uint8Array;
  #context: number;

  constructor(calls: EspCalls, layout: EspLayout, spi: number, salt: Uint8Array, context: number) {
    this.layout = layout;
    this.#calls = calls;
    this.#list = calls.sealing;
    this.#arena = calls.arena;
    this.#spi = spi;
    this.#salt = salt;
    this.#context = context;
  }

  seal(innerAt: number, innerLength: number, nextHeader: number, sequence: number, outAt: number): number {
    const { layout } = this;
    const { bytes } = this.#arena;
    const list = this.#list;
    if (list.owner !== this) this.#prepare();
    const body = frame(bytes, layout, this.#spi, sequence, innerAt, innerLength, nextHeader, outAt);
    // RFC 4106 §3.1, RFC 7634 §2: unique under the key, which the sequence number is.
    writeU32(bytes, outAt + 8, 0);
    writeU32(bytes, outAt + 12, sequence);
    writeU32(bytes, At.nonce + 8, sequence);
    const out = outAt + layout.bodyOffset;
    list.point(Seal.aad, 3, outAt);
    list.point(Seal.body, 1, out);
    list.point(Seal.body, 3, innerAt);
    list.put(Seal.body, 4, body);
    list.point(Seal.final, 1, out + body);
    list.point(Seal.tag, 3, out + body);
    completed(list.run(Seal.count), Seal.count);
    return layout.bodyOffset + body + layout.icvLength;
  }

  #prepare(): void {
    const { openssl, arena } = this.#calls;
    const { bytes, base } = arena;
    const list = this.#list;
    const context = this.#context;
    const outLength = base + At.outLength;
    bytes.set(this.#salt, At.nonce);
    writeU32(bytes, At.nonce + 4, 0);
    const { EVP_CipherInit_ex, EVP_CipherUpdate, EVP_CipherFinal_ex, EVP_CIPHER_CTX_ctrl } = openssl.native;
    list.set(Seal.iv, EVP_CipherInit_ex, 1, [context, 0, 0, 0, base + At.nonce, ENCRYPT]);
    list.set(Seal.aad, EVP_CipherUpdate, 1, [context, 0, outLength, 0, AAD_LENGTH]);
    list.set(Seal.body, EVP_CipherUpdate, 1, [context, 0, outLength, 0, 0]);
    list.set(Seal.final, EVP_CipherFinal_ex, 1, [context, 0, outLength]);
    const { icvLength } = this.layout;
    list.set(Seal.tag, EVP_CIPHER_CTX_ctrl, 1, [context, EVP_CTRL_AEAD_GET_TAG, icvLength, 0]);
    list.owner = this;
  }

  free(): void {
    this.#salt.fill(0);
    this.#calls.release(this.#context, this.#list, this);
    this.#context = 0;
  }
}

export class AeadOpener implements PacketOpener {
  readonly layout: EspLayout;
  readonly #calls: EspCalls;
  readonly #list: CallList;
  readonly #arena: Arena;
  readonly #salt: Uint8Array;
  #context: number;

  constructor(calls: EspCalls, layout: EspLayout, salt: Uint8Array, context: number) {
    this.layout = layout;
    this.#calls = calls;
    this.#list = calls.opening;
    this.#arena = calls.arena;
    this.#salt = salt;
    this.#context = context;
  }

  open(packetAt: number, length: number, outAt: number): number {
    const { layout } = this;
    const { bytes } = this.#arena;
    const list = this.#list;
    if (list.owner !== this) this.#prepare();
    const body = length - layout.bodyOffset - layout.icvLength;
    // The IV behind the salt. Packets stand at any address, so octet by octet.
    for (let i = 0; i < 8; i++) bytes[At.openNonce + 4 + i] = bytes[packetAt + 8 + i]!;
    const input = packetAt + layout.bodyOffset;
    list.point(Open.tag, 3, input + body);
    list.point(Open.aad, 3, packetAt);
    list.point(Open.body, 1, outAt);
    list.point(Open.body, 3, input);
    list.put(Open.body, 4, body);
    list.point(Open.final, 1, outAt + body);
    const made = list.run(Open.count);
    if (made === Open.count) return body;
    bytes.fill(0, outAt, outAt + body);
    // Anything but the check of the tag fails only when the library is broken.
    completed(made, Open.final);
    this.#calls.openssl.ERR_clear_error();
    return -1;
  }

  #prepare(): void {
    const { openssl, arena } = this.#calls;
    const { bytes, base } = arena;
    const list = this.#list;
    const context = this.#context;
    const outLength = base + At.outLength;
    bytes.set(this.#salt, At.openNonce);
    const { EVP_CipherInit_ex, EVP_CipherUpdate, EVP_CipherFinal_ex, EVP_CIPHER_CTX_ctrl } = openssl.native;
    const { icvLength } = this.layout;
    list.set(Open.iv, EVP_CipherInit_ex, 1, [context, 0, 0, 0, base + At.openNonce, DECRYPT]);
    list.set(Open.tag, EVP_CIPHER_CTX_ctrl, 1, [context, EVP_CTRL_AEAD_SET_TAG, icvLength, 0]);
    list.set(Open.aad, EVP_CipherUpdate, 1, [context, 0, outLength, 0, AAD_LENGTH]);
    list.set(Open.body, EVP_CipherUpdate, 1, [context, 0, outLength, 0, 0]);
    list.set(Open.final, EVP_CipherFinal_ex, 1, [context, 0, outLength]);
    list.owner = this;
  }

  free(): void {
    this.#salt.fill(0);
    this.#calls.release(this.#context, this.#list, this);
    this.#context = 0;
  }
}
