import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { SecretKey } from '../util/secret.js';
import { readSecretFile } from './secret-file.js';
import { StoreError } from './store.js';

/**
 * The form of secrets at rest: octet 0 is PLAIN (the rest is UTF-8) or SEALED (then 8 octets that say which key
 * was used, a nonce of 12, the ciphertext, a tag of 16; AES-256-GCM). What a secret belongs to is authenticated
 * with it, so a sealed value cannot be moved to another object.
 */
const PLAIN = 0;
const SEALED = 1;
const KEY_OCTETS = 32;
const ID_OCTETS = 8;
const NONCE_OCTETS = 12;
const TAG_OCTETS = 16;
/** Of a key file: 64 digits and a line end, with some room. */
const MAX_FILE_OCTETS = 256;

/** Turns secrets into what is written down, and back. */
export interface Sealer {
  /** Told apart from others by this; undefined when nothing is sealed. */
  readonly keyId: string | undefined;
  seal(text: string, owner: string): Buffer;
  /** @throws StoreError `sealed` when it is sealed with another key, `damaged` when it was changed */
  open(sealed: Uint8Array, owner: string): string;
}

/** Whether the octets are in the form that this sealer writes, and not in an older one. */
export function isSealedBy(sealer: Sealer, sealed: Uint8Array): boolean {
  if (sealed[0] !== SEALED) return sealer.keyId === undefined;
  return Buffer.from(sealed.subarray(1, 1 + ID_OCTETS)).toString('hex') === sealer.keyId;
}

/** Without a key file secrets are protected by the mode of the store's file alone. */
export const plainSealer: Sealer = {
  keyId: undefined,
  seal: (text) => Buffer.concat([Buffer.of(PLAIN), Buffer.from(text, 'utf8')]),
  open(sealed) {
    if (sealed[0] !== PLAIN) {
      throw new StoreError(
        'sealed',
        'secrets in the store are sealed and no key file is configured',
        'configure the key file that the store was used with',
      );
    }
    return Buffer.from(sealed.subarray(1)).toString('utf8');
  },
};

/**
 * A sealer with a key of 32 octets. Secrets that are still in plain form are opened too, so that a store can be
 * given a key later.
 */
export function createSealer(key: SecretKey): Sealer {
  if (key.length !== KEY_OCTETS) throw new RangeError(`a sealing key has ${KEY_OCTETS} octets`);
  const keyId = createHash('sha256')
    .update('culvert store key ')
    .update(key.expose())
    .digest('hex')
    .slice(0, 2 * ID_OCTETS);
  return {
    keyId,
    seal(text, owner) {
      const nonce = randomBytes(NONCE_OCTETS);
      const cipher = createCipheriv('aes-256-gcm', key.expose(), nonce).setAAD(Buffer.from(owner, 'utf8'));
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
      return Buffer.concat([Buffer.of(SEALED), Buffer.from(keyId, 'hex'), nonce, body, cipher.getAuthTag()]);
    },
    open(sealed, owner) {
      if (sealed[0] === PLAIN) return plainSealer.open(sealed, owner);
      const at = 1 + ID_OCTETS;
      if (Buffer.from(sealed.subarray(1, at)).toString('hex') !== keyId) {
        const message = `the secret of ${owner} is sealed with another key`;
        throw new StoreError('sealed', message, 'configure the key file that the store was used with');
      }
      const body = sealed.subarray(at + NONCE_OCTETS, sealed.length - TAG_OCTETS);
      try {
        const decipher = createDecipheriv('aes-256-gcm', key.expose(), sealed.subarray(at, at + NONCE_OCTETS))
          .setAAD(Buffer.from(owner, 'utf8'))
          .setAuthTag(sealed.subarray(sealed.length - TAG_OCTETS));
        return decipher.update(body, undefined, 'utf8') + decipher.final('utf8');
      } catch (error) {
        const message = `the sealed secret of ${owner} was changed`;
        throw new StoreError('damaged', message, 'restore the store from a backup', { cause: error });
      }
    },
  };
}

/**
 * The key in a file: 64 hexadecimal digits or the base64 form of 32 octets (`openssl rand -hex 32`), with one
 * line end or none. A file that others may read is refused.
 * @throws StoreError `sealed`
 */
export function readSealingKey(path: string): SecretKey {
  const refuse = (what: string): StoreError =>
    new StoreError('sealed', `the key file "${path}" ${what}`, 'make one: openssl rand -hex 32');
  const read = readSecretFile(path, MAX_FILE_OCTETS, 'a key');
  if (!read.ok) throw refuse(read.error);
  const text = read.value.toString('latin1').replace(/\r?\n$/, '');
  read.value.fill(0);
  const octets = /^[0-9a-fA-F]{64}$/.test(text)
    ? Buffer.from(text, 'hex')
    : /^[A-Za-z0-9+/]{43}=$/.test(text)
      ? Buffer.from(text, 'base64')
      : undefined;
  if (octets === undefined) throw refuse('holds no key of 32 octets');
  return new SecretKey(Uint8Array.from(octets));
}
