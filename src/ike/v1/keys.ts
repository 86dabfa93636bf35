import { type CookiePair, deriveV1Keys } from '../../crypto/keymat-v1.js';
import { prfTransform } from '../../crypto/transforms.js';
import type { HashName, IkeSuite } from '../../crypto/types.js';
import type { SecretKey } from '../../util/secret.js';
import type { Transcript } from './phases.js';
import { cipherKeyLength, V1Protection } from './protect.js';
import type { World } from './world.js';

/** What an exchange of phase 1 has given both ends, beside their pre-shared key. */
export interface Agreement {
  readonly suite: IkeSuite;
  readonly cookies: CookiePair;
  readonly transcript: Transcript;
  /** g^xy. Stays the caller's. */
  readonly shared: SecretKey;
}

/** The keys that this pre-shared key makes of it (RFC 2409 §5). The caller owns them. */
export function protectionOf(
  { ctx: { crypto } }: World,
  { suite, cookies, transcript, shared }: Agreement,
  psk: SecretKey,
): V1Protection {
  const { initiatorNonce, responderNonce, initiatorPublic, responderPublic } = transcript;
  const nonces = { initiator: initiatorNonce, responder: responderNonce };
  const keys = deriveV1Keys(crypto.prf(suite.prf), psk, shared, nonces, cookies, cipherKeyLength(suite));
  return new V1Protection(crypto, suite, keys, { initiator: initiatorPublic, responder: responderPublic });
}

/** The plain hash of a suite, for NAT detection. */
export function hashOf(suite: IkeSuite): HashName {
  return prfTransform(suite.prf).hash;
}
