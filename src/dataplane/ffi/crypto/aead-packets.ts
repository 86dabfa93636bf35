import type { EspLayout } from '../../../esp/layout.js';
import { writeU32 } from '../../../util/bytes.js';
import type { Spi } from '../../../util/ids.js';
import { NO_TERM, type Term } from '../../../util/term.js';
import { type Arena, Vaulted } from '../memory/arena.js';
import type { AeadCalls } from './aead-calls.js';
import { type CallList, listUser } from './call-list.js';
import { completed, type EspCalls, EspFramer } from './esp-calls.js';
import type { PacketOpener, PacketSealer } from './packet-crypto.js';

/** ESP packets of a combined mode: AES-GCM (RFC 4106), ChaCha20-Poly1305 (RFC 7634). */
export class AeadSealer implements PacketSealer {
  readonly layout: EspLayout;
  readonly #user = listUser();
  readonly #arena: Arena;
  readonly #list: CallList;
  readonly #cipher: AeadCalls;
  readonly #framer: EspFramer;
  readonly #salt: Uint8Array;
  /** In an array, since a field above 2^31 would be a heap object. */
  readonly #term = new Uint32Array([NO_TERM]);

  constructor(calls: EspCalls, layout: EspLayout, spi: Spi, salt: Uint8Array, cipher: AeadCalls) {
    this.layout = layout;
    this.#arena = calls.arena;
    this.#list = calls.sealing;
    this.#cipher = cipher;
    this.#framer = new EspFramer(calls.arena, layout, spi);
    this.#salt = salt;
  }

  seal(innerAt: number, innerLength: number, nextHeader: number, sequence: number, outAt: number): number {
    const { layout } = this;
    const { bytes } = this.#arena;
    const list = this.#list;
    const cipher = this.#cipher;
    if (!list.isOf(this.#user)) this.#prepare();
    const body = this.#framer.write(innerAt, innerLength, nextHeader, sequence, outAt);
    // RFC 4106 §3.1, RFC 7634 §2: unique under the key, which the sequence number is within a term.
    writeU32(bytes, outAt + 8, this.#term[0]!);
    writeU32(bytes, outAt + 12, sequence);
    writeU32(this.#arena.vault.bytes, Vaulted.nonce + 8, sequence);
    cipher.aim(list, outAt, innerAt, body, outAt + layout.bodyOffset, outAt + layout.bodyOffset + body);
    completed(list.run(cipher.calls), cipher.calls);
    return layout.bodyOffset + body + layout.icvLength;
  }

  complete(): void {}

  enterTerm(term: Term): void {
    this.#term[0] = term;
    // The nonce in the vault is of the term before: `#prepare` writes it again.
    this.#list.leave(this.#user);
  }

  #prepare(): void {
    const { bytes } = this.#arena.vault;
    bytes.set(this.#salt, Vaulted.nonce);
    writeU32(bytes, Vaulted.nonce + 4, this.#term[0]!);
    this.#cipher.prepare(this.#list, Vaulted.nonce);
    this.#list.claim(this.#user);
  }

  free(): void {
    this.#salt.fill(0);
    this.#list.leave(this.#user);
    this.#cipher.free();
  }
}

/** Opens ESP packets of one SA under an AEAD cipher (RFC 4106 §3, RFC 7634 §2). */
export class AeadOpener implements PacketOpener {
  readonly layout: EspLayout;
  readonly #user = listUser();
  readonly #calls: EspCalls;
  readonly #arena: Arena;
  readonly #list: CallList;
  readonly #cipher: AeadCalls;
  readonly #salt: Uint8Array;

  constructor(calls: EspCalls, layout: EspLayout, salt: Uint8Array, cipher: AeadCalls) {
    this.layout = layout;
    this.#calls = calls;
    this.#arena = calls.arena;
    this.#list = calls.opening;
    this.#cipher = cipher;
    this.#salt = salt;
  }

  open(packetAt: number, length: number, outAt: number): number {
    const { layout } = this;
    const { bytes } = this.#arena;
    const list = this.#list;
    const cipher = this.#cipher;
    if (!list.isOf(this.#user)) this.#prepare();
    const body = length - layout.bodyOffset - layout.icvLength;
    // The IV after the salt. Packets are at any address, so octet by octet.
    const nonce = this.#arena.vault.bytes;
    for (let i = 0; i < 8; i++) nonce[Vaulted.openNonce + 4 + i] = bytes[packetAt + 8 + i]!;
    const input = packetAt + layout.bodyOffset;
    cipher.aim(list, packetAt, input, body, outAt, input + body);
    const made = list.run(cipher.calls);
    if (made === cipher.calls) return body;
    bytes.fill(0, outAt, outAt + body);
    // Anything but the check of the tag fails only when the library is broken.
    completed(made, cipher.calls - 1);
    this.#calls.openssl.ERR_clear_error();
    return -1;
  }

  #prepare(): void {
    this.#arena.vault.bytes.set(this.#salt, Vaulted.openNonce);
    this.#cipher.prepare(this.#list, Vaulted.openNonce);
    this.#list.claim(this.#user);
  }

  free(): void {
    this.#salt.fill(0);
    this.#list.leave(this.#user);
    this.#cipher.free();
  }
}
