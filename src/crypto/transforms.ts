import { Dh, Encr, Integ, nameOf, Prf } from '../wire/ike/registry.js';
import type { CipherId, EspSuite, HashName, IkeSuite } from './types.js';

/** A cipher as negotiated. Lengths in octets. */
export interface EncryptionTransform extends CipherId {
  readonly aead: boolean;
  readonly keyLength: number;
  /** Taken from the key material after the key: 4 with an AEAD cipher (RFC 4106 §8.1, RFC 7634 §4). */
  readonly saltLength: number;
  /** The explicit IV in each packet. */
  readonly ivLength: number;
  /** The plaintext is padded to a multiple of this; 1 with an AEAD cipher, which pads for ESP's sake only. */
  readonly blockLength: number;
  /** 0 unless the cipher is AEAD. */
  readonly icvLength: number;
  /** Bits of security against key search: for ordering, not for display. */
  readonly strength: number;
}

/** A MAC as negotiated (RFC 2403, 2404, 4868). Lengths in octets. */
export interface IntegrityTransform {
  readonly id: number;
  readonly hash: HashName;
  readonly keyLength: number;
  readonly icvLength: number;
}

/** An HMAC as pseudo-random function. Lengths in octets; the preferred key length is that of the output. */
export interface PrfTransform {
  readonly id: number;
  readonly hash: HashName;
  readonly keyLength: number;
  readonly outputLength: number;
}

/** A Diffie-Hellman group. Lengths in octets. */
export interface DhTransform {
  readonly id: number;
  readonly publicLength: number;
  readonly sharedLength: number;
  /** Bits of security, estimated (RFC 3526 §8, RFC 5903 §4): for ordering, not for display. */
  readonly strength: number;
}

function cbc(
  id: number,
  keyBits: number,
  keyLength: number,
  block: number,
  strength: number,
): EncryptionTransform {
  return {
    id,
    keyBits,
    aead: false,
    keyLength,
    saltLength: 0,
    ivLength: block,
    blockLength: block,
    icvLength: 0,
    strength,
  };
}

function aead(id: number, keyBits: number, keyLength: number): EncryptionTransform {
  return {
    id,
    keyBits,
    aead: true,
    keyLength,
    saltLength: 4,
    ivLength: 8,
    blockLength: 1,
    icvLength: 16,
    strength: keyLength * 8,
  };
}

/** Ciphers, the preferred first: AEAD before CBC, the stronger first in each. */
export const ENCRYPTION_TRANSFORMS: readonly EncryptionTransform[] = [
  aead(Encr.AES_GCM_16, 256, 32),
  aead(Encr.CHACHA20_POLY1305, 0, 32),
  aead(Encr.AES_GCM_16, 192, 24),
  aead(Encr.AES_GCM_16, 128, 16),
  cbc(Encr.AES_CBC, 256, 32, 16, 256),
  cbc(Encr.AES_CBC, 192, 24, 16, 192),
  cbc(Encr.AES_CBC, 128, 16, 16, 128),
  // Three keys of 64 bits with parity; meet-in-the-middle leaves 112 bits (RFC 2451 §3).
  cbc(Encr.TRIPLE_DES, 0, 24, 8, 112),
];

/** Octets of the digest and of the block of each hash (RFC 1321, FIPS 180-4). */
export const HASH_LENGTHS: Readonly<Record<HashName, { readonly digest: number; readonly block: number }>> = {
  md5: { digest: 16, block: 64 },
  sha1: { digest: 20, block: 64 },
  sha256: { digest: 32, block: 64 },
  sha384: { digest: 48, block: 128 },
  sha512: { digest: 64, block: 128 },
};

function mac(id: number, hash: HashName, icvLength: number): IntegrityTransform {
  return { id, hash, keyLength: HASH_LENGTHS[hash].digest, icvLength };
}

/** MACs, the stronger first. */
export const INTEGRITY_TRANSFORMS: readonly IntegrityTransform[] = [
  mac(Integ.HMAC_SHA2_512_256, 'sha512', 32),
  mac(Integ.HMAC_SHA2_384_192, 'sha384', 24),
  mac(Integ.HMAC_SHA2_256_128, 'sha256', 16),
  mac(Integ.HMAC_SHA1_96, 'sha1', 12),
  mac(Integ.HMAC_MD5_96, 'md5', 12),
];

function prf(id: number, hash: HashName): PrfTransform {
  const { digest } = HASH_LENGTHS[hash];
  return { id, hash, keyLength: digest, outputLength: digest };
}

/** PRFs, the stronger first. */
export const PRF_TRANSFORMS: readonly PrfTransform[] = [
  prf(Prf.HMAC_SHA2_512, 'sha512'),
  prf(Prf.HMAC_SHA2_384, 'sha384'),
  prf(Prf.HMAC_SHA2_256, 'sha256'),
  prf(Prf.HMAC_SHA1, 'sha1'),
  prf(Prf.HMAC_MD5, 'md5'),
];

function dh(id: number, publicLength: number, sharedLength: number, strength: number): DhTransform {
  return { id, publicLength, sharedLength, strength };
}

/** Diffie-Hellman groups, the stronger first. */
export const DH_TRANSFORMS: readonly DhTransform[] = [
  dh(Dh.ECP_521, 132, 66, 260),
  dh(Dh.ECP_384, 96, 48, 192),
  dh(Dh.MODP_8192, 1024, 1024, 190),
  dh(Dh.MODP_6144, 768, 768, 170),
  dh(Dh.MODP_4096, 512, 512, 150),
  dh(Dh.MODP_3072, 384, 384, 130),
  dh(Dh.CURVE25519, 32, 32, 128),
  dh(Dh.ECP_256, 64, 32, 128),
  dh(Dh.MODP_2048, 256, 256, 110),
  dh(Dh.MODP_2048_256, 256, 256, 110),
  dh(Dh.MODP_2048_224, 256, 256, 110),
  dh(Dh.MODP_1536, 192, 192, 90),
  dh(Dh.MODP_1024, 128, 128, 77),
  dh(Dh.MODP_1024_160, 128, 128, 77),
];

const cipherKey = (id: number, keyBits: number): string => `${id}/${keyBits}`;
const CIPHERS = new Map(ENCRYPTION_TRANSFORMS.map((x) => [cipherKey(x.id, x.keyBits), x]));
const MACS = new Map(INTEGRITY_TRANSFORMS.map((x) => [x.id, x]));
const PRFS = new Map(PRF_TRANSFORMS.map((x) => [x.id, x]));
const GROUPS = new Map(DH_TRANSFORMS.map((x) => [x.id, x]));

/** The cipher of this number and key length (0 when fixed), or undefined when Culvert does not have it. */
export function findEncryption(id: number, keyBits: number): EncryptionTransform | undefined {
  return CIPHERS.get(cipherKey(id, keyBits));
}

/** The MAC of this number, or undefined when Culvert does not have it. */
export function findIntegrity(id: number): IntegrityTransform | undefined {
  return MACS.get(id);
}

/** The pseudo-random function of this number, or undefined when Culvert does not have it. */
export function findPrf(id: number): PrfTransform | undefined {
  return PRFS.get(id);
}

/** The group of this number, or undefined when Culvert does not have it. */
export function findDh(id: number): DhTransform | undefined {
  return GROUPS.get(id);
}

/** As `findEncryption`. @throws RangeError when Culvert does not have it */
export function encryptionTransform(cipher: CipherId): EncryptionTransform {
  return known(
    findEncryption(cipher.id, cipher.keyBits),
    'encr',
    cipher.id,
    ` with ${cipher.keyBits} key bits`,
  );
}

/** As `findIntegrity`. @throws RangeError when Culvert does not have it */
export function integrityTransform(id: number): IntegrityTransform {
  return known(findIntegrity(id), 'integ', id);
}

/** As `findPrf`. @throws RangeError when Culvert does not have it */
export function prfTransform(id: number): PrfTransform {
  return known(findPrf(id), 'prf', id);
}

/** Octets of each kind of key of an IKE SA (RFC 7296 §2.14). */
export interface IkeKeyLengths {
  /** SK_d, SK_pi and SK_pr, each. */
  readonly prf: number;
  /** SK_ai and SK_ar, each: 0 with an AEAD cipher (RFC 5282 §3). */
  readonly integrity: number;
  /** SK_ei and SK_er, each, with the salt after the key of an AEAD cipher (RFC 5282 §7.1). */
  readonly encryption: number;
  /** How many octets of `encryption` are the salt. */
  readonly salt: number;
}

/** @throws RangeError for a transform Culvert does not have, or a cipher that lacks its MAC */
export function ikeKeyLengths(suite: IkeSuite): IkeKeyLengths {
  const { encryption, integrity, salt } = protectionLengths(suite.encryption, suite.integrity);
  return { prf: prfTransform(suite.prf).keyLength, integrity, encryption, salt };
}

/** Octets of the key material of an ESP SA, in one direction (RFC 7296 §2.17). */
export interface EspKeyLengths {
  /** With the salt after the key of an AEAD cipher (RFC 4106 §8.1, RFC 7634 §4). */
  readonly encryption: number;
  /** How many octets of `encryption` are the salt. */
  readonly salt: number;
  /** 0 with an AEAD cipher. */
  readonly integrity: number;
}

/** @throws RangeError for a transform Culvert does not have, or a cipher that lacks its MAC */
export function espKeyLengths(suite: EspSuite): EspKeyLengths {
  return protectionLengths(suite.encryption, suite.integrity);
}

function protectionLengths(cipherId: CipherId, integrity: number): EspKeyLengths {
  const cipher = encryptionTransform(cipherId);
  if (cipher.aead !== (integrity === Integ.NONE)) {
    throw new RangeError(
      cipher.aead
        ? `the suite has an AEAD cipher and integrity ${integrity}: leave the integrity out (0)`
        : `the suite has cipher ${cipher.id} and no integrity: name one`,
    );
  }
  return {
    encryption: cipher.keyLength + cipher.saltLength,
    salt: cipher.saltLength,
    integrity: cipher.aead ? 0 : integrityTransform(integrity).keyLength,
  };
}

function known<T>(found: T | undefined, registry: 'encr' | 'integ' | 'prf' | 'dh', id: number, more = ''): T {
  if (found !== undefined) return found;
  throw new RangeError(`Culvert has no ${nameOf(registry, id)} (transform number ${id})${more}`);
}
