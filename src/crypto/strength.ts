import { Dh, Encr, Integ, Prf } from '../wire/ike/registry.js';
import type { CipherId, TransformNeed } from './types.js';

/** MODP 768, 1024, 1536 and the groups of RFC 5114: all of them MUST NOT or SHOULD NOT in RFC 8247 §2.4. */
const WEAK_DH: ReadonlySet<number> = new Set([
  Dh.MODP_768,
  Dh.MODP_1024,
  Dh.MODP_1536,
  Dh.MODP_1024_160,
  Dh.MODP_2048_224,
  Dh.MODP_2048_256,
]);
/** RFC 8221 §5: DES MUST NOT, 3DES SHOULD NOT (blocks of 64 bits, RFC 8221 §5 and Sweet32). */
const WEAK_ENCR: ReadonlySet<number> = new Set([Encr.DES, Encr.TRIPLE_DES, Encr.NULL]);
/** RFC 8247 §2.2 and §2.3: MD5 MUST NOT, SHA-1 on its way out (MUST-). */
const WEAK_INTEG: ReadonlySet<number> = new Set([Integ.HMAC_MD5_96, Integ.HMAC_SHA1_96]);
const WEAK_PRF: ReadonlySet<number> = new Set([Prf.HMAC_MD5, Prf.HMAC_SHA1]);

/** Whether a transform is one an operator should be advised to leave: md5, sha1, 3des, DH 2, 5 and 22 to 24. */
export function isWeak(need: TransformNeed): boolean {
  switch (need.kind) {
    case 'encryption':
      return WEAK_ENCR.has(need.id);
    case 'integrity':
      return WEAK_INTEG.has(need.id);
    case 'prf':
      return WEAK_PRF.has(need.id);
    case 'dh':
    case 'key_exchange':
      return WEAK_DH.has(need.id);
  }
}

/**
 * The weak transforms in a suite, in the order encryption, integrity, PRF, DH. Takes IKE and ESP suites; no
 * integrity (AEAD) and no DH (no PFS) are not weak.
 */
export function weakTransforms(suite: {
  readonly encryption: CipherId;
  readonly integrity: number;
  readonly prf?: number;
  readonly dh: number;
  readonly additional?: readonly number[];
}): TransformNeed[] {
  const all: TransformNeed[] = [
    { kind: 'encryption', ...suite.encryption },
    { kind: 'integrity', id: suite.integrity },
    ...(suite.prf === undefined ? [] : [{ kind: 'prf', id: suite.prf } as const]),
    { kind: 'dh', id: suite.dh },
    ...(suite.additional ?? []).map((id) => ({ kind: 'key_exchange', id }) as const),
  ];
  return all.filter(isWeak);
}
