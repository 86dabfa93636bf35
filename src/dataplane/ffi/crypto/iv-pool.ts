import { type Arena, RANDOM_POOL, Vaulted } from '../memory/arena.js';
import type { Openssl } from './openssl.js';

/**
 * Unpredictable IVs for CBC (RFC 3602 §3), drawn in bulk from OpenSSL's generator. No octet is used twice,
 * and none leaves before the packet it is for.
 */
export class IvPool {
  readonly #openssl: Openssl;
  readonly #arena: Arena;
  #used = RANDOM_POOL;

  constructor(openssl: Openssl, arena: Arena) {
    this.#openssl = openssl;
    this.#arena = arena;
  }

  /** Writes `length` fresh octets at `at`. @throws Error when the generator has none */
  write(at: number, length: number): void {
    const { bytes, vault } = this.#arena;
    if (this.#used + length > RANDOM_POOL) {
      if (this.#openssl.RAND_bytes(vault.base + Vaulted.random, RANDOM_POOL) !== 1) {
        throw new Error('OpenSSL RAND_bytes failed');
      }
      this.#used = 0;
    }
    const from = Vaulted.random + this.#used;
    for (let i = 0; i < length; i++) {
      bytes[at + i] = vault.bytes[from + i]!;
      vault.bytes[from + i] = 0;
    }
    this.#used += length;
  }
}
