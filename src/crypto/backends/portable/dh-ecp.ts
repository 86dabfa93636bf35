import { p256, p384, p521 } from '@noble/curves/nist.js';
import { concat } from '../../../util/bytes.js';
import { checkEcpPublic, notOnCurve } from '../../dh/checks.js';
import type { EcpGroup } from '../../dh/ecp-groups.js';
import type { DhArithmetic } from '../../dh/exchange.js';
import { drawEcpPrivate } from '../../dh/private-value.js';

/** SEC 1 §2.3.3: an uncompressed point. IKE leaves this octet out (RFC 5903 §7). */
const UNCOMPRESSED = Uint8Array.of(4);

const CURVES = { 'P-256': p256, 'P-384': p384, 'P-521': p521 } as const;

/** An ECP group by @noble/curves. */
export function portableEcp(group: EcpGroup): DhArithmetic {
  const curve = CURVES[group.curve];
  const isPoint = (encoded: Uint8Array): boolean => {
    try {
      curve.Point.fromBytes(encoded).assertValidity();
      return true;
    } catch {
      return false;
    }
  };
  return {
    id: group.id,
    publicLength: 2 * group.fieldLength,
    sharedLength: group.fieldLength,
    draw: (random) => drawEcpPrivate(group, random),
    check: (peer) => checkEcpPublic(group, peer),
    begin: (value) => ({
      publicValue: curve.getPublicKey(value, false).slice(UNCOMPRESSED.length),
      combine: (peer) => {
        const encoded = concat(UNCOMPRESSED, peer);
        if (!isPoint(encoded)) return notOnCurve(group.id);
        // Compressed form: one octet for the sign of y, then x.
        const point = curve.getSharedSecret(value, encoded, true);
        const x = point.slice(1);
        point.fill(0);
        return x;
      },
    }),
  };
}
