import { AAD_LENGTH } from '../../../esp/layout.js';
import { type NativeFunction, openLibrary } from '../../../linux/ffi.js';
import { err, ok, type Result } from '../../../util/result.js';
import type { Arena } from '../memory/arena.js';
import type { KeySlots } from '../memory/key-slots.js';
import type { AeadCalls, GcmMaker } from './aead-calls.js';
import type { CallList } from './call-list.js';

/**
 * AES-GCM by CRYPTO_gcm128_*(3) over OpenSSL's AES-NI functions. OpenSSL 3.0's EVP looks up parameters by
 * name, dozens of string comparisons for a packet: a quarter of what AES-GCM costs at 1400 octets. Below it
 * are these functions, which the Node binary exports as well. Where they are missing EVP does the work.
 */
export interface Gcm128 {
  readonly setKey: NativeFunction;
  readonly block: NativeFunction;
  readonly counter: NativeFunction;
  readonly init: NativeFunction;
  readonly release: NativeFunction;
  readonly setIv: NativeFunction;
  readonly aad: NativeFunction;
  readonly encrypt: NativeFunction;
  readonly decrypt: NativeFunction;
  readonly tag: NativeFunction;
  readonly finish: NativeFunction;
}

const P = 'uintptr_t';

const FUNCTIONS: Readonly<Record<keyof Gcm128, readonly [name: string, result: string, ...args: string[]]>> =
  {
    setKey: ['aesni_set_encrypt_key', 'int', P, 'int', P],
    block: ['aesni_encrypt', 'void', P, P, P],
    counter: ['aesni_ctr32_encrypt_blocks', 'void', P, P, 'size_t', P, P],
    init: ['CRYPTO_gcm128_new', P, P, P],
    release: ['CRYPTO_gcm128_release', 'void', P],
    setIv: ['CRYPTO_gcm128_setiv', 'void', P, P, 'size_t'],
    aad: ['CRYPTO_gcm128_aad', 'int', P, P, 'size_t'],
    encrypt: ['CRYPTO_gcm128_encrypt_ctr32', 'int', P, P, P, 'size_t', P],
    decrypt: ['CRYPTO_gcm128_decrypt_ctr32', 'int', P, P, P, 'size_t', P],
    tag: ['CRYPTO_gcm128_tag', 'void', P, P, 'size_t'],
    finish: ['CRYPTO_gcm128_finish', 'int', P, P, 'size_t'],
  };

/**
 * The functions, or why EVP is to be used: they are not exported, the processor lacks the instructions (they
 * do not ask), or OpenSSL is newer than 3.0, whose EVP has faster code for newer processors.
 */
export function loadGcm128(
  processor: ReadonlySet<string>,
  version = process.versions.openssl,
): Result<Gcm128, string> {
  if (!version.startsWith('3.0.')) return err(`OpenSSL ${version} is not 3.0`);
  const lacking = ['aes', 'pclmulqdq', 'ssse3'].filter((flag) => !processor.has(flag));
  if (lacking.length > 0) return err(`the processor lacks ${lacking.join(', ')}`);
  const library = openLibrary(null);
  const missing = Object.values(FUNCTIONS).filter(([name]) => !library.has(name));
  if (missing.length > 0)
    return err(`the Node binary does not export ${missing.map(([name]) => name).join(', ')}`);
  const bind = (key: keyof Gcm128): NativeFunction => {
    const [name, result, ...args] = FUNCTIONS[key];
    return library.native(name, result, args);
  };
  return ok({
    setKey: bind('setKey'),
    block: bind('block'),
    counter: bind('counter'),
    init: bind('init'),
    release: bind('release'),
    setIv: bind('setIv'),
    aad: bind('aad'),
    encrypt: bind('encrypt'),
    decrypt: bind('decrypt'),
    tag: bind('tag'),
    finish: bind('finish'),
  });
}

const TAG_LENGTH = 16;

/** AES-GCM by these functions. */
export function gcm128Maker(functions: Gcm128, arena: Arena, slots: KeySlots): GcmMaker {
  return (...key) => new GcmCalls({ functions, arena, slots }, ...key);
}

interface GcmParts {
  readonly functions: Gcm128;
  readonly arena: Arena;
  /** Where key schedules are kept. */
  readonly slots: KeySlots;
}

/** One direction of one key. The key schedule lies in a slot of the vault, wiped by `free`. */
class GcmCalls implements AeadCalls {
  readonly calls = 4;
  readonly #functions: Gcm128;
  readonly #arena: Arena;
  readonly #slots: KeySlots;
  readonly #seals: boolean;
  readonly #slot: number;
  #context: number;

  /** `keyAt`: the key of `keyBits` bits in the vault, which is only read. @throws RangeError when it is refused */
  constructor({ functions, arena, slots }: GcmParts, keyAt: number, keyBits: number, seals: boolean) {
    this.#functions = functions;
    this.#arena = arena;
    this.#slots = slots;
    this.#seals = seals;
    this.#slot = slots.take();
    const schedule = arena.vault.base + slots.at(this.#slot);
    if (functions.setKey.call(arena.vault.base + keyAt, keyBits, schedule) !== 0) {
      slots.give(this.#slot);
      throw new RangeError(`AES refuses a key of ${keyBits} bits`);
    }
    this.#context = functions.init.call(schedule, functions.block.address);
  }

  prepare(list: CallList, nonceAt: number): void {
    const { setIv, aad, encrypt, decrypt, tag, finish, counter } = this.#functions;
    const context = this.#context;
    list.set(0, setIv, undefined, [context, this.#arena.vault.base + nonceAt, 12]);
    list.set(1, aad, 0, [context, 0, AAD_LENGTH]);
    list.set(2, this.#seals ? encrypt : decrypt, 0, [context, 0, 0, 0, counter.address]);
    if (this.#seals) list.set(3, tag, undefined, [context, 0, TAG_LENGTH]);
    // Compares in constant time.
    else list.set(3, finish, 0, [context, 0, TAG_LENGTH]);
  }

  aim(list: CallList, aadAt: number, from: number, body: number, to: number, tagAt: number): void {
    list.point(1, 1, aadAt);
    list.point(2, 1, from);
    list.point(2, 2, to);
    list.put(2, 3, body);
    list.point(3, 1, tagAt);
  }

  free(): void {
    if (this.#context === 0) return;
    this.#functions.release.call(this.#context);
    this.#context = 0;
    this.#slots.give(this.#slot);
  }
}
