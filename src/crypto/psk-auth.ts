import { utf8 } from '../util/bytes.js';
import type { SecretKey } from '../util/secret.js';
import { equalConstantTime } from './compare.js';
import type { PrfFunction } from './types.js';

/** RFC 7296 §2.15: 17 ASCII characters without a terminating null. */
const KEY_PAD = utf8('Key Pad for IKEv2');

/** What one side signs (RFC 7296 §2.15). */
export interface AuthInput {
  /** That side's own IKE_SA_INIT message as it went over the wire, from the IKE header on. */
  readonly realMessage: Uint8Array;
  /** The nonce of the other side, without payload header. */
  readonly peerNonce: Uint8Array;
  /** SK_pi when the initiator signs, SK_pr when the responder does. */
  readonly skP: SecretKey;
  /** The body of that side's ID payload: ID type, three reserved octets, ID data (RestOfIDPayload). */
  readonly idBody: Uint8Array;
  /** IntAuth, where IKE_INTERMEDIATE exchanges came before IKE_AUTH (RFC 9242 §3.3.2). */
  readonly intAuth?: Uint8Array;
}

/**
 * InitiatorSignedOctets or ResponderSignedOctets of RFC 7296 §2.15, as chunks:
 * RealMessage | NonceData of the other side | prf(SK_p, RestOfIDPayload) [| IntAuth].
 */
export function signedOctets(prf: PrfFunction, input: AuthInput): readonly Uint8Array[] {
  const { realMessage, peerNonce, skP, idBody, intAuth } = input;
  const octets = [realMessage, peerNonce, prf.compute(skP.expose(), idBody)];
  return intAuth === undefined ? octets : [...octets, intAuth];
}

/**
 * AUTH data by a pre-shared key: prf(prf(Shared Secret, "Key Pad for IKEv2"), SignedOctets), RFC 7296 §2.15.
 * The key may have any length, none included: HMAC hashes a long one (RFC 2104 §2).
 */
export function computePskAuth(prf: PrfFunction, psk: SecretKey, input: AuthInput): Uint8Array {
  const key = prf.compute(psk.expose(), KEY_PAD);
  try {
    return prf.compute(key, ...signedOctets(prf, input));
  } finally {
    key.fill(0);
  }
}

/** Whether `received` is the AUTH data that `computePskAuth` gives. Compares in constant time. */
export function verifyPskAuth(
  prf: PrfFunction,
  psk: SecretKey,
  input: AuthInput,
  received: Uint8Array,
): boolean {
  return equalConstantTime(computePskAuth(prf, psk, input), received);
}
