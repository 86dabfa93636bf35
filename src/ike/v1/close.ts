import { IPSEC_DOI, V1Protocol } from '../../wire/ike/v1/registry.js';
import { releaseSpi } from '../esp-spi.js';
import type { CloseReason, Failure } from '../events.js';
import { announceDelete, removeChild } from './children.js';
import type { IsakmpSa } from './isakmp-sa.js';
import type { QuickExchange } from './quick.js';
import { isakmpSpi, sendInformational } from './send.js';
import { childrenOf, sasOf, type World } from './world.js';

/** Main mode did not succeed. Reported once; the SA is forgotten. */
export function failSa(world: World, sa: IsakmpSa, failure: Failure): void {
  reportFailure(world, sa, failure);
  retire(world, sa);
}

export function reportFailure(world: World, sa: IsakmpSa, failure: Failure): void {
  const connection = sa.connection ?? sa.negotiation?.candidates.only;
  world.ctx.event({
    kind: 'ike-failed',
    ...(connection === undefined ? {} : { connection: connection.name }),
    ikeId: sa.id,
    role: sa.role,
    peer: sa.remote,
    failure,
  });
}

/** Takes an SA that never came to be out of the table, without a word. */
export function forgetSa(world: World, sa: IsakmpSa): void {
  retire(world, sa);
}

/**
 * An SA that was up ends without (further) words to the peer. With the last one of a connection its ESP SAs
 * end too; else the newest one left takes over.
 */
export function closeSa(world: World, sa: IsakmpSa, reason: CloseReason, failure?: Failure): void {
  const name = sa.connection!.name;
  const others = sasOf(world, name).filter((other) => other !== sa && other.isUp);
  if (others.length === 0) for (const child of childrenOf(world, name)) removeChild(world, child, reason);
  world.ctx.event({
    kind: 'ike-closed',
    connection: name,
    ikeId: sa.id,
    reason,
    ...(failure === undefined ? {} : { failure }),
  });
  retire(world, sa);
  if (others.length === 0 || others.some((other) => other.state === 'established')) return;
  const heir = others.reduce((a, b) => (b.establishedOrder > a.establishedOrder ? b : a));
  heir.state = 'established';
  heir.deleteAt = undefined;
  heir.lastInbound = Math.max(heir.lastInbound, world.ctx.now);
}

/**
 * Ends an SA at both ends. RFC 2408 §3.15: a DELETE is not answered; a peer that misses it finds out by dead
 * peer detection. The last SA of a connection takes the ESP SAs with it.
 */
export function deleteSa(world: World, sa: IsakmpSa, reason: CloseReason, failure?: Failure): void {
  const name = sa.connection!.name;
  const last = !sasOf(world, name).some((other) => other !== sa && other.isUp);
  if (last) {
    announceDelete(
      world,
      sa,
      childrenOf(world, name).map((child) => child.spiIn),
    );
  }
  announceIsakmpDelete(world, sa);
  closeSa(world, sa, reason, failure);
}

export function announceIsakmpDelete(world: World, sa: IsakmpSa): void {
  sendInformational(world, sa, [
    { kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.ISAKMP, spis: [isakmpSpi(sa)] },
  ]);
}

/** Ends an SA in whatever state it is: by DELETE when the peer has it, else by forgetting it. */
export function endSa(world: World, sa: IsakmpSa, reason: CloseReason, failure: Failure): void {
  if (sa.isUp) deleteSa(world, sa, reason);
  else if (sa.state !== 'gone') failSa(world, sa, failure);
}

/** Forgets a quick mode: nothing of it is repeated any more. */
export function dropQuick(world: World, sa: IsakmpSa, quick: QuickExchange): void {
  sa.quicks.delete(quick.messageId);
  quick.dh?.wipe();
  if (quick.state === 'sent' || quick.state === 'abandoned') releaseSpi(world, quick.spiIn);
  if (quick.child?.state === 'pending') removeChild(world, quick.child, 'failed');
}

function retire(world: World, sa: IsakmpSa): void {
  settleHalfOpen(world, sa);
  for (const quick of [...sa.quicks.values()]) dropQuick(world, sa, quick);
  sa.wipe();
  sa.state = 'gone';
  world.table.remove(sa);
  if (sa.firstRequestKey !== undefined && world.byFirstRequest.get(sa.firstRequestKey) === sa) {
    world.byFirstRequest.delete(sa.firstRequestKey);
  }
}

/** The SA is not half-open any more: the initiator has authenticated, or it is forgotten. */
export function settleHalfOpen(world: World, sa: IsakmpSa): void {
  if (sa.halfOpenSource === undefined) return;
  world.halfOpen.closed(sa.halfOpenSource, sa.halfOpenProven);
  world.halfOpen.release(sa.halfOpenHeld);
  // It is bounded as that of a half-open SA.
  sa.fragments = undefined;
  sa.halfOpenSource = undefined;
}
