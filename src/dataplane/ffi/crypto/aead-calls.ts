import { AAD_LENGTH, type EspLayout } from '../../../esp/layout.js';
import { type Arena, Vaulted } from '../memory/arena.js';
import type { CallList } from './call-list.js';
import type { Openssl } from './openssl.js';

/** One direction of a keyed AEAD cipher, as calls of a list. Offsets are those of the arena. */
export interface AeadCalls {
  /** How many it takes. Of those that open a packet the last one is the check of the tag. */
  readonly calls: number;
  /** Writes them into the list; the nonce of every packet will be at the vault's `nonceAt`. */
  prepare(list: CallList, nonceAt: number): void;
  /** Lets prepared calls work on `body` octets from `from` to `to`, the eight octets at `aadAt` and the tag. */
  aim(list: CallList, aadAt: number, from: number, body: number, to: number, tagAt: number): void;
  /** Forgets the key. Safe to call twice. */
  free(): void;
}

/**
 * AES-GCM in one direction with the key of `keyBits` bits at the vault's `keyAt`, which is only read.
 * @throws RangeError when the key is refused or there is no room for another
 */
export type GcmMaker = (keyAt: number, keyBits: number, seals: boolean) => AeadCalls;

/** Commands of EVP_CIPHER_CTX_ctrl (openssl/evp.h). */
export const EVP_CTRL_AEAD_GET_TAG = 0x10;
export const EVP_CTRL_AEAD_SET_TAG = 0x11;
const ENCRYPT = 1;
const DECRYPT = 0;

/** By EVP, on a keyed context of the direction, which it takes over. */
abstract class EvpCalls implements AeadCalls {
  readonly calls = 5;
  protected readonly openssl: Openssl;
  protected readonly arena: Arena;
  protected readonly tagLength: number;
  #context: number;

  constructor(openssl: Openssl, arena: Arena, { icvLength }: EspLayout, context: number) {
    this.openssl = openssl;
    this.arena = arena;
    this.tagLength = icvLength;
    this.#context = context;
  }

  protected get context(): number {
    return this.#context;
  }

  abstract prepare(list: CallList, nonceAt: number): void;
  abstract aim(list: CallList, aadAt: number, from: number, body: number, to: number, tagAt: number): void;

  free(): void {
    if (this.#context !== 0) this.openssl.EVP_CIPHER_CTX_free(this.#context);
    this.#context = 0;
  }
}

/** The calls that seal one packet by EVP: encryption, then the tag is read. */
export class EvpSealCalls extends EvpCalls {
  prepare(list: CallList, nonceAt: number): void {
    const { context, arena } = this;
    const outLength = arena.vault.base + Vaulted.outLength;
    const { EVP_CipherInit_ex, EVP_CipherUpdate, EVP_CipherFinal_ex, EVP_CIPHER_CTX_ctrl } =
      this.openssl.native;
    list.set(0, EVP_CipherInit_ex, 1, [context, 0, 0, 0, arena.vault.base + nonceAt, ENCRYPT]);
    list.set(1, EVP_CipherUpdate, 1, [context, 0, outLength, 0, AAD_LENGTH]);
    list.set(2, EVP_CipherUpdate, 1, [context, 0, outLength, 0, 0]);
    list.set(3, EVP_CipherFinal_ex, 1, [context, 0, outLength]);
    list.set(4, EVP_CIPHER_CTX_ctrl, 1, [context, EVP_CTRL_AEAD_GET_TAG, this.tagLength, 0]);
  }

  aim(list: CallList, aadAt: number, from: number, body: number, to: number, tagAt: number): void {
    list.point(1, 3, aadAt);
    list.point(2, 1, to);
    list.point(2, 3, from);
    list.put(2, 4, body);
    list.point(3, 1, to + body);
    list.point(4, 3, tagAt);
  }
}

/** The calls that open one packet by EVP: the tag is set, then decryption, whose end verifies it. */
export class EvpOpenCalls extends EvpCalls {
  prepare(list: CallList, nonceAt: number): void {
    const { context, arena } = this;
    const outLength = arena.vault.base + Vaulted.outLength;
    const { EVP_CipherInit_ex, EVP_CipherUpdate, EVP_CipherFinal_ex, EVP_CIPHER_CTX_ctrl } =
      this.openssl.native;
    list.set(0, EVP_CipherInit_ex, 1, [context, 0, 0, 0, arena.vault.base + nonceAt, DECRYPT]);
    list.set(1, EVP_CIPHER_CTX_ctrl, 1, [context, EVP_CTRL_AEAD_SET_TAG, this.tagLength, 0]);
    list.set(2, EVP_CipherUpdate, 1, [context, 0, outLength, 0, AAD_LENGTH]);
    list.set(3, EVP_CipherUpdate, 1, [context, 0, outLength, 0, 0]);
    list.set(4, EVP_CipherFinal_ex, 1, [context, 0, outLength]);
  }

  aim(list: CallList, aadAt: number, from: number, body: number, to: number, tagAt: number): void {
    list.point(1, 3, tagAt);
    list.point(2, 3, aadAt);
    list.point(3, 1, to);
    list.point(3, 3, from);
    list.put(3, 4, body);
    list.point(4, 1, to + body);
  }
}
