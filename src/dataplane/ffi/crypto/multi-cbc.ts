import type { EspLayout } from '../../../esp/layout.js';
import type { PacketMemory } from '../../../esp/offload/packet-memory.js';
import { type NativeFunction, openLibrary } from '../../../linux/ffi.js';
import { err, ok, type Result } from '../../../util/result.js';
import { type Arena, CBC_LANE, CBC_LANES, Vaulted, writeAddress } from '../memory/arena.js';
import type { KeySlots } from '../memory/key-slots.js';
import { type CallList, listUser } from './call-list.js';
import type { CbcParts } from './cbc-packets.js';
import { completed, type EspCalls, EspFramer } from './esp-calls.js';
import type { IvPool } from './iv-pool.js';
import type { PacketSealer } from './packet-crypto.js';
import type { PacketMac } from './packet-mac.js';

/**
 * AES-CBC of several packets at a time. Within one packet a block waits for the one before; the processor
 * could do four to eight meanwhile. OpenSSL has a function that takes as many packets side by side, for TLS
 * records, and the Node binary exports it.
 */
export interface MultiCbc {
  /** (key, bits, schedule) */
  readonly setKey: NativeFunction;
  /**
   * (lanes, schedule, number of lanes / 4). A lane is 40 octets: input and output address, blocks of 16 octets
   * (u32), four octets unused, IV. A lane without blocks is left alone.
   */
  readonly encrypt: NativeFunction;
}

/** What the sealers of one arena share to encrypt several packets at a time. */
export interface CbcLanes {
  readonly functions: MultiCbc;
  /** Where key schedules are kept. */
  readonly slots: KeySlots;
  readonly copy: PacketMemory['copy'];
}

const P = 'uintptr_t';

/** The functions, or why one packet is encrypted after the other. */
export function loadMultiCbc(processor: ReadonlySet<string>): Result<MultiCbc, string> {
  const lacking = ['aes', 'ssse3', 'sse4_1'].filter((flag) => !processor.has(flag));
  if (lacking.length > 0) return err(`the processor lacks ${lacking.join(', ')}`);
  const library = openLibrary(null);
  const missing = ['aesni_set_encrypt_key', 'aesni_multi_cbc_encrypt'].filter((name) => !library.has(name));
  if (missing.length > 0) return err(`the Node binary does not export ${missing.join(', ')}`);
  return ok({
    setKey: library.native('aesni_set_encrypt_key', 'int', [P, 'int', P]),
    encrypt: library.native('aesni_multi_cbc_encrypt', 'void', [P, P, 'int']),
  });
}

const BLOCK_SHIFT = 4;

/**
 * Seals packets of CBC with a MAC (RFC 3602) in batches of up to eight: `seal` puts the plaintext in its place,
 * and the eighth packet or `complete` encrypts and authenticates all that wait.
 */
export class MultiCbcSealer implements PacketSealer {
  readonly layout: EspLayout;
  readonly #user = listUser();
  readonly #encrypt: NativeFunction;
  readonly #arena: Arena;
  readonly #copy: PacketMemory['copy'];
  readonly #memcpy: NativeFunction;
  readonly #list: CallList;
  readonly #slots: KeySlots;
  readonly #slot: number;
  readonly #framer: EspFramer;
  readonly #ivs: IvPool;
  readonly #mac: PacketMac;
  /** Where the waiting packets are, and the octets that their ICV covers. */
  readonly #at = new Int32Array(CBC_LANES);
  readonly #covered = new Int32Array(CBC_LANES);
  #waiting = 0;
  #held = true;

  /**
   * `keyAt`: the key of `keyBits` bits in the vault, which is only read.
   * @throws RangeError when it is refused, or there is no room for another
   */
  constructor(calls: EspCalls, lanes: CbcLanes, parts: CbcParts, keyAt: number, keyBits: number) {
    const { functions, slots, copy } = lanes;
    const { layout, spi, ivs, mac } = parts;
    this.layout = layout;
    this.#encrypt = functions.encrypt;
    this.#arena = calls.arena;
    this.#copy = copy;
    this.#memcpy = calls.openssl.native.memcpy;
    this.#list = calls.sealing;
    this.#slots = slots;
    this.#framer = new EspFramer(calls.arena, layout, spi);
    this.#ivs = ivs;
    this.#mac = mac;
    this.#slot = slots.take();
    const { base } = calls.arena.vault;
    if (functions.setKey.call(base + keyAt, keyBits, base + slots.at(this.#slot)) !== 0) {
      slots.give(this.#slot);
      throw new RangeError(`AES refuses a key of ${keyBits} bits`);
    }
  }

  seal(innerAt: number, innerLength: number, nextHeader: number, sequence: number, outAt: number): number {
    const { layout } = this;
    const { bodyOffset } = layout;
    const i = this.#waiting;
    const bodyAt = outAt + bodyOffset;
    this.#copy(bodyAt, innerAt, innerLength);
    const body = this.#framer.write(bodyAt, innerLength, nextHeader, sequence, outAt);
    const { ivLength } = layout;
    this.#ivs.write(bodyAt - ivLength, ivLength);
    this.#at[i] = outAt;
    this.#covered[i] = bodyOffset + body;
    this.#waiting = i + 1;
    if (this.#waiting === CBC_LANES) this.complete();
    return bodyOffset + body + layout.icvLength;
  }

  complete(): void {
    const count = this.#waiting;
    if (count === 0) return;
    this.#waiting = 0;
    const { far, vault } = this.#arena;
    const { base, u32 } = vault;
    const half = CBC_LANES / 2;
    const lanes = count > half ? CBC_LANES : half;
    for (let i = 0; i < count; i++) this.#fillLane(i);
    for (let i = count; i < lanes; i++) u32[(Vaulted.cbcLanes + i * CBC_LANE + 16) >>> 2] = 0;
    this.#encrypt.call(base + Vaulted.cbcLanes, base + this.#slots.at(this.#slot), lanes / 4);
    const list = this.#list;
    const mac = this.#mac;
    if (!list.isOf(this.#user)) {
      mac.prepare(list, 0);
      // Truncated on the way: the next packet already follows it.
      list.set(mac.calls, this.#memcpy, undefined, [0, base + Vaulted.mac, this.layout.icvLength]);
      list.claim(this.#user);
    }
    for (let i = 0; i < count; i++) {
      const at = this.#at[i]!;
      const covered = this.#covered[i]!;
      mac.aim(list, 0, at, covered, far + Vaulted.mac);
      list.point(mac.calls, 0, at + covered);
      completed(list.run(mac.calls + 1), mac.calls + 1);
    }
  }

  /** Chance makes the IVs. */
  enterTerm(): void {}

  /**
   * Describes a waiting packet to the function. Only now: the lanes belong to all SAs, and packets of another
   * one may have come between.
   */
  #fillLane(i: number): void {
    const { bytes, base, vault } = this.#arena;
    const { bodyOffset, ivLength } = this.layout;
    const lane = Vaulted.cbcLanes + i * CBC_LANE;
    const bodyAt = this.#at[i]! + bodyOffset;
    writeAddress(vault, lane, base + bodyAt);
    writeAddress(vault, lane + 8, base + bodyAt);
    vault.u32[(lane + 16) >>> 2] = (this.#covered[i]! - bodyOffset) >>> BLOCK_SHIFT;
    for (let octet = 0; octet < 16; octet++)
      vault.bytes[lane + 24 + octet] = bytes[bodyAt - ivLength + octet]!;
  }

  free(): void {
    this.#list.leave(this.#user);
    this.#mac.free();
    if (!this.#held) return;
    this.#held = false;
    // Packets still waiting will never be encrypted and must not leave in the clear.
    const { bytes } = this.#arena;
    for (let i = 0; i < this.#waiting; i++) bytes.fill(0, this.#at[i]!, this.#at[i]! + this.#covered[i]!);
    this.#waiting = 0;
    this.#slots.give(this.#slot);
  }
}
