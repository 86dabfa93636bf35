import type { EspKeys } from '../crypto/types.js';
import { SecretKey } from '../util/secret.js';
import type { EspLayout } from './layout.js';

/** Key material of one direction, split as the packet path uses it. */
export interface SaKeys {
  readonly cipher: SecretKey;
  /** Undefined with an AEAD cipher. */
  readonly integrity: SecretKey | undefined;
  /** Salt and room for the IV (RFC 4106 §4, RFC 7634 §2); empty with CBC. The salt is secret until wiped. */
  readonly nonce: Uint8Array;
}

/** Why key material does not fit the suite; undefined when it does. */
export function keyFault(layout: EspLayout, keys: EspKeys): string | undefined {
  const wanted = layout.keyLength + layout.saltLength;
  if (keys.encryption.length !== wanted) {
    return `ESP encryption key of ${keys.encryption.length} octets: this suite takes ${wanted}`;
  }
  const length = keys.integrity?.length ?? 0;
  if (length === layout.integrityKeyLength) return undefined;
  return `ESP integrity key of ${length} octets: this suite takes ${layout.integrityKeyLength}`;
}

/**
 * Splits key material into cipher key, salt and integrity key (RFC 7296 §2.17, RFC 4106 §8.1) and wipes what
 * it came in.
 * @throws RangeError when a length does not fit the suite; nothing is wiped then
 */
export function splitKeys(layout: EspLayout, keys: EspKeys): SaKeys {
  const fault = keyFault(layout, keys);
  if (fault !== undefined) throw new RangeError(fault);
  const material = keys.encryption.expose();
  const nonce = new Uint8Array(layout.aead ? layout.saltLength + layout.ivLength : 0);
  nonce.set(material.subarray(layout.keyLength));
  const cipher = new SecretKey(material.slice(0, layout.keyLength));
  const integrity = keys.integrity?.clone();
  keys.encryption.wipe();
  keys.integrity?.wipe();
  return { cipher, integrity, nonce };
}

/** Overwrites all of them. Safe to call twice. */
export function wipeKeys(keys: SaKeys): void {
  keys.cipher.wipe();
  keys.integrity?.wipe();
  keys.nonce.fill(0);
}
