import { Dh, Encr, Integ, Prf } from '../../wire/ike/registry.js';
import type { EspProposalSpec, IkeProposalSpec } from '../config.js';

/** `compatible`: the whole matrix. `modern`: without MD5, SHA-1, 3DES and weak DH groups. */
export type Profile = 'compatible' | 'modern';

const AES_256 = { id: Encr.AES_CBC, keyBits: 256 };
const AES_128 = { id: Encr.AES_CBC, keyBits: 128 };
const TRIPLE_DES = { id: Encr.TRIPLE_DES, keyBits: 0 };

/**
 * What a connection without an IKE policy offers and accepts: every combination of AES-256, AES-128, 3DES
 * with SHA-256, SHA-1, MD5 and DH 14, 5, 2, strongest first. AEAD ciphers are no part of it: a connection
 * that wants them names a policy.
 *
 * The pseudo-random function is a choice of its own in IKEv2 (RFC 7296 §3.3.2), with the same three hashes.
 */
export function autoIkeProposals(profile: Profile): readonly IkeProposalSpec[] {
  if (profile === 'modern') {
    return [
      {
        encryption: [AES_256, AES_128],
        integrity: [Integ.HMAC_SHA2_256_128],
        prf: [Prf.HMAC_SHA2_256],
        dh: [Dh.MODP_2048],
      },
    ];
  }
  return [
    {
      encryption: [AES_256, AES_128, TRIPLE_DES],
      integrity: [Integ.HMAC_SHA2_256_128, Integ.HMAC_SHA1_96, Integ.HMAC_MD5_96],
      prf: [Prf.HMAC_SHA2_256, Prf.HMAC_SHA1, Prf.HMAC_MD5],
      dh: [Dh.MODP_2048, Dh.MODP_1536, Dh.MODP_1024],
    },
  ];
}

/** What a connection without an IPsec policy offers and accepts: the same ciphers and hashes, no PFS. */
export function autoEspProposals(profile: Profile): readonly EspProposalSpec[] {
  if (profile === 'modern') {
    return [{ encryption: [AES_256, AES_128], integrity: [Integ.HMAC_SHA2_256_128], dh: [] }];
  }
  return [
    {
      encryption: [AES_256, AES_128, TRIPLE_DES],
      integrity: [Integ.HMAC_SHA2_256_128, Integ.HMAC_SHA1_96, Integ.HMAC_MD5_96],
      dh: [],
    },
  ];
}
