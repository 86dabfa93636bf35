import { x25519 } from '@noble/curves/ed25519.js';
import { Dh } from '../../../wire/ike/registry.js';
import { isZeroConstantTime } from '../../compare.js';
import { checkLength, weakResult } from '../../dh/checks.js';
import type { DhArithmetic } from '../../dh/exchange.js';
import { drawX25519Private } from '../../dh/private-value.js';

const LENGTH = 32;

/** Curve25519 by @noble/curves (RFC 7748, RFC 8031). */
export function portableX25519(): DhArithmetic {
  return {
    id: Dh.CURVE25519,
    publicLength: LENGTH,
    sharedLength: LENGTH,
    draw: drawX25519Private,
    check: (peer) => checkLength(Dh.CURVE25519, peer, LENGTH),
    begin: (value) => ({
      publicValue: x25519.getPublicKey(value),
      combine: (peer) => {
        try {
          const shared = x25519.getSharedSecret(value, peer);
          return isZeroConstantTime(shared) ? weakResult(Dh.CURVE25519) : shared;
        } catch {
          // Both lengths are right, so the one cause left is the library's own refusal of small order.
          return weakResult(Dh.CURVE25519);
        }
      },
    }),
  };
}
