import { dhFromName, encryptionFromName, encryptionName, integrityFromName } from '../crypto/names.js';
import { Encr } from '../wire/ike/registry.js';
import { UsageError } from './errors.js';

/** A suite in the words of the configuration file. */
export interface Suite {
  readonly ike: {
    readonly encryption_algorithm: string;
    readonly authentication_algorithm: string;
    readonly dh_group: number;
  };
  readonly esp: {
    readonly encryption_algorithm: string;
    readonly authentication_algorithm: string;
    readonly pfs: string;
  };
}

/** The help text of `--suite`. */
export const SUITE_HELP =
  'Suite: IKE[/ESP], each CIPHER[-HASH][-GROUP]. Ciphers: aes128 aes192 aes256 3des aes128gcm16 aes192gcm16 ' +
  'aes256gcm16 chacha20poly1305. Hashes: md5 sha1 sha256 sha384 sha512. Groups: modp1024 (2) modp1536 (5) ' +
  'modp2048 (14, the default) modp3072 modp4096 modp6144 modp8192 ecp256 ecp384 ecp521 x25519 (31). A group in ' +
  'the ESP part means PFS. One part alone stands for both, without PFS.';

interface Part {
  readonly cipher: string;
  readonly aead: boolean;
  readonly hash: string | undefined;
  readonly group: number | undefined;
}

const DEFAULT_GROUP = 14;

/**
 * Reads `aes256-sha256-modp2048`, `aes128gcm16`, `3des-md5` or, with ESP on its own,
 * `aes256-sha256-x25519/aes128gcm16`.
 * @throws UsageError that names the unknown word, or what is missing
 */
export function parseSuite(text: string): Suite {
  const parts = text.split('/');
  if (parts.length > 2) throw new UsageError(`suite "${text}" has more than an IKE and an ESP part`);
  const ike = parsePart(parts[0]!, text);
  const esp = parts.length === 2 ? parsePart(parts[1]!, text) : { ...ike, group: undefined };
  return {
    ike: {
      encryption_algorithm: ike.cipher,
      // With AEAD the hash is that of the PRF (RFC 5282 §4, §8).
      authentication_algorithm: ike.hash ?? 'sha256',
      dh_group: ike.group ?? DEFAULT_GROUP,
    },
    esp: {
      encryption_algorithm: esp.cipher,
      authentication_algorithm: esp.aead ? 'disabled' : (esp.hash ?? ''),
      pfs: esp.group === undefined ? 'disabled' : `group_${esp.group}`,
    },
  };
}

function parsePart(part: string, suite: string): Part {
  let cipher: string | undefined;
  let aead = false;
  let hash: string | undefined;
  let group: number | undefined;
  for (const word of part.toLowerCase().split('-')) {
    const encryption = encryptionFromName(word);
    if (encryption !== undefined && cipher === undefined) {
      cipher = encryptionName(encryption);
      aead = encryption.id === Encr.AES_GCM_16 || encryption.id === Encr.CHACHA20_POLY1305;
    } else if (integrityFromName(word.replace(/^prf/, '')) !== undefined && hash === undefined) {
      hash = word.replace(/^prf/, '');
    } else if (dhFromName(word) !== undefined && group === undefined) {
      group = dhFromName(word);
    } else {
      throw new UsageError(`suite "${suite}": "${word}" is not a cipher, hash or group, or is one too many`);
    }
  }
  if (cipher === undefined) {
    throw new UsageError(`suite "${suite}" names no cipher; write it like aes256-sha256-modp2048`);
  }
  if (!aead && hash === undefined) {
    throw new UsageError(`suite "${suite}": ${cipher} needs a hash; write ${cipher}-sha256`);
  }
  return { cipher, aead, hash, group };
}
