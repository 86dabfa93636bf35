import { HASH_LENGTHS } from '../../../crypto/transforms.js';
import type { HashName } from '../../../crypto/types.js';
import type { NativeFunction } from '../../../linux/ffi.js';
import { type Arena, type Region, Vaulted } from '../memory/arena.js';
import type { KeySlots } from '../memory/key-slots.js';
import type { CallList } from './call-list.js';
import { HASH_STATE, type HashCalls } from './low-level-hash.js';
import type { Openssl } from './openssl.js';

/** A keyed MAC over octets of the arena (RFC 2104), as calls of a list. */
export interface PacketMac {
  /** How many calls it takes. */
  readonly calls: number;
  /** Writes the calls from number `first` on into the list. */
  prepare(list: CallList, first: number): void;
  /**
   * Lets prepared calls take the code of `length` octets at `at`, and write all of it, before truncation, at
   * `to`. Offsets in the arena.
   */
  aim(list: CallList, first: number, at: number, length: number, to: number): void;
  /** Forgets the key. Safe to call twice. */
  free(): void;
}

/** Makes MACs; keys are at an offset of the vault and are only read. */
export interface MacMaker {
  readonly name: string;
  make(hash: HashName, keyAt: number, keyLength: number): PacketMac;
}

/** Fails loudly: with valid states and lengths these calls only fail when the library is broken. */
function must(result: number, call: string): void {
  if (result !== 1) throw new Error(`OpenSSL ${call} failed`);
}

/** MACs by HMAC_CTX: works with every OpenSSL, but copies contexts on the heap for each message. */
export function hmacMaker(openssl: Openssl, { vault: { base } }: Arena): MacMaker {
  const { HMAC_Init_ex, HMAC_Update, HMAC_Final } = openssl.native;
  return {
    name: 'HMAC_CTX',
    make(hash, keyAt, keyLength) {
      const digest = openssl.EVP_get_digestbyname(hash.toUpperCase());
      let context = openssl.HMAC_CTX_new();
      if (digest === 0 || openssl.HMAC_Init_ex(context, base + keyAt, keyLength, digest, 0) !== 1) {
        openssl.HMAC_CTX_free(context);
        openssl.ERR_clear_error();
        throw new RangeError(`OpenSSL refuses HMAC with ${hash}`);
      }
      return {
        calls: 3,
        prepare(list, first) {
          // Without a key HMAC_Init_ex begins a new message under the key it has.
          list.set(first, HMAC_Init_ex, 1, [context, 0, 0, 0, 0]);
          list.set(first + 1, HMAC_Update, 1, [context, 0, 0]);
          list.set(first + 2, HMAC_Final, 1, [context, 0, base + Vaulted.outLength]);
        },
        aim(list, first, at, length, to) {
          list.point(first + 1, 1, at);
          list.put(first + 1, 2, length);
          list.point(first + 2, 1, to);
        },
        free() {
          if (context !== 0) openssl.HMAC_CTX_free(context);
          context = 0;
        },
      };
    },
  };
}

/** RFC 2104 §2: ipad and opad. */
const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;

/** Begins a hash at the vault's `stateAt` with one block of the padded key. Leaves nothing of the key elsewhere. */
function beginHash(
  calls: HashCalls,
  { base, bytes }: Region,
  stateAt: number,
  { keyAt, keyLength, block }: { readonly keyAt: number; readonly keyLength: number; readonly block: number },
  pad: number,
): void {
  const padded = Vaulted.saved;
  bytes.fill(pad, padded, padded + block);
  for (let i = 0; i < keyLength; i++) bytes[padded + i] = bytes[keyAt + i]! ^ pad;
  must(calls.init(base + stateAt), 'hash init');
  must(calls.update.call(base + stateAt, base + padded, block), 'hash update');
  bytes.fill(0, padded, padded + block);
}

/**
 * MACs on hash states in the vault: a slot has the state after the inner pad and the one after the outer
 * pad (RFC 2104 §4); a message begins with a copy of them.
 */
export function stateMaker(
  hashes: ReadonlyMap<HashName, HashCalls>,
  { vault }: Arena,
  slots: KeySlots,
  memcpy: NativeFunction,
): MacMaker {
  const { base } = vault;
  return {
    name: 'hash states',
    make(hash, keyAt, keyLength) {
      const calls = hashes.get(hash);
      const { block, digest } = HASH_LENGTHS[hash];
      if (calls === undefined) throw new RangeError(`OpenSSL does not export ${hash}`);
      // ESP keys are as long as the digest: never longer than a block.
      if (keyLength > block) throw new RangeError(`HMAC key of ${keyLength} octets: ${block} at most`);
      const slot = slots.take();
      const inner = slots.at(slot);
      const outer = inner + HASH_STATE;
      const key = { keyAt, keyLength, block };
      beginHash(calls, vault, inner, key, INNER_PAD);
      beginHash(calls, vault, outer, key, OUTER_PAD);
      const work = base + Vaulted.macState;
      const { update, final } = calls;
      let held = true;
      return {
        calls: 6,
        prepare(list, first) {
          list.set(first, memcpy, undefined, [work, base + inner, HASH_STATE]);
          list.set(first + 1, update, 1, [work, 0, 0]);
          list.set(first + 2, final, 1, [base + Vaulted.mac, work]);
          list.set(first + 3, memcpy, undefined, [work, base + outer, HASH_STATE]);
          list.set(first + 4, update, 1, [work, base + Vaulted.mac, digest]);
          list.set(first + 5, final, 1, [0, work]);
        },
        aim(list, first, at, length, to) {
          list.point(first + 1, 1, at);
          list.put(first + 1, 2, length);
          list.point(first + 5, 0, to);
        },
        free() {
          if (!held) return;
          held = false;
          slots.give(slot);
        },
      };
    },
  };
}
