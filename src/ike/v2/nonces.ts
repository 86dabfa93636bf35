import type { NoncePair } from '../../crypto/keymat.js';
import { compareBytes } from '../../util/bytes.js';

/** The least of the nonces that made an SA. */
export function lowest(nonces: readonly Uint8Array[]): Uint8Array {
  return nonces.reduce((least, nonce) => (compareBytes(nonce, least) < 0 ? nonce : least));
}

/** The lower one of the nonces of an exchange. */
export function lowestOf({ initiator, responder }: NoncePair): Uint8Array {
  return lowest([initiator, responder]);
}

/** Of two exchanges for the same, the one with the lowest of the four nonces is not gone on with (RFC 7296 §2.8.1). */
export function losesTo(ours: NoncePair, theirs: NoncePair): boolean {
  return compareBytes(lowestOf(ours), lowestOf(theirs)) < 0;
}
