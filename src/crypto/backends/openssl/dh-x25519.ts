import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';
import { concat, fromHex } from '../../../util/bytes.js';
import { Dh } from '../../../wire/ike/registry.js';
import { isZeroConstantTime } from '../../compare.js';
import { checkLength, weakResult } from '../../dh/checks.js';
import type { DhArithmetic } from '../../dh/exchange.js';
import { drawX25519Private } from '../../dh/private-value.js';
import { plain } from './plain.js';

/** The DER in front of the 32 octets of a key: PrivateKeyInfo and SubjectPublicKeyInfo of RFC 8410 §4, §7. */
const PRIVATE_PREFIX = fromHex('302e020100300506032b656e04220420');
const PUBLIC_PREFIX = fromHex('302a300506032b656e032100');

const LENGTH = 32;

function importPrivate(value: Uint8Array): KeyObject {
  const der = concat(PRIVATE_PREFIX, value);
  try {
    return createPrivateKey({ key: Buffer.from(der.buffer), format: 'der', type: 'pkcs8' });
  } finally {
    der.fill(0);
  }
}

function importPublic(value: Uint8Array): KeyObject {
  const der = concat(PUBLIC_PREFIX, value);
  return createPublicKey({ key: Buffer.from(der.buffer), format: 'der', type: 'spki' });
}

/** Curve25519 by OpenSSL (RFC 7748, RFC 8031). */
export function opensslX25519(): DhArithmetic {
  return {
    id: Dh.CURVE25519,
    publicLength: LENGTH,
    sharedLength: LENGTH,
    draw: drawX25519Private,
    publicValue: (value) => {
      const der = createPublicKey(importPrivate(value)).export({ format: 'der', type: 'spki' });
      return plain(der).slice(PUBLIC_PREFIX.length);
    },
    check: (peer) => checkLength(Dh.CURVE25519, peer, LENGTH),
    combine: (value, peer) => {
      const privateKey = importPrivate(value);
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
}
