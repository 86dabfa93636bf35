import { weakTransforms } from '../../crypto/strength.js';
import { toHex } from '../../util/bytes.js';
import { type Millis, type Seconds, seconds } from '../../util/units.js';
import type { IkeSaInfo } from '../events.js';
import { natReport } from '../path/nat-detection.js';
import { networkPairs } from '../policy/carried-pairs.js';
import { formatIdentity } from '../policy/identity.js';
import { reportQuirks } from '../quirks.js';
import { adviseWeak } from '../sa/advice.js';
import { lifetime } from '../sa/lifetime.js';
import { MAX_IKE_SAS } from '../sa/peer-budget.js';
import { announceDelete, isCarried } from './children.js';
import { announceIsakmpDelete, failSa, forgetSa, settleHalfOpen } from './close.js';
import { mainFailure } from './failures.js';
import type { IsakmpSa } from './isakmp-sa.js';
import { shorter } from './lifetimes.js';
import { adopt } from './orphans.js';
import { endProbe } from './port-probe.js';
import { childrenOf, sasOf, type World } from './world.js';

/** How long a replaced ISAKMP SA still takes messages before its initiator deletes it. */
const LINGER: Millis = 10_000;
/**
 * How long the responder leaves that to the initiator. Some initiators (strongSwan) delete nothing: they wait for the
 * responder's DELETE, and without it keep the replaced SA to the end of its lifetime.
 */
const INITIATOR_DELETES: Millis = 2 * LINGER;
/** How long the peer that began has to ask for all pairs of networks, before we ask for the rest. */
const PEER_COMPLETES: Millis = 5_000;

/** Both ends are authenticated. */
export function establish(world: World, sa: IsakmpSa, peer: { idType: number; data: Uint8Array }): void {
  const { ctx } = world;
  const connection = sa.connection!;
  const rekeyOf = sa.negotiation?.replaces;
  const renewing = sa.negotiation?.renewing ?? false;
  const farewell = sa.negotiation?.farewell;
  settleHalfOpen(world, sa);
  endProbe(world, sa);
  sa.negotiation?.dh?.wipe();
  sa.negotiation?.shared?.wipe();
  sa.negotiation = undefined;
  sa.pending = undefined;
  sa.peerIdentity = formatIdentity(peer);
  sa.state = 'established';
  sa.forgetAt = undefined;
  sa.establishedAt = ctx.now;
  sa.establishedOrder = ctx.nextId();
  sa.heard(ctx.now);
  if (farewell !== undefined) {
    announceDelete(world, sa, farewell);
    announceIsakmpDelete(world, sa);
    forgetSa(world, sa);
    return;
  }
  sa.natReport = natReport(sa.nat, sa.remote, connection.peer.addresses);
  const life = shorter(connection.ikeLifetime, sa.lifetimes.seconds);
  setLifetime(world, sa, life);
  const replaced = supersede(world, sa);
  const ike: IkeSaInfo = {
    ikeId: sa.id,
    version: 1,
    role: sa.role,
    initiatorSpi: toHex(sa.initiatorCookie),
    responderSpi: toHex(sa.responderCookie),
    suite: sa.suite!,
    nat: sa.natReport,
    local: sa.local,
    peer: sa.remote,
    peerIdentity: sa.peerIdentity,
    establishedAt: ctx.now,
    rekeyAt: sa.rekeyAt,
    peerVendors: sa.peerVendors,
    ...(replaced === undefined ? {} : { replaces: replaced.id }),
  };
  ctx.event({ kind: 'ike-established', connection: connection.id, ike });
  reportQuirks(ctx, sa);
  // The PRF is made of the hash, which is named as the integrity algorithm.
  const weak = weakTransforms(sa.suite!).filter(({ kind }) => kind !== 'prf');
  adviseWeak(ctx, connection.id, 'IKE', weak);
  const attempt = dropAttempts(world, sa);
  adopt(world, connection.id);
  if (renewing) {
    for (const child of childrenOf(world, connection.id))
      if (child.state === 'current') child.rekeyAt = ctx.now;
  }
  if (sa.role === 'initiator' && rekeyOf === undefined) wantAll(world, sa);
  // We wanted to begin ourselves: what the peer does not ask for is asked for by us.
  else if (attempt || connection.initiateVersion === 1) sa.completeAt = ctx.now + PEER_COMPLETES;
}

/**
 * When the SA is rekeyed and when it ends. The responder comes a little later than the initiator, so that
 * both seldom begin at once.
 */
export function setLifetime(world: World, sa: IsakmpSa, life: Seconds): void {
  const { rekeyAt, expiresAt } = lifetime(world.ctx.random, sa.establishedAt, life);
  const later = sa.role === 'responder' ? Math.floor(seconds(life) * 0.05) : 0;
  sa.rekeyAt = Math.min(rekeyAt + later, expiresAt);
  sa.expiresAt = expiresAt;
}

/** Asks for SAs of every pair of networks that has none. */
export function wantAll(world: World, sa: IsakmpSa): void {
  const connection = sa.connection!;
  sa.pairRetries.clear();
  sa.wanted = networkPairs(connection).filter((pair) => !isCarried(world, connection.id, pair));
}

/**
 * The newest SA of a connection carries its exchanges. Those that stood when it began are deleted, by its initiator
 * or, when that one does not or its DELETE is lost (RFC 2408 §3.15: nothing answers it), by the responder; SAs made at the same time from both sides live on beside it until they expire, so that no
 * end deletes what the other still uses.
 */
function supersede(world: World, sa: IsakmpSa): IsakmpSa | undefined {
  const others = sasOf(world, sa.connection!.id).filter((other) => other !== sa && other.isUp);
  const linger = sa.role === 'initiator' ? LINGER : INITIATOR_DELETES;
  let replaced: IsakmpSa | undefined;
  for (const other of others) {
    if (other.state === 'established') replaced = other;
    other.state = 'superseded';
    other.wanted = [];
    other.completeAt = undefined;
    other.dpd.heard();
    if (other.establishedOrder < sa.id) other.deleteAt ??= world.ctx.now + linger;
  }
  const tooMany = others.length + 1 - MAX_IKE_SAS;
  for (const other of others.slice(0, Math.max(0, tooMany))) other.deleteAt = world.ctx.now;
  return replaced;
}

/** Our own attempts that the peer has not authenticated end: the SA is there. Says whether there was one. */
function dropAttempts(world: World, sa: IsakmpSa): boolean {
  let dropped = false;
  for (const other of sasOf(world, sa.connection!.id)) {
    if (other === sa || !other.isStarting) continue;
    dropped = true;
    // The peer may be established already once message 5 is on its way: that SA is let come.
    if (other.state === 'id-sent') continue;
    if (other.negotiation?.replaces !== undefined) forgetSa(world, other);
    else {
      failSa(
        world,
        other,
        mainFailure('terminated', 'given up: the IKE SA that the peer initiated was established first'),
      );
    }
  }
  return dropped;
}
