import type { EspLayout } from '../../../esp/layout.js';
import type { Spi } from '../../../util/ids.js';
import { ESP_HEADER_LENGTH } from '../../../wire/esp.js';
import { Vaulted } from '../memory/arena.js';
import { type CallList, listUser } from './call-list.js';
import { completed, type EspCalls, EspFramer } from './esp-calls.js';
import type { IvPool } from './iv-pool.js';
import type { PacketOpener, PacketSealer } from './packet-crypto.js';
import type { PacketMac } from './packet-mac.js';

/** What sealing by CBC with a MAC takes for one SA, whichever way the cipher is called. */
export interface CbcParts {
  readonly layout: EspLayout;
  /** Of the SA that the packets go out on. */
  readonly spi: Spi;
  readonly ivs: IvPool;
  /** Keyed; the sealer takes it over. */
  readonly mac: PacketMac;
}

/**
 * ESP packets of CBC with a MAC (RFC 3602). The cipher goes on where the packet before ended, with a random
 * block in front of the plaintext. That block's ciphertext is the IV, as unpredictable as the random octets
 * (RFC 3602 §3), and it is where the IV belongs. Setting an IV would be another call, dearer than the block.
 */
export class CbcSealer implements PacketSealer {
  readonly layout: EspLayout;
  readonly #user = listUser();
  readonly #calls: EspCalls;
  readonly #list: CallList;
  readonly #framer: EspFramer;
  readonly #ivs: IvPool;
  readonly #mac: PacketMac;
  #context: number;

  /** `context`: keyed for encryption, taken over. */
  constructor(calls: EspCalls, { layout, spi, ivs, mac }: CbcParts, context: number) {
    this.layout = layout;
    this.#calls = calls;
    this.#list = calls.sealing;
    this.#framer = new EspFramer(calls.arena, layout, spi);
    this.#ivs = ivs;
    this.#context = context;
    this.#mac = mac;
  }

  seal(innerAt: number, innerLength: number, nextHeader: number, sequence: number, outAt: number): number {
    const { layout } = this;
    const list = this.#list;
    const mac = this.#mac;
    if (!list.isOf(this.#user)) this.#prepare();
    const body = this.#framer.write(innerAt, innerLength, nextHeader, sequence, outAt);
    const { ivLength } = layout;
    this.#ivs.write(innerAt - ivLength, ivLength);
    list.point(0, 1, outAt + ESP_HEADER_LENGTH);
    list.point(0, 3, innerAt - ivLength);
    list.put(0, 4, ivLength + body);
    const authenticated = layout.bodyOffset + body;
    mac.aim(list, 1, outAt, authenticated, outAt + authenticated);
    completed(list.run(1 + mac.calls), 1 + mac.calls);
    return authenticated + layout.icvLength;
  }

  complete(): void {}

  /** Chance makes the IVs. */
  enterTerm(): void {}

  #prepare(): void {
    const { openssl, arena } = this.#calls;
    const { EVP_CipherUpdate } = openssl.native;
    this.#list.set(0, EVP_CipherUpdate, 1, [this.#context, 0, arena.vault.base + Vaulted.outLength, 0, 0]);
    this.#mac.prepare(this.#list, 1);
    this.#list.claim(this.#user);
  }

  free(): void {
    this.#list.leave(this.#user);
    if (this.#context !== 0) this.#calls.openssl.EVP_CIPHER_CTX_free(this.#context);
    this.#context = 0;
    this.#mac.free();
  }
}

/**
 * RFC 4303 §3.4.4.1: the ICV first, and only when it verifies the decryption. The IV is decrypted as if it were
 * the first block: what comes of it is meaningless, and the blocks after it come out right. The octets in
 * front of the plaintext are put back.
 */
export class CbcOpener implements PacketOpener {
  readonly layout: EspLayout;
  readonly #user = listUser();
  readonly #calls: EspCalls;
  readonly #list: CallList;
  readonly #mac: PacketMac;
  /** The calls after those of the MAC: compare, keep aside, decrypt, put back. */
  readonly #compare: number;
  #context: number;

  constructor(calls: EspCalls, layout: EspLayout, context: number, mac: PacketMac) {
    this.layout = layout;
    this.#calls = calls;
    this.#list = calls.opening;
    this.#context = context;
    this.#mac = mac;
    this.#compare = mac.calls;
  }

  open(packetAt: number, length: number, outAt: number): number {
    const { layout } = this;
    const list = this.#list;
    const compare = this.#compare;
    if (!list.isOf(this.#user)) this.#prepare();
    const authenticated = length - layout.icvLength;
    const { ivLength } = layout;
    const body = authenticated - layout.bodyOffset;
    this.#mac.aim(list, 0, packetAt, authenticated, this.#calls.arena.far + Vaulted.mac);
    list.point(compare, 1, packetAt + authenticated);
    list.point(compare + 1, 1, outAt - ivLength);
    list.point(compare + 2, 1, outAt - ivLength);
    list.point(compare + 2, 3, packetAt + ESP_HEADER_LENGTH);
    list.put(compare + 2, 4, ivLength + body);
    list.point(compare + 3, 0, outAt - ivLength);
    const made = list.run(compare + 4);
    if (made === compare) return -1;
    completed(made, compare + 4);
    return body;
  }

  #prepare(): void {
    const { openssl, arena } = this.#calls;
    const { base } = arena.vault;
    const list = this.#list;
    const compare = this.#compare;
    const { ivLength, icvLength } = this.layout;
    const { CRYPTO_memcmp, EVP_CipherUpdate, memcpy } = openssl.native;
    this.#mac.prepare(list, 0);
    list.set(compare, CRYPTO_memcmp, 0, [base + Vaulted.mac, 0, icvLength]);
    list.set(compare + 1, memcpy, undefined, [base + Vaulted.saved, 0, ivLength]);
    list.set(compare + 2, EVP_CipherUpdate, 1, [this.#context, 0, base + Vaulted.outLength, 0, 0]);
    list.set(compare + 3, memcpy, undefined, [0, base + Vaulted.saved, ivLength]);
    list.claim(this.#user);
  }

  free(): void {
    this.#list.leave(this.#user);
    if (this.#context !== 0) this.#calls.openssl.EVP_CIPHER_CTX_free(this.#context);
    this.#context = 0;
    this.#mac.free();
  }
}
