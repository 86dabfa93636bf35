import type { HashName } from '../../../crypto/types.js';
import { type NativeFunction, openLibrary } from '../../../linux/ffi.js';
import { type HashCalls, loadHashes } from './low-level-hash.js';

/**
 * The OpenSSL calls of the packet path. They come from the Node binary itself, which exports its OpenSSL, so
 * there is no library to install; a Node built against a shared OpenSSL gets them from libcrypto.so.3.
 * Contexts and buffers are addresses as numbers. All answer 1 on success unless noted.
 */
export interface Openssl {
  EVP_CIPHER_CTX_new(): number;
  EVP_CIPHER_CTX_free(context: number): void;
  /** A static cipher description, 0 when this build lacks it. */
  EVP_get_cipherbyname(name: string): number;
  EVP_get_digestbyname(name: string): number;
  EVP_CipherInit_ex(
    ctx: number,
    cipher: number,
    engine: number,
    key: number,
    iv: number,
    enc: number,
  ): number;
  EVP_CIPHER_CTX_set_padding(context: number, padding: number): number;
  EVP_CIPHER_CTX_ctrl(context: number, command: number, value: number, address: number): number;
  EVP_CipherUpdate(context: number, out: number, outLength: number, input: number, length: number): number;
  EVP_CipherFinal_ex(context: number, out: number, outLength: number): number;
  HMAC_CTX_new(): number;
  HMAC_CTX_free(context: number): void;
  HMAC_Init_ex(context: number, key: number, keyLength: number, digest: number, engine: number): number;
  HMAC_Update(context: number, input: number, length: number): number;
  HMAC_Final(context: number, out: number, outLength: number): number;
  /** Zero when the octets are equal; in a time that depends on the length only. */
  CRYPTO_memcmp(a: number, b: number, length: number): number;
  RAND_bytes(out: number, length: number): number;
  ERR_clear_error(): void;
  /** What a packet takes, for lists of calls. */
  readonly native: Readonly<Record<PacketCall, NativeFunction>>;
}

/** The functions above that lists of calls name, and libc's memcpy. */
type PacketCall =
  | 'EVP_CipherInit_ex'
  | 'EVP_CIPHER_CTX_ctrl'
  | 'EVP_CipherUpdate'
  | 'EVP_CipherFinal_ex'
  | 'HMAC_Init_ex'
  | 'HMAC_Update'
  | 'HMAC_Final'
  | 'CRYPTO_memcmp'
  | 'memcpy';

const P = 'uintptr_t';

type Signature = readonly [result: string, ...parameters: string[]];

const SIGNATURES: Readonly<Record<Exclude<keyof Openssl, 'native'>, Signature>> = {
  EVP_CIPHER_CTX_new: [P],
  EVP_CIPHER_CTX_free: ['void', P],
  EVP_get_cipherbyname: [P, 'str'],
  EVP_get_digestbyname: [P, 'str'],
  EVP_CipherInit_ex: ['int', P, P, P, P, P, 'int'],
  EVP_CIPHER_CTX_set_padding: ['int', P, 'int'],
  EVP_CIPHER_CTX_ctrl: ['int', P, 'int', 'int', P],
  EVP_CipherUpdate: ['int', P, P, P, P, 'int'],
  EVP_CipherFinal_ex: ['int', P, P, P],
  HMAC_CTX_new: [P],
  HMAC_CTX_free: ['void', P],
  HMAC_Init_ex: ['int', P, P, 'int', P, P],
  HMAC_Update: ['int', P, P, 'size_t'],
  HMAC_Final: ['int', P, P, P],
  CRYPTO_memcmp: ['int', P, P, 'size_t'],
  RAND_bytes: ['int', P, 'int'],
  ERR_clear_error: ['void'],
};

const MEMCPY: Signature = [P, P, P, 'size_t'];

const PACKET_CALLS: readonly Exclude<PacketCall, 'memcpy'>[] = [
  'EVP_CipherInit_ex',
  'EVP_CIPHER_CTX_ctrl',
  'EVP_CipherUpdate',
  'EVP_CipherFinal_ex',
  'HMAC_Init_ex',
  'HMAC_Update',
  'HMAC_Final',
  'CRYPTO_memcmp',
];

const LIBRARIES: readonly (string | null)[] = [null, 'libcrypto.so.3'];

/** The OpenSSL that was found, or why there is none to be used. */
export type OpensslProbe =
  | {
      readonly ok: true;
      readonly openssl: Openssl;
      readonly library: string;
      /** Hash functions on states in memory, where the library exports them. */
      readonly hashes: ReadonlyMap<HashName, HashCalls>;
    }
  | { readonly ok: false; readonly reason: string };

/** The first library that has every symbol, or why none has. */
export function loadOpenssl(libraries: readonly (string | null)[] = LIBRARIES): OpensslProbe {
  const reasons: string[] = [];
  for (const path of libraries) {
    const label = path ?? 'the Node binary';
    try {
      const library = openLibrary(path);
      const missing = Object.keys(SIGNATURES).filter((name) => !library.has(name));
      if (missing.length > 0) {
        reasons.push(`${label} does not export ${missing.join(', ')}`);
        continue;
      }
      const calls = Object.entries(SIGNATURES).map(([name, [result, ...parameters]]) => [
        name,
        library.bind(name, result, parameters),
      ]);
      const native = PACKET_CALLS.map((name) => {
        const [result, ...parameters] = SIGNATURES[name];
        return [name, library.native(name, result, parameters)] as const;
      });
      const [result, ...parameters] = MEMCPY;
      const memcpy = openLibrary(null).native('memcpy', result, parameters);
      return {
        ok: true,
        openssl: {
          ...(Object.fromEntries(calls) as Omit<Openssl, 'native'>),
          native: { ...Object.fromEntries(native), memcpy } as Openssl['native'],
        },
        library: label,
        hashes: loadHashes(path),
      };
    } catch (error) {
      reasons.push(`${label}: ${String((error as Error).message).split('\n')[0]}`);
    }
  }
  return { ok: false, reason: reasons.join('; ') };
}
