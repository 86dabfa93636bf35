import type { CipherId } from '../../crypto/types.js';
import { Dh, Encr, Integ, Prf } from '../../wire/ike/registry.js';
import type { EspProposalSpec, IkeProposalSpec } from '../config.js';

/**
 * What auto-negotiation offers and accepts. `compatible`: the best of today, then the whole matrix, which every old
 * peer has something of. `current`: the table of the VPC documents of today. `modern`: AEAD ciphers, SHA-2 and the
 * groups of RFC 8247 that are not weak, with ML-KEM where the peer has it. `cnsa2`: the suite of CNSA 2.0.
 */
export const PROFILES = ['compatible', 'current', 'modern', 'cnsa2'] as const;
/** One of them, by its name in the configuration. */
export type Profile = (typeof PROFILES)[number];

const aes = (id: number, ...bits: readonly number[]): CipherId[] => bits.map((keyBits) => ({ id, keyBits }));
const AEAD: readonly CipherId[] = [
  ...aes(Encr.AES_GCM_16, 256, 128),
  { id: Encr.CHACHA20_POLY1305, keyBits: 0 },
];
const SHA_2_PRFS: readonly number[] = [Prf.HMAC_SHA2_256, Prf.HMAC_SHA2_384, Prf.HMAC_SHA2_512];

/** Ciphers, hashes and groups that every old peer has some of, the strongest first. */
const MATRIX = {
  encryption: [...aes(Encr.AES_CBC, 256, 128), { id: Encr.TRIPLE_DES, keyBits: 0 }],
  integrity: [Integ.HMAC_SHA2_256_128, Integ.HMAC_SHA1_96, Integ.HMAC_MD5_96],
  prf: [Prf.HMAC_SHA2_256, Prf.HMAC_SHA1, Prf.HMAC_MD5],
  dh: [Dh.MODP_2048, Dh.MODP_1536, Dh.MODP_1024],
} as const;

/** Hashes of `current`. */
const CURRENT_INTEGRITY = [Integ.HMAC_SHA2_256_128, Integ.HMAC_SHA2_384_192, Integ.HMAC_SHA2_512_256];

/**
 * What a connection without an IKE policy offers and accepts, the best first. A responder that does not know a transform
 * type takes none of the proposal that has one (RFC 7296 §3.3.6): so what has additional key exchanges is a proposal of
 * its own, before the same one without. AEAD and other ciphers never share one (§3.3).
 *
 * The pseudo-random function is a choice of its own in IKEv2 (RFC 7296 §3.3.2), with the same hashes.
 */
export function autoIkeProposals(profile: Profile): readonly IkeProposalSpec[] {
  const groups = [Dh.CURVE25519, Dh.ECP_256, Dh.ECP_384];
  switch (profile) {
    case 'compatible':
      return [
        ...withAndWithoutMlKem([...groups, Dh.MODP_2048, Dh.MODP_3072, Dh.MODP_4096, Dh.ECP_521]),
        MATRIX,
      ];
    case 'current':
      return [
        {
          encryption: aes(Encr.AES_CBC, 256, 192, 128),
          integrity: CURRENT_INTEGRITY,
          prf: SHA_2_PRFS,
          dh: [...groups, Dh.ECP_521, ...CURRENT_MODP],
        },
      ];
    case 'modern':
      return withAndWithoutMlKem([...groups, Dh.MODP_3072, Dh.MODP_4096]);
    case 'cnsa2':
      return [
        {
          encryption: aes(Encr.AES_GCM_16, 256),
          integrity: [],
          prf: [Prf.HMAC_SHA2_384, Prf.HMAC_SHA2_512],
          dh: [Dh.ECP_384],
          additional: [[Dh.ML_KEM_1024]],
        },
      ];
  }
}

/** Groups 14 to 18 by what they cost for what they are worth, then those of RFC 5114. */
const CURRENT_MODP: readonly number[] = [
  Dh.MODP_2048,
  Dh.MODP_3072,
  Dh.MODP_4096,
  Dh.MODP_6144,
  Dh.MODP_8192,
  Dh.MODP_2048_256,
  Dh.MODP_2048_224,
  Dh.MODP_1024_160,
];

function withAndWithoutMlKem(dh: readonly number[]): IkeProposalSpec[] {
  const plain = { encryption: AEAD, integrity: [], prf: SHA_2_PRFS, dh };
  return [{ ...plain, additional: [[Dh.ML_KEM_768, Dh.ML_KEM_1024]] }, plain];
}

/** What a connection without an IPsec policy offers and accepts: no PFS, as the documents have it. */
export function autoEspProposals(profile: Profile): readonly EspProposalSpec[] {
  const { encryption, integrity } = MATRIX;
  switch (profile) {
    case 'compatible':
      return [
        { encryption: AEAD, integrity: [], dh: [] },
        { encryption, integrity, dh: [] },
      ];
    case 'current':
      return [
        { encryption: aes(Encr.AES_GCM_16, 256, 192, 128), integrity: [], dh: [] },
        { encryption: aes(Encr.AES_CBC, 256, 192, 128), integrity: CURRENT_INTEGRITY, dh: [] },
      ];
    case 'modern':
      return [{ encryption: AEAD, integrity: [], dh: [] }];
    case 'cnsa2':
      return [{ encryption: aes(Encr.AES_GCM_16, 256), integrity: [], dh: [] }];
  }
}

/** Versions that a connection without an IKE policy accepts as responder. It begins with IKEv2. */
export function autoVersions(profile: Profile): readonly (1 | 2)[] {
  return profile === 'compatible' ? [1, 2] : [2];
}

/**
 * The proposals that peers of any age can read: those without AEAD ciphers and additional key exchanges. Undefined
 * where there is none, or no other.
 */
export function plainProposals(specs: readonly IkeProposalSpec[]): readonly IkeProposalSpec[] | undefined {
  const plain = specs.filter(({ integrity, additional }) => integrity.length > 0 && additional === undefined);
  return plain.length === 0 || plain.length === specs.length ? undefined : plain;
}
