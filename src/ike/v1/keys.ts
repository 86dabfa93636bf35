import { deriveV1Keys } from '../../crypto/keymat-v1.js';
import { prfTransform } from '../../crypto/transforms.js';
import type { HashName } from '../../crypto/types.js';
import type { SecretKey } from '../../util/secret.js';
import type { IsakmpSa } from './isakmp-sa.js';
import { cipherKeyLength, V1Protection } from './protect.js';
import type { World } from './world.js';

/** Gives an ISAKMP SA the keys that this pre-shared key makes (RFC 2409 §5). `shared` stays the caller's. */
export function keySa(world: World, sa: IsakmpSa, psk: SecretKey, shared: SecretKey): void {
  const { crypto } = world.ctx;
  const suite = sa.suite!;
  const { initiatorNonce, responderNonce, initiatorPublic, responderPublic } = sa.negotiation!;
  const nonces = { initiator: initiatorNonce, responder: responderNonce };
  const prf = crypto.prf(suite.prf);
  sa.keys = deriveV1Keys(prf, psk, shared, nonces, sa.cookies, cipherKeyLength(suite));
  sa.protection = new V1Protection(crypto, suite, sa.keys, {
    initiator: initiatorPublic,
    responder: responderPublic,
  });
}

/** The plain hash of a suite, for NAT detection. */
export function hashOf(sa: IsakmpSa): HashName {
  return prfTransform(sa.suite!.prf).hash;
}

/** What HASH_I and HASH_R of the SA cover beside the identity. */
export function transcriptOf(sa: IsakmpSa) {
  const { initiatorPublic, responderPublic, saBody } = sa.negotiation!;
  return { initiatorPublic, responderPublic, cookies: sa.cookies, saBody };
}
