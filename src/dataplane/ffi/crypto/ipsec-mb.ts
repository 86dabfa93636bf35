import { AAD_LENGTH } from '../../../esp/layout.js';
import { type NativeFunction, openLibrary } from '../../../linux/ffi.js';
import { err, ok, type Result } from '../../../util/result.js';
import { type Arena, Vaulted } from '../memory/arena.js';
import type { AeadCalls, GcmMaker } from './aead-calls.js';
import type { CallList } from './call-list.js';
import type { Openssl } from './openssl.js';

/**
 * AES-GCM by Intel's Multi-Buffer Crypto for IPsec (Debian: libipsec-mb1), where it is installed. Its code for
 * AVX-512 takes 1400 octets in half the time of OpenSSL 3.0. Of its interface only the direct functions for one
 * message are used: start, update, finish.
 */
export interface IpsecMb {
  /** With its version: `libIPSec_MB 1.3.0`. */
  readonly name: string;
  /** Which of its codes: `vaes_avx512`. */
  readonly variant: string;
  /** By key length in bits. */
  readonly ciphers: ReadonlyMap<number, GcmFunctions>;
  readonly alloc: (alignment: number, length: number) => number;
  readonly release: (address: number) => void;
  readonly cleanse: (address: number, length: number) => void;
}

interface GcmFunctions {
  readonly setKey: NativeFunction;
  readonly init: NativeFunction;
  readonly encrypt: NativeFunction;
  readonly decrypt: NativeFunction;
  readonly sealed: NativeFunction;
  readonly opened: NativeFunction;
}

const LIBRARY = 'libIPSec_MB.so.1';
/** Whose struct gcm_key_data is as `KEY_DATA` says: the caller gives it its memory. */
const VERSION = '1.3.';

/** Its code for AES-GCM, the fastest first, and what that needs of the processor: the library does not ask. */
const VARIANTS: readonly (readonly [name: string, ...flags: string[]])[] = [
  ['vaes_avx512', 'vaes', 'vpclmulqdq', 'avx512f', 'avx512bw', 'avx512dq', 'avx512vl', 'bmi2'],
  ['avx_gen4', 'aes', 'pclmulqdq', 'avx2', 'bmi2'],
];

const KEY_BITS = [128, 192, 256];

const P = 'uintptr_t';

type Signature = (bits: number, variant: string) => readonly [name: string, ...args: string[]];

const FUNCTIONS: Readonly<Record<keyof GcmFunctions, Signature>> = {
  setKey: (bits, variant) => [`aes_gcm_pre_${bits}_${variant}`, P, P],
  init: (bits, variant) => [`aes_gcm_init_${bits}_${variant}`, P, P, P, P, 'uint64_t'],
  encrypt: (bits, variant) => [`aes_gcm_enc_${bits}_update_${variant}`, P, P, P, P, 'uint64_t'],
  decrypt: (bits, variant) => [`aes_gcm_dec_${bits}_update_${variant}`, P, P, P, P, 'uint64_t'],
  sealed: (bits, variant) => [`aes_gcm_enc_${bits}_finalize_${variant}`, P, P, P, 'uint64_t'],
  opened: (bits, variant) => [`aes_gcm_dec_${bits}_finalize_${variant}`, P, P, P, 'uint64_t'],
};

/** The library, or why it is not used. Whether it computes what it should is for the caller to check. */
export function loadIpsecMb(processor: ReadonlySet<string>, path = LIBRARY): Result<IpsecMb, string> {
  const variant = VARIANTS.find(([, ...flags]) => flags.every((flag) => processor.has(flag)))?.[0];
  if (variant === undefined) return err('the processor lacks VAES with AVX-512, and AVX2');
  let library: ReturnType<typeof openLibrary>;
  try {
    library = openLibrary(path);
  } catch {
    return err(`${path} is not installed`);
  }
  const libc = openLibrary(null);
  try {
    const version = library.bind<() => string>('imb_get_version_str', 'str', [])();
    if (!version.startsWith(VERSION))
      return err(`${path} ${version} is not ${VERSION}x, whose keys have the length known`);
    const ciphers = KEY_BITS.map((bits) => {
      const bind = (key: keyof GcmFunctions): NativeFunction => {
        const [name, ...args] = FUNCTIONS[key](bits, variant);
        return library.native(name, 'void', args);
      };
      const functions: GcmFunctions = {
        setKey: bind('setKey'),
        init: bind('init'),
        encrypt: bind('encrypt'),
        decrypt: bind('decrypt'),
        sealed: bind('sealed'),
        opened: bind('opened'),
      };
      return [bits, functions] as const;
    });
    return ok({
      name: `libIPSec_MB ${version}`,
      variant,
      ciphers: new Map(ciphers),
      alloc: libc.bind('aligned_alloc', P, ['size_t', 'size_t']),
      release: libc.bind('free', 'void', [P]),
      cleanse: libc.bind('OPENSSL_cleanse', 'void', [P, 'size_t']),
    });
  } catch (error) {
    return err(`${path}: ${String((error as Error).message).split('\n')[0]}`);
  }
}

/** struct gcm_key_data: 15 round keys and up to 48 powers of the hash key, 16 octets each. */
const KEY_DATA = 1024;
const ALIGNMENT = 64;
const TAG_LENGTH = 16;

/** AES-GCM by this library. */
export function ipsecMbMaker(library: IpsecMb, openssl: Openssl, arena: Arena): GcmMaker {
  return (...key) => new IpsecMbCalls({ library, openssl, arena }, ...key);
}

interface IpsecMbParts {
  readonly library: IpsecMb;
  readonly openssl: Openssl;
  readonly arena: Arena;
}

/** One direction of one key. What is derived from the key lies outside of both memories, wiped by `free`. */
class IpsecMbCalls implements AeadCalls {
  readonly calls: number;
  readonly #library: IpsecMb;
  readonly #functions: GcmFunctions;
  readonly #memcmp: NativeFunction;
  readonly #arena: Arena;
  readonly #seals: boolean;
  #keyData: number;

  /** `keyAt`: the key of `keyBits` bits in the vault, which is only read. @throws RangeError when it is refused */
  constructor({ library, openssl, arena }: IpsecMbParts, keyAt: number, keyBits: number, seals: boolean) {
    const functions = library.ciphers.get(keyBits);
    if (functions === undefined) throw new RangeError(`AES refuses a key of ${keyBits} bits`);
    this.#library = library;
    this.#functions = functions;
    this.#memcmp = openssl.native.CRYPTO_memcmp;
    this.#arena = arena;
    this.#seals = seals;
    this.calls = seals ? 3 : 4;
    this.#keyData = library.alloc(ALIGNMENT, KEY_DATA);
    if (this.#keyData === 0) throw new RangeError('no memory for the keys of another SA');
    functions.setKey.call(arena.vault.base + keyAt, this.#keyData);
  }

  prepare(list: CallList, nonceAt: number): void {
    const { init, encrypt, decrypt, sealed, opened } = this.#functions;
    const { base } = this.#arena.vault;
    const key = this.#keyData;
    // The state of the current packet: reset by `init`.
    const state = base + Vaulted.gcmState;
    list.set(0, init, undefined, [key, state, base + nonceAt, 0, AAD_LENGTH]);
    list.set(1, this.#seals ? encrypt : decrypt, undefined, [key, state, 0, 0, 0]);
    if (this.#seals) {
      list.set(2, sealed, undefined, [key, state, 0, TAG_LENGTH]);
      return;
    }
    list.set(2, opened, undefined, [key, state, base + Vaulted.mac, TAG_LENGTH]);
    // In constant time.
    list.set(3, this.#memcmp, 0, [base + Vaulted.mac, 0, TAG_LENGTH]);
  }

  aim(list: CallList, aadAt: number, from: number, body: number, to: number, tagAt: number): void {
    list.point(0, 3, aadAt);
    list.point(1, 2, to);
    list.point(1, 3, from);
    list.put(1, 4, body);
    if (this.#seals) list.point(2, 2, tagAt);
    else list.point(3, 1, tagAt);
  }

  free(): void {
    if (this.#keyData === 0) return;
    this.#library.cleanse(this.#keyData, KEY_DATA);
    this.#library.release(this.#keyData);
    this.#keyData = 0;
  }
}
