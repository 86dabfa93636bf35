import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';
import { fromHex } from '../../../util/bytes.js';
import type { DhHalf } from '../../dh/exchange.js';
import type { ModpGroup } from '../../dh/modp-groups.js';
import { DerTag, derContents, derInteger, derValue } from './der.js';
import { plain } from './plain.js';

/** dhKeyAgreement, 1.2.840.113549.1.3.1 (PKCS #3 §9). */
const DH_KEY_AGREEMENT = fromHex('06092a864886f70d010301');
/** Version 0 of PrivateKeyInfo (RFC 5208 §5). */
const VERSION = derInteger(Uint8Array.of(0));
/** A BIT STRING begins with the number of unused bits. */
const NO_UNUSED_BITS = Uint8Array.of(0);

/** AlgorithmIdentifier with DHParameter {prime, base}, by group. */
const algorithms = new Map<number, Uint8Array>();

function algorithmOf(group: ModpGroup): Uint8Array {
  let algorithm = algorithms.get(group.id);
  if (algorithm === undefined) {
    const parameters = derValue(DerTag.SEQUENCE, derInteger(group.prime), derInteger(group.generator));
    algorithm = derValue(DerTag.SEQUENCE, DH_KEY_AGREEMENT, parameters);
    algorithms.set(group.id, algorithm);
  }
  return algorithm;
}

function importPrivate(group: ModpGroup, value: Uint8Array): KeyObject {
  const integer = derInteger(value);
  const octets = derValue(DerTag.OCTET_STRING, integer);
  const der = derValue(DerTag.SEQUENCE, VERSION, algorithmOf(group), octets);
  try {
    return createPrivateKey({ key: Buffer.from(der.buffer), format: 'der', type: 'pkcs8' });
  } finally {
    for (const secret of [integer, octets, der]) secret.fill(0);
  }
}

function importPublic(group: ModpGroup, value: Uint8Array): KeyObject {
  const bits = derValue(DerTag.BIT_STRING, NO_UNUSED_BITS, derInteger(value));
  const der = derValue(DerTag.SEQUENCE, algorithmOf(group), bits);
  return createPublicKey({ key: Buffer.from(der.buffer), format: 'der', type: 'spki' });
}

/** SubjectPublicKeyInfo (RFC 5280 §4.1): SEQUENCE { algorithm, BIT STRING { INTEGER } }. */
function exportPublic(privateKey: KeyObject): Uint8Array {
  const der = plain(createPublicKey(privateKey).export({ format: 'der', type: 'spki' }));
  const algorithm = derContents(der, derContents(der, 0).start);
  const bits = derContents(der, algorithm.end);
  const { start, end } = derContents(der, bits.start + NO_UNUSED_BITS.length);
  // The zero that keeps the sign bit clear is no part of the value.
  return der.slice(der[start] === 0 ? start + 1 : start, end);
}

/** An exchange with key objects of its own. OpenSSL wipes the private one when it is collected. */
export function modpKeyHalf(group: ModpGroup, value: Uint8Array): DhHalf {
  const privateKey = importPrivate(group, value);
  return {
    publicValue: exportPublic(privateKey),
    combine: (peer) => plain(diffieHellman({ privateKey, publicKey: importPublic(group, peer) })),
  };
}
