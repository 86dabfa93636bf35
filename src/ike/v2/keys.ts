import { deriveIkeKeys, deriveNextSkeyseed, deriveSkeyseed, type NoncePair } from '../../crypto/keymat.js';
import type { IkeSuite } from '../../crypto/types.js';
import { type SecretKey, wipeSecrets } from '../../util/secret.js';
import type { Role } from '../events.js';
import { listOf } from './nonces.js';
import type { Keyed } from './phases.js';
import { createProtection } from './protect.js';
import type { World } from './world.js';

/** What an IKE SA is known by at both ends, and which end this is. */
export interface KeyOwner {
  readonly role: Role;
  readonly initiatorSpi: Uint8Array;
  readonly responderSpi: Uint8Array;
}

/** The keys of an IKE SA that IKE_SA_INIT made (RFC 7296 §2.14). Wipes the shared secret and SKEYSEED. */
export function keysOfFirst(
  world: World,
  owner: KeyOwner,
  suite: IkeSuite,
  nonces: NoncePair,
  shared: SecretKey,
): Keyed {
  const skeyseed = deriveSkeyseed(world.ctx.crypto.prf(suite.prf), nonces, shared);
  shared.wipe();
  return keysFrom(world, owner, suite, nonces, skeyseed);
}

/**
 * The keys after an additional key exchange of an IKE SA that is being negotiated (RFC 9370 §2.2.2). Wipes the shared
 * secret and the keys before.
 */
export function keysAfter(world: World, owner: KeyOwner, before: Keyed, shared: SecretKey): Keyed {
  const { suite, keys } = before;
  const [initiator, responder] = before.nonces;
  if (initiator === undefined || responder === undefined) throw new Error('keys are made of two nonces');
  const nonces = { initiator, responder };
  const skeyseed = deriveNextSkeyseed(world.ctx.crypto.prf(suite.prf), keys.skD, shared, nonces);
  shared.wipe();
  wipeSecrets(keys);
  return keysFrom(world, owner, suite, nonces, skeyseed);
}

/** The same from a SKEYSEED made otherwise, for a rekey (§2.18). Wipes it. */
export function keysFrom(
  world: World,
  owner: KeyOwner,
  suite: IkeSuite,
  nonces: NoncePair,
  skeyseed: SecretKey,
): Keyed {
  const { ctx } = world;
  const spis = { initiator: owner.initiatorSpi, responder: owner.responderSpi };
  const keys = deriveIkeKeys(ctx.crypto.prf(suite.prf), suite, skeyseed, nonces, spis);
  skeyseed.wipe();
  const protection = createProtection(ctx, suite, keys, owner.role);
  return { suite, keys, protection, nonces: listOf(nonces) };
}
