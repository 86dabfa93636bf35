import type { NoncePair } from '../../crypto/keymat.js';
import { compareBytes } from '../../util/bytes.js';

/** The least of the nonces that made an SA. */
export function lowest(nonces: readonly Uint8Array[]): Uint8Array {
  return nonces.reduce((least, nonce) => (compareBytes(nonce, least) < 0 ? nonce : least));
}

/** The nonces of an exchange as an SA keeps them. */
export function listOf({ initiator, responder }: NoncePair): readonly Uint8Array[] {
  return [initiator, responder];
}

/** Of two SAs for the same, the one whose exchange had the lowest of the four nonces is not kept (RFC 7296 §2.8.1). */
export function losesTo(ours: readonly Uint8Array[], theirs: readonly Uint8Array[]): boolean {
  return compareBytes(lowest(ours), lowest(theirs)) < 0;
}
