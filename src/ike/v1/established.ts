import { type Millis, type Seconds, seconds } from '../../util/units.js';
import type { ConnectionConfig } from '../config.js';
import { natReport } from '../path/nat-detection.js';
import { networkPairs } from '../policy/carried-pairs.js';
import { formatIdentity } from '../policy/identity.js';
import { reportQuirks } from '../quirks.js';
import { type Lifetime, lifetime } from '../sa/lifetime.js';
import { MAX_IKE_SAS } from '../sa/peer-budget.js';
import { adviseWeakIke, reportIke, reportRescheduled } from '../sa/report.js';
import { sasOf } from '../sa/world.js';
import { announceDelete, isCarried } from './children.js';
import { announceIsakmpDelete, failSa, forgetSa, settleHalfOpen } from './close.js';
import { DpdState } from './dpd-state.js';
import { mainFailure } from './failures.js';
import { enter, type IsakmpSa, type IsakmpSaIn, isIn, isStarting, type UpSa } from './isakmp-sa.js';
import { REPLACED_LINGERS, shorter } from './lifetimes.js';
import { adopt } from './orphans.js';
import {
  type Attempt,
  authenticatedOf,
  type LastMessage,
  type Session,
  type Terms,
  wipePhase,
} from './phases.js';
import { endProbe } from './port-probe.js';
import type { V1Protection } from './protect.js';
import { childrenOf, upSasOf, type World } from './world.js';

/**
 * How long the responder leaves that to the initiator. Some initiators (strongSwan) delete nothing: they wait for the
 * responder's DELETE, and without it keep the replaced SA to the end of its lifetime.
 */
const INITIATOR_DELETES: Millis = 2 * REPLACED_LINGERS;
/** How long the peer that began has to ask for all pairs of networks, before we ask for the rest. */
const PEER_COMPLETES: Millis = 5_000;

/** What the last message of main mode has proved. */
export interface Proof {
  readonly peer: { readonly idType: number; readonly data: Uint8Array };
  readonly connection: ConnectionConfig;
  readonly protection: V1Protection;
  readonly last: LastMessage;
  /** Initiator: what message 6 has left of the terms of message 2. */
  readonly terms?: Terms;
}

/** Both ends are authenticated. */
export function establish(world: World, sa: IsakmpSaIn<'id-sent' | 'ke-answered'>, proof: Proof): void {
  const attempt = sa.phase.at === 'id-sent' ? sa.phase.attempt : undefined;
  settleHalfOpen(world, sa);
  endProbe(world, sa);
  if (sa.phase.at === 'ke-answered') wipePhase(sa.phase);
  const established = begun(world, sa, proof);
  if (attempt?.farewell === undefined) inUse(world, established, attempt);
  else {
    announceDelete(world, established, attempt.farewell);
    announceIsakmpDelete(world, established);
    forgetSa(world, established);
  }
}

function begun(
  { ctx }: World,
  sa: IsakmpSaIn<'id-sent' | 'ke-answered'>,
  { peer, connection, protection, last, terms = sa.phase.terms }: Proof,
): IsakmpSaIn<'established'> {
  const { link, natTraversal, nat } = sa.phase;
  const session: Session = {
    peerIdentity: formatIdentity(peer),
    natReport: natReport(nat, sa.remote, connection.peer.addresses),
    establishedAt: ctx.now,
    establishedOrder: ctx.nextId(),
    rekeyAt: Number.POSITIVE_INFINITY,
    reportedRekeyAt: Number.POSITIVE_INFINITY,
    expiresAt: Number.POSITIVE_INFINITY,
    rekeyRefused: undefined,
    lastInbound: ctx.now,
    lastMessage: ctx.now,
    dpd: new DpdState(),
    quicks: new Map(),
    wanted: [],
    demands: new Map(),
    pairRetries: new Map(),
    completeAt: undefined,
    unsupported: undefined,
  };
  return enter(sa, { at: 'established', link, terms, natTraversal, nat, last, protection, session });
}

/** It takes the place of others, and asks for what it is there for. */
function inUse(world: World, sa: IsakmpSaIn<'established'>, attempt: Attempt | undefined): void {
  const { ctx } = world;
  const { connection } = sa;
  const { session, terms } = sa.phase;
  const life = shorter(connection.ikeLifetime, terms.lifetimes.seconds);
  setLifetime(sa, life, lifetime(ctx.random, ctx.now, life));
  const replaced = supersede(world, sa);
  session.reportedRekeyAt = session.rekeyAt;
  reportIke(ctx, 1, connection.id, reported(sa), { replaces: replaced?.id });
  reportQuirks(ctx, sa);
  adviseWeakIke(ctx, 1, connection.id, terms.suite);
  const dropped = dropAttempts(world, sa);
  adopt(world, connection.id);
  if (attempt?.renewing === true) {
    for (const child of childrenOf(world, connection.id))
      if (child.state === 'current') child.rekeyAt = ctx.now;
  }
  if (attempt !== undefined && attempt.replaces === undefined) wantAll(world, sa);
  // We wanted to begin ourselves: what the peer does not ask for is asked for by us.
  else if (dropped || connection.initiateVersion === 1) session.completeAt = ctx.now + PEER_COMPLETES;
}

/** What is reported of an SA, and handed over with it. */
export function reported(sa: UpSa) {
  const { id, role, local, remote, initiatorCookie, responderCookie } = sa;
  const { session, terms } = sa.phase;
  const { natReport, peerIdentity, establishedAt, rekeyAt } = session;
  return {
    id,
    role,
    initiatorSpi: initiatorCookie,
    responderSpi: responderCookie,
    suite: terms.suite,
    natReport,
    local,
    remote,
    peerIdentity,
    establishedAt,
    rekeyAt,
    peerVendors: terms.vendors,
  };
}

/**
 * When the SA is rekeyed and when it ends, of a lifetime that makes it `planned`. The responder comes a little later
 * than the initiator, so that both seldom begin at once.
 */
export function setLifetime(
  sa: UpSa,
  life: Seconds,
  { rekeyAt, expiresAt }: Pick<Lifetime, 'rekeyAt' | 'expiresAt'>,
): void {
  const { session } = sa.phase;
  const later = sa.role === 'responder' ? Math.floor(seconds(life) * 0.05) : 0;
  session.rekeyAt = Math.min(rekeyAt + later, expiresAt);
  session.expiresAt = expiresAt;
}

/** The SA in use is rekeyed at another time than was reported. */
export function reportMoved({ ctx }: World, sa: UpSa): void {
  const { session } = sa.phase;
  session.reportedRekeyAt = session.rekeyAt;
  reportRescheduled(ctx, sa.connection.id, sa.id, session);
}

/** Asks for SAs of every pair of networks that has none. */
export function wantAll(world: World, sa: UpSa): void {
  const { connection } = sa;
  const { session } = sa.phase;
  session.pairRetries.clear();
  session.wanted = networkPairs(connection).filter((pair) => !isCarried(world, connection.id, pair));
}

/**
 * The newest SA of a connection carries its exchanges. Those that were established when it began are deleted, by its
 * initiator or, when that one does not or its DELETE is lost (RFC 2408 §3.15: nothing answers it), by the responder;
 * SAs made at the same time from both sides live on beside it until they expire, so that no end deletes what the other
 * still uses.
 */
function supersede(world: World, sa: IsakmpSaIn<'established'>): IsakmpSa | undefined {
  const { now } = world.ctx;
  const others = upSasOf(world, sa.connection.id).filter((other) => other !== sa);
  const linger = sa.role === 'initiator' ? REPLACED_LINGERS : INITIATOR_DELETES;
  let replaced: IsakmpSa | undefined;
  // The oldest ones go at once where there are too many.
  let tooMany = others.length + 1 - MAX_IKE_SAS;
  for (const other of others) {
    if (other.phase.at === 'established') replaced = other;
    const { session } = other.phase;
    session.wanted = [];
    session.completeAt = undefined;
    session.dpd.heard();
    let deleteAt = other.phase.at === 'superseded' ? other.phase.deleteAt : undefined;
    if (session.establishedOrder < sa.id) deleteAt ??= now + linger;
    if (tooMany-- > 0) deleteAt = now;
    enter(other, { ...authenticatedOf(other.phase), at: 'superseded', deleteAt });
  }
  return replaced;
}

/** Our own attempts that the peer has not authenticated end: the SA is there. Says whether there was one. */
function dropAttempts(world: World, sa: IsakmpSaIn<'established'>): boolean {
  let dropped = false;
  for (const other of sasOf(world, sa.connection.id)) {
    if (!isStarting(other)) continue;
    dropped = true;
    // The peer may be established already once message 5 is on its way: that SA is let come.
    if (isIn(other, 'id-sent')) continue;
    if (other.phase.attempt.replaces !== undefined) forgetSa(world, other);
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
