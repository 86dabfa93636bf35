import { deriveIkeKeys, deriveSkeyseed, type NoncePair } from '../../crypto/keymat.js';
import type { IkeSuite } from '../../crypto/types.js';
import type { SecretKey } from '../../util/secret.js';
import type { IkeSa } from './ike-sa.js';
import { createProtection } from './protect.js';
import type { World } from './world.js';

/** Gives a new IKE SA its keys (RFC 7296 §2.14). Wipes the shared secret and SKEYSEED. */
export function keyFirstSa(
  world: World,
  sa: IkeSa,
  suite: IkeSuite,
  nonces: NoncePair,
  shared: SecretKey,
): void {
  const skeyseed = deriveSkeyseed(world.ctx.crypto.prf(suite.prf), nonces, shared);
  shared.wipe();
  keySa(world, sa, suite, nonces, skeyseed);
}

/** The same from a SKEYSEED made otherwise, for a rekey (§2.18). Wipes it. */
export function keySa(
  world: World,
  sa: IkeSa,
  suite: IkeSuite,
  nonces: NoncePair,
  skeyseed: SecretKey,
): void {
  const { crypto, random } = world.ctx;
  const spis = { initiator: sa.initiatorSpi, responder: sa.responderSpi };
  sa.suite = suite;
  sa.keys = deriveIkeKeys(crypto.prf(suite.prf), suite, skeyseed, nonces, spis);
  skeyseed.wipe();
  sa.protection = createProtection(crypto, random, suite, sa.keys, sa.role);
  sa.nonces = [nonces.initiator, nonces.responder];
}
