import { weakTransforms } from '../../crypto/strength.js';
import { compareBytes, toHex } from '../../util/bytes.js';
import type { Millis } from '../../util/units.js';
import type { ConnectionConfig } from '../config.js';
import type { IkeSaInfo } from '../events.js';
import { natReport } from '../path/nat-detection.js';
import { formatIdentity } from '../policy/identity.js';
import { reportQuirks } from '../quirks.js';
import { adviseWeak } from '../sa/advice.js';
import { lifetime } from '../sa/lifetime.js';
import { MAX_IKE_SAS } from '../sa/peer-budget.js';
import { closeSa, failSa, finishDelete, forget, settleHalfOpen } from './close.js';
import { failure } from './failures.js';
import type { IkeSa, IkeSaState } from './ike-sa.js';
import { sasOf, type World } from './world.js';

/** How long a packet of an SA that is replaced may be on its way. */
const IN_FLIGHT: Millis = 2_000;

/** Both ends are authenticated. */
export function establish(world: World, sa: IkeSa, peer: { idType: number; data: Uint8Array }): void {
  settleHalfOpen(world, sa);
  sa.peerIdentity = formatIdentity(peer);
  sa.identities = contactKey(sa);
  endAbandoned(world, sa.connection!);
  reportEstablished(world, sa);
  adviseWeak(world.ctx, sa.connection!.id, 'IKE', weakTransforms(sa.suite!));
}

/** The SA, new or made by a rekey, goes into service. */
export function reportEstablished(world: World, sa: IkeSa, replaces?: IkeSa): void {
  const { ctx } = world;
  const connection = sa.connection!;
  const { rekeyAt, renewAt, expiresAt } = lifetime(ctx.random, ctx.now, connection.ikeLifetime);
  sa.state = 'established';
  sa.forgetAt = undefined;
  sa.establishedAt = ctx.now;
  // What takes over from another SA is as old as that one: both ends must see the same order of SAs.
  sa.establishedOrder = replaces?.establishedOrder ?? ctx.nextId();
  sa.lastInbound = ctx.now;
  sa.natReport = replaces?.natReport ?? natReport(sa.nat, sa.remote, connection.peer.addresses);
  sa.childlessSince = ctx.now;
  sa.rekeyAt = rekeyAt;
  sa.renewAt = renewAt;
  sa.expiresAt = expiresAt;
  const ike: IkeSaInfo = {
    ikeId: sa.id,
    version: 2,
    role: sa.role,
    initiatorSpi: toHex(sa.initiatorSpi),
    responderSpi: toHex(sa.responderSpi),
    suite: sa.suite!,
    nat: sa.natReport,
    local: sa.local,
    peer: sa.remote,
    peerIdentity: sa.peerIdentity,
    establishedAt: ctx.now,
    rekeyAt,
    peerVendors: sa.peerVendors,
    ...(replaces === undefined ? {} : { replaces: replaces.id }),
  };
  ctx.event({ kind: 'ike-established', connection: connection.id, ike });
  reportQuirks(ctx, sa);
  makeRoom(world, sa);
}

/** Ends what a connection has too much of for one more, the oldest first, and of those what is to end anyway. */
function makeRoom(world: World, sa: IkeSa): void {
  const others = sasOf(world, sa.connection!.id).filter(
    (one) => one !== sa && ENDED_IN_TURN.includes(one.state),
  );
  const inTurn = ENDED_IN_TURN.flatMap((state) => others.filter((one) => one.state === state));
  for (const one of inTurn.slice(0, Math.max(0, others.length + 1 - MAX_IKE_SAS))) {
    if (one.state === 'deleting') finishDelete(world, one);
    else closeSa(world, one, 'replaced');
  }
}

const ENDED_IN_TURN: readonly IkeSaState[] = ['deleting', 'rekeyed', 'established'];

/**
 * Whether INITIAL_CONTACT holds: this SA is the only one with its pair of identities (RFC 7296 §2.4). So it is at
 * the start, and also after the peer was given up for dead: it may have lived on behind a broken path and then
 * keeps SAs that nobody else has. One whose IKE_AUTH is on its way counts, for the peer may have it already.
 */
export function isOnlyContact(world: World, sa: IkeSa): boolean {
  return !world.table
    .ofIdentities(contactKey(sa))
    .some((other) => other !== sa && CONTACTS.includes(other.state));
}

/** States of IKE SAs that the peer has, or may have. */
const CONTACTS: readonly IkeSaState[] = ['auth-sent', 'established', 'rekeyed'];

/**
 * Ends the IKE_AUTH exchanges that were given up but are still repeated, now that an SA with the same identities is
 * begun or established: their INITIAL_CONTACT would take it down at the peer (RFC 7296 §2.4).
 */
export function endAbandoned(world: World, connection: ConnectionConfig): void {
  for (const other of world.table.ofIdentities(contactKeyOf(connection))) {
    const abandoned = other.state === 'deleting' && other.active?.task.kind === 'auth';
    if (abandoned) forget(world, retired(other));
  }
}

function retired(sa: IkeSa): IkeSa {
  sa.wipe();
  sa.state = 'gone';
  return sa;
}

/** The pair of identities to which INITIAL_CONTACT refers (RFC 7296 §2.4). */
export function contactKey(sa: IkeSa): string {
  return contactKeyOf(sa.connection!);
}

function contactKeyOf({ local, peer }: ConnectionConfig): string {
  return [local.identity, peer.identity].map((id) => `${id.idType}:${toHex(id.data)}`).join(' ');
}

/**
 * One connection keeps one IKE SA. What to do with the others of the same connection, now that `sa` is
 * established with its child SA:
 *
 * - An attempt of ours that has not got an answer yet is given up: its peer is there already.
 * - An SA that was established before `sa` began is one that the peer replaces, or has lost: it is deleted when
 *   the peer is known to have the new one, so that no packet is sent to where nobody receives it any more.
 * - Otherwise both ends initiated at the same time, and both SAs stand or will stand at both ends. Both judge
 *   alike, by the rule of RFC 7296 §2.8.1: the SA with the lowest of the four nonces is redundant, and the end
 *   that initiated it deletes it. It first makes sure, by a probe, that the other end has the surviving one.
 *
 * "Before `sa` began" means the same at both ends: an end that still has an unanswered first request when
 * the peer's SA is established gives it up, so its IKE_AUTH never comes.
 */
export function settleDuplicates(world: World, sa: IkeSa): void {
  for (const other of sasOf(world, sa.connection!.id)) {
    if (other === sa) continue;
    if (other.state === 'init-sent') {
      failSa(
        world,
        other,
        failure('terminated', 'given up: the IKE SA that the peer initiated was established first'),
      );
    } else if (other.state === 'established') {
      settlePair(world, other, sa);
    }
  }
}

function settlePair(world: World, older: IkeSa, newer: IkeSa): void {
  if (older.establishedOrder < newer.id || older.role === newer.role) {
    if (older.redundantTo !== undefined) return;
    older.redundantTo = newer.id;
    newer.tasks.push({ kind: 'probe' });
    return;
  }
  const redundant = compareBytes(lowest(older.nonces), lowest(newer.nonces)) < 0 ? older : newer;
  const survivor = redundant === older ? newer : older;
  if (redundant.role === 'initiator') {
    redundant.redundantTo = survivor.id;
    survivor.tasks.push({ kind: 'probe' });
  } else {
    supersede(world, redundant);
  }
}

/**
 * Another IKE SA stays in place of this one, which the peer made and is to delete. It may never have had our
 * last answer, and then nobody would: so it is forgotten after a while.
 */
export function supersede(world: World, sa: IkeSa): void {
  sa.superseded = true;
  sa.state = 'rekeyed';
  sa.forgetAt = world.ctx.now + world.ctx.limits.halfOpenTimeout;
}

/** The least of the nonces that made an SA. */
export function lowest(nonces: readonly Uint8Array[]): Uint8Array {
  return nonces.reduce((least, nonce) => (compareBytes(nonce, least) < 0 ? nonce : least));
}

/**
 * The peer has an established SA and sends on its child SAs: what is redundant to it can go, once the packets
 * that were on their way have come.
 */
export function confirmSurvivor(world: World, sa: IkeSa): void {
  for (const other of sasOf(world, sa.connection!.id)) {
    if (other.redundantTo === sa.id) other.retireAt ??= world.ctx.now + IN_FLIGHT;
  }
}
