import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';
import { concat, fromHex } from '../../../util/bytes.js';
import { Dh } from '../../../wire/ike/registry.js';
import { isZeroConstantTime } from '../../compare.js';
import { checkLength, weakResult } from '../../dh/checks.js';
import type { DhArithmetic } from '../../dh/exchange.js';
import { drawX25519Private } from '../../dh/private-value.js';
import { plain } from './plain.js';

/** The DER in front of the 32 octets of a private key: PrivateKeyInfo of RFC 8410 §7. */
const PRIVATE_PREFIX = fromHex('302e020100300506032b656e04220420');

const LENGTH = 32;

/** By DER and not by JWK, which would be faster but leaves the private value in a string. */
function importPrivate(value: Uint8Array): KeyObject {
  const der = concat(PRIVATE_PREFIX, value);
  try {
    return createPrivateKey({ key: Buffer.from(der.buffer), format: 'der', type: 'pkcs8' });
  } finally {
    der.fill(0);
  }
}

/** By JWK (RFC 8037 §2): a tenth of the time that OpenSSL 3 takes for the same in DER. */
function importPublic(value: Uint8Array): KeyObject {
  const x = Buffer.from(value).toString('base64url');
  return createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x }, format: 'jwk' });
}

function exportPublic(privateKey: KeyObject): Uint8Array {
  const { x } = createPublicKey(privateKey).export({ format: 'jwk' });
  return plain(Buffer.from(x!, 'base64url'));
}

/** Curve25519 by OpenSSL (RFC 7748, RFC 8031). */
export function opensslX25519(): DhArithmetic {
  return {
    id: Dh.CURVE25519,
    publicLength: LENGTH,
    sharedLength: LENGTH,
    draw: drawX25519Private,
    check: (peer) => checkLength(Dh.CURVE25519, peer, LENGTH),
    begin: (value) => {
      const privateKey = importPrivate(value);
      return {
        publicValue: exportPublic(privateKey),
        combine: (peer) => {
          const publicKey = importPublic(peer);
          try {
            const shared = plain(diffieHellman({ privateKey, publicKey }));
            return isZeroConstantTime(shared) ? weakResult(Dh.CURVE25519) : shared;
          } catch {
            // Both keys were accepted, so the one cause left is OpenSSL's own refusal of an all-zero result.
            return weakResult(Dh.CURVE25519);
          }
        },
      };
    },
  };
}
