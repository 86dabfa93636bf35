import { createECDH } from 'node:crypto';
import { concat } from '../../../util/bytes.js';
import { checkEcpPublic, notOnCurve } from '../../dh/checks.js';
import type { EcpGroup } from '../../dh/ecp-groups.js';
import type { DhArithmetic } from '../../dh/exchange.js';
import { drawEcpPrivate } from '../../dh/private-value.js';
import { plain } from './plain.js';

/** SEC 1 §2.3.3: an uncompressed point. IKE leaves this octet out (RFC 5903 §7). */
const UNCOMPRESSED = Uint8Array.of(4);

const CURVE_NAMES = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' } as const;

/** OpenSSL's name of a curve, as `getCurves()` lists it. */
export function opensslCurveName(group: EcpGroup): string {
  return CURVE_NAMES[group.curve];
}

/** An ECP group by OpenSSL. */
export function opensslEcp(group: EcpGroup): DhArithmetic {
  return {
    id: group.id,
    publicLength: 2 * group.fieldLength,
    sharedLength: group.fieldLength,
    draw: (random) => drawEcpPrivate(group, random),
    check: (peer) => checkEcpPublic(group, peer),
    begin: (value) => {
      const ecdh = createECDH(opensslCurveName(group));
      ecdh.setPrivateKey(value);
      return {
        publicValue: plain(ecdh.getPublicKey()).slice(UNCOMPRESSED.length),
        combine: (peer) => {
          try {
            return plain(ecdh.computeSecret(concat(UNCOMPRESSED, peer)));
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'ERR_CRYPTO_ECDH_INVALID_PUBLIC_KEY') throw error;
            return notOnCurve(group.id);
          }
        },
      };
    },
  };
}
