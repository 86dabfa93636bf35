import { equalConstantTime } from '../../crypto/compare.js';
import type { CryptoBackend } from '../../crypto/types.js';
import { concat, utf8 } from '../../util/bytes.js';
import type { Random } from '../../util/random.js';
import { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { Prf } from '../../wire/ike/registry.js';

const SECRET_LENGTH = 32;

/** What a cookie is bound to (RFC 7296 §2.6). */
export interface CookieSubject {
  readonly nonce: Uint8Array;
  readonly sourceAddress: string;
  readonly initiatorSpi: Uint8Array;
}

/**
 * Stateless cookies (RFC 7296 §2.6): version of the secret (1 octet) | HMAC-SHA-256(secret, Ni | IPi | SPIi).
 * The secret changes every `secretLife`; the one before stays valid as long again, so that a change
 * under load does not turn honest peers away.
 */
export class CookieJar {
  readonly #crypto: CryptoBackend;
  readonly #random: Random;
  readonly #secretLife: Millis;
  #current: SecretKey | undefined;
  #previous: SecretKey | undefined;
  #version = 0;
  #madeAt: Millis = 0;

  constructor(crypto: CryptoBackend, random: Random, secretLife: Millis) {
    this.#crypto = crypto;
    this.#random = random;
    this.#secretLife = secretLife;
  }

  issue(subject: CookieSubject, now: Millis): Uint8Array {
    this.#rotate(now);
    this.#current ??= this.#fresh(now);
    return this.#cookie(this.#version, this.#current, subject);
  }

  verify(cookie: Uint8Array, subject: CookieSubject, now: Millis): boolean {
    const expected = cookie.length === 0 ? undefined : this.reissue(cookie[0]!, subject, now);
    return expected !== undefined && equalConstantTime(expected, cookie);
  }

  /** The cookie with this version of the secret; undefined when there is no such one, or not any more. */
  reissue(version: number, subject: CookieSubject, now: Millis): Uint8Array | undefined {
    this.#rotate(now);
    const secret =
      version === this.#version
        ? this.#current
        : version === ((this.#version - 1) & 0xff)
          ? this.#previous
          : undefined;
    return secret === undefined ? undefined : this.#cookie(version, secret, subject);
  }

  #rotate(now: Millis): void {
    if (this.#current === undefined) return;
    const age = now - this.#madeAt;
    if (age < this.#secretLife) return;
    this.#previous?.wipe();
    if (age < 2 * this.#secretLife) {
      this.#previous = this.#current;
    } else {
      this.#current.wipe();
      this.#previous = undefined;
    }
    this.#version = (this.#version + 1) & 0xff;
    this.#current = this.#fresh(now);
  }

  #fresh(now: Millis): SecretKey {
    this.#madeAt = now;
    return new SecretKey(this.#random.bytes(SECRET_LENGTH));
  }

  #cookie(version: number, secret: SecretKey, subject: CookieSubject): Uint8Array {
    const mac = this.#crypto
      .prf(Prf.HMAC_SHA2_256)
      .compute(secret.expose(), subject.nonce, utf8(subject.sourceAddress), subject.initiatorSpi);
    return concat(Uint8Array.of(version), mac);
  }
}
