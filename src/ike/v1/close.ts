import type { ConnectionId } from '../../util/ids.js';
import type { Millis } from '../../util/units.js';
import { IPSEC_DOI, V1Protocol } from '../../wire/ike/v1/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { CloseReason, Failure } from '../events.js';
import { leaveTables } from '../sa/books.js';
import { releaseSpi } from '../sa/esp-spi.js';
import { reportIkeClosed, reportIkeFailed } from '../sa/report.js';
import { mayRekey } from '../sa/world.js';
import { announceDelete, removeChild } from './children.js';
import {
  enter,
  type IsakmpSa,
  isHalfOpen,
  isIn,
  isStarting,
  isUp,
  type KeyedSa,
  type UpSa,
} from './isakmp-sa.js';
import { orphan } from './orphans.js';
import { authenticatedOf } from './phases.js';
import { endProbe } from './port-probe.js';
import type { QuickExchange } from './quick.js';
import { isakmpSpi, sendInformational } from './send.js';
import { childrenOf, upSasOf, type World } from './world.js';

/** How long a DELETE that another one has overtaken may still be on its way. */
const OVERTAKEN: Millis = 2_000;

/** Main mode did not succeed. Reported once; the SA is forgotten. */
export function failSa(world: World, sa: IsakmpSa, failure: Failure): void {
  reportFailure(world, sa, failure);
  retire(world, sa);
}

/** Raises `ike-failed`, except for an SA made only to deliver a DELETE: no connection depends on that one. */
export function reportFailure(world: World, sa: IsakmpSa, failure: Failure): void {
  if (isFarewell(sa)) return;
  const connection = sa.connection ?? (isHalfOpen(sa) ? sa.phase.offer.candidates.only : undefined);
  reportIkeFailed(world.ctx, sa, connection?.id, failure);
}

/** Takes an SA that was never established out of the table, silently. */
export function forgetSa(world: World, sa: IsakmpSa): void {
  retire(world, sa);
}

/**
 * An SA that was up ends without (further) words to the peer. The newest one left takes over; without any, the ESP
 * SAs go on alone.
 */
export function closeSa(world: World, sa: UpSa, reason: CloseReason, failure?: Failure): void {
  const name = sa.connection.id;
  const others = upSasOf(world, name).filter((other) => other !== sa);
  reportIkeClosed(world.ctx, name, sa.id, reason, failure);
  if (others.length === 0) orphan(world, sa);
  if (reason === 'peer-deleted' && world.orphans.has(name)) linger(world, sa);
  else retire(world, sa);
  if (others.length === 0 || others.some((other) => isIn(other, 'established'))) return;
  const heir = others.reduce((a, b) => (orderOf(b) > orderOf(a) ? b : a));
  takeOver(heir, world.ctx.now);
}

function orderOf({ phase }: UpSa): number {
  return phase.session.establishedOrder;
}

/** A superseded SA carries the exchanges of its connection again. */
function takeOver(heir: UpSa, now: Millis): void {
  const { session } = heir.phase;
  enter(heir, { ...authenticatedOf(heir.phase), at: 'established' });
  session.lastInbound = Math.max(session.lastInbound, now);
}

/** Each DELETE has a message of its own, and the network may change their order. */
function linger(world: World, sa: UpSa): void {
  for (const quick of [...sa.phase.session.quicks.values()]) dropQuick(world, sa, quick);
  enter(sa, { ...authenticatedOf(sa.phase), at: 'closing', forgetAt: world.ctx.now + OVERTAKEN });
}

/**
 * Ends an SA at both ends. RFC 2408 §3.15: a DELETE is not answered; a peer that misses it finds out by dead
 * peer detection. Where the connection ends, the last SA takes the ESP SAs with it.
 */
export function deleteSa(world: World, sa: UpSa, reason: CloseReason, failure?: Failure): void {
  const name = sa.connection.id;
  const last = !upSasOf(world, name).some((other) => other !== sa);
  if (last && reason !== 'expired' && reason !== 'rekeyed') {
    announceDelete(
      world,
      sa,
      childrenOf(world, name).map((child) => child.spiIn),
    );
    endChildren(world, name, reason);
  }
  // The peer knows the lifetime too. Informed of its end, some peers end their ESP SAs as well, silently.
  const alone = last && reason === 'expired' && childrenOf(world, name).length > 0;
  if (!alone) announceIsakmpDelete(world, sa);
  closeSa(world, sa, reason, failure);
}

/** Removes all child SAs of a connection without telling the peer. */
export function endChildren(world: World, connection: ConnectionId, reason: CloseReason): void {
  for (const child of childrenOf(world, connection)) removeChild(world, child, reason);
}

/**
 * INITIAL-CONTACT: the peer knows no other SA (RFC 2407 §4.6.3.3). Those of this connection that were established when
 * it began are gone at its end, so they are removed here silently; later ones are not meant.
 */
export function dropForgotten(world: World, sa: IsakmpSa, { id: name }: ConnectionConfig): void {
  for (const child of childrenOf(world, name)) if (child.order < sa.id) removeChild(world, child, 'replaced');
  for (const other of upSasOf(world, name)) {
    if (other !== sa && orderOf(other) < sa.id) closeSa(world, other, 'replaced');
  }
}

/**
 * Whether the peer does not know this SA any more, now that a quick mode of ours has stayed unanswered. Peers refuse
 * networks that they do not have silently too: while other ESP SAs are established only the rekeying of one shows
 * it.
 */
export function isLost(world: World, sa: UpSa, quick: QuickExchange): boolean {
  const { at, session } = sa.phase;
  if (quick.state !== 'sent' || at !== 'established' || session.lastMessage > quick.startedAt) return false;
  return quick.replaces !== undefined || childrenOf(world, sa.connection.id).length === 0;
}

/**
 * The peer does not answer quick mode on this SA and shows no other sign that it still has it. It gets a DELETE in case
 * it has. Says whether ESP SAs are left for a new ISAKMP SA to replace, since the peer may have lost those too.
 */
export function loseSa(world: World, sa: UpSa, failure: Failure): boolean {
  const { connection } = sa;
  announceIsakmpDelete(world, sa);
  closeSa(world, sa, 'peer-dead', failure);
  return childrenOf(world, connection.id).length > 0 && mayRekey(connection) && !world.ctx.shuttingDown;
}

/** It is made for a DELETE of ESP SAs and nothing else. */
export function isFarewell(sa: IsakmpSa): boolean {
  return isStarting(sa) && sa.phase.attempt.farewell !== undefined;
}

/** Sends a DELETE for the ISAKMP SA itself (RFC 2408 §3.15). */
export function announceIsakmpDelete(world: World, sa: KeyedSa): void {
  sendInformational(world, sa, [
    { kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.ISAKMP, spis: [isakmpSpi(sa)] },
  ]);
}

/** Ends an SA in whatever state it is: by DELETE when the peer has it, else by forgetting it. */
export function endSa(world: World, sa: IsakmpSa, reason: CloseReason, failure: Failure): void {
  if (isUp(sa)) deleteSa(world, sa, reason);
  else if (isIn(sa, 'closing')) forgetSa(world, sa);
  else if (sa.state !== 'gone') failSa(world, sa, failure);
}

/** Forgets a quick mode: nothing of it is repeated any more. */
export function dropQuick(world: World, sa: UpSa, quick: QuickExchange): void {
  sa.phase.session.quicks.delete(quick.messageId);
  if (quick.state === 'sent') quick.dh?.wipe();
  if (quick.state === 'sent' || quick.state === 'abandoned') releaseSpi(world, quick.spiIn);
  if (quick.state === 'answered' && quick.child.state === 'pending')
    removeChild(world, quick.child, 'failed');
}

function retire(world: World, sa: IsakmpSa): void {
  settleHalfOpen(world, sa);
  if (isUp(sa)) for (const quick of [...sa.phase.session.quicks.values()]) dropQuick(world, sa, quick);
  endProbe(world, sa);
  sa.end();
  leaveTables(world, sa);
}

/** The SA is not half-open any more: the initiator has authenticated, or it is forgotten. */
export function settleHalfOpen(world: World, sa: IsakmpSa): void {
  if (!isHalfOpen(sa)) return;
  world.halfOpen.settled(sa.phase.halfOpen);
  // It is bounded as that of a half-open SA.
  sa.fragments = undefined;
}
