import type { EspProposalSpec, IkeProposalSpec } from '../../src/ike/config.js';
import { Dh, Encr, Prf } from '../../src/wire/ike/registry.js';

const AES_256_GCM = { encryption: [{ id: Encr.AES_GCM_16, keyBits: 256 }], integrity: [] };

/** One additional key exchange for each method, in this order; none without methods. */
export function hybridIke(...methods: readonly number[]): IkeProposalSpec {
  return {
    ...AES_256_GCM,
    prf: [Prf.HMAC_SHA2_256],
    dh: [Dh.CURVE25519],
    ...(methods.length === 0 ? {} : { additional: methods.map((method) => [method]) }),
  };
}

/** As `hybridIke`, with PFS. */
export function hybridEsp(...methods: readonly number[]): EspProposalSpec {
  return {
    ...AES_256_GCM,
    dh: [Dh.CURVE25519],
    ...(methods.length === 0 ? {} : { additional: methods.map((method) => [method]) }),
  };
}

/** Additional key exchanges in all SAs of a connection, two of them in those of child SAs. */
export const ALL_HYBRID = {
  ikeProposals: [hybridIke(Dh.ML_KEM_768)],
  espProposals: [hybridEsp(Dh.ML_KEM_768, Dh.ML_KEM_512)],
};
