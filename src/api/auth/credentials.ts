import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Role } from './principal.js';

/** A token or API key as the configuration has it: never in its own form. */
export interface Credential {
  /** Who has it: the audit log names them. */
  readonly name: string;
  readonly role: Role;
  /** `sha256:` and 64 hexadecimal digits: `hashSecret` of the token or key. */
  readonly hash: string;
}

/** What `hashSecret` returns, as a pattern for schemas. */
export const HASH_PATTERN = '^sha256:[0-9a-f]{64}$';

/**
 * Tokens and keys are 32 random octets, which no one guesses: a plain hash is enough to keep them, and cheap
 * enough to be computed at every request. Words that people choose do not belong here.
 */
export function newSecret(): string {
  return `culvert_${randomBytes(32).toString('base64url')}`;
}

/** Returns the form in which the server's file holds a token or key: `sha256:` and 64 hexadecimal digits. */
export function hashSecret(secret: string): string {
  return `sha256:${createHash('sha256').update(secret, 'utf8').digest('hex')}`;
}

/** The credential that a secret belongs to. Compares all of them, so that the time it takes reveals nothing. */
export function findCredential(credentials: readonly Credential[], secret: string): Credential | undefined {
  const given = Buffer.from(hashSecret(secret), 'latin1');
  let found: Credential | undefined;
  for (const credential of credentials) {
    const hash = Buffer.from(credential.hash, 'latin1');
    if (hash.length === given.length && timingSafeEqual(hash, given)) found = credential;
  }
  return found;
}
