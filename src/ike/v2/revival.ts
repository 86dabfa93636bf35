import type { Millis } from '../../util/units.js';
import type { Failure } from '../events.js';
import { failure } from '../sa/failures.js';
import { mayRekey } from '../sa/world.js';
import { beginDelete } from './close.js';
import { isSuperseded } from './duplicates.js';
import { type IkeSaIn, isEstablished, type ServingSa } from './ike-sa.js';
import { renew } from './renew.js';
import { isRedundant } from './service.js';
import { unanswered } from './unanswered.js';
import type { World } from './world.js';

/** How long an IKE SA may be without a child SA, or its peer busy, before it counts as failed (RFC 7296 §2.25). */
const PATIENCE: Millis = 180_000;
/** The same for one that had a child SA, when the peer takes one pair of networks a child SA. */
const PAIR_PATIENCE: Millis = 30_000;
/** How long a busy peer is nothing to report: it may only be in the middle of an exchange that collides. */
const UNREMARKABLE: Millis = 30_000;
/** Longest wait for a busy peer. */
const MAX_BUSY_WAIT: Millis = 30_000;
/** Least time between two fresh starts of one connection from here; the reconciler has a pace of its own. */
const PACE: Millis = 10_000;

/**
 * Negotiates a new IKE SA beside one that cannot go on: a child SA of it cannot be rekeyed in time, or it cannot be
 * rekeyed itself (RFC 7296 §2.8). What is established stays in use until the new one has taken over. Says whether it
 * was begun.
 */
export function startOver(world: World, sa: ServingSa): boolean {
  const { ctx, startedOver } = world;
  const connection = ctx.connection(sa.connection.id);
  const wanted = connection?.adminUp === true && mayRekey(connection);
  if (!wanted || ctx.shuttingDown || isRedundant(sa.phase.service) || isSuperseded(sa)) return false;
  if ((startedOver.get(connection.id) ?? Number.NEGATIVE_INFINITY) + PACE > ctx.now) return false;
  startedOver.set(connection.id, ctx.now);
  renew(world, connection, 'connection');
  return true;
}

/** A CREATE_CHILD_SA request of ours for a child SA was refused for good, or what came back was of no use. */
export function noteRefusal(world: World, sa: ServingSa, reason: Failure, ofPair: boolean): void {
  const { service } = sa.phase;
  service.refusal = reason;
  if (!isEstablished(sa) || service.children.size > 0) return;
  const patience = !service.carried ? PATIENCE : ofPair ? PAIR_PATIENCE : 0;
  if (world.ctx.now - service.childlessSince >= patience) giveUp(world, sa, reason);
}

/**
 * A child SA is wanted on an IKE SA that has none any more. Where the last request was refused already, another one
 * would be as well: only a new IKE SA helps, since its first child SA is negotiated otherwise (RFC 7296 §1.2).
 */
export function reviveChildless(world: World, sa: IkeSaIn<'established'>): boolean {
  const { carried, refusal } = sa.phase.service;
  if (!carried || refusal === undefined) return false;
  giveUp(world, sa, refusal);
  return true;
}

/** No child SA can be made on this IKE SA: it is closed, and where it ever carried one, a new one comes at once. */
function giveUp(world: World, sa: ServingSa, reason: Failure): void {
  if (sa.phase.service.carried) startOver(world, sa);
  beginDelete(world, sa, 'failed', reason);
}

/**
 * The peer answered with TEMPORARY_FAILURE. Says how long to wait before it is asked again, and what there is to
 * report when it has been so for a while. After several minutes the two ends have lost each other (RFC 7296 §2.25).
 * @param first wait after the first time; it is doubled with each further one
 */
export function noteBusy(
  world: World,
  sa: ServingSa,
  first: Millis,
): { readonly wait: Millis; readonly report?: Failure } {
  const { now } = world.ctx;
  const { service } = sa.phase;
  service.busy ??= { since: now, times: 0 };
  const lasted = now - service.busy.since;
  const wait = Math.min(MAX_BUSY_WAIT, first * 2 ** service.busy.times++);
  if (lasted < UNREMARKABLE) return { wait };
  const why = `the peer has put it off with TEMPORARY_FAILURE for ${Math.round(lasted / 1000)} s`;
  const report: Failure = {
    ...failure('peer_busy', why),
    details: { notify: 'TEMPORARY_FAILURE', exchange: 'CREATE_CHILD_SA', tries: service.busy.times },
  };
  if (lasted >= PATIENCE) {
    service.busy = undefined;
    if (service.children.size === 0) giveUp(world, sa, report);
    else startOver(world, sa);
  }
  return { wait, report };
}

/** Begins a new IKE SA for what ends soon and was not rekeyed. */
export function renewExpiring(world: World, sa: IkeSaIn<'established'>): void {
  const { now } = world.ctx;
  const { service } = sa.phase;
  let due = false;
  if (service.renewAt <= now) {
    service.renewAt = Number.POSITIVE_INFINITY;
    due = service.children.size > 0;
  }
  for (const child of service.children.values()) {
    if (child.renewAt > now || (child.state !== 'installed' && child.state !== 'rekeying')) continue;
    child.renewAt = Number.POSITIVE_INFINITY;
    due = true;
    if (child.state === 'rekeying') reportUnanswered(world, sa, child.id);
  }
  if (due) startOver(world, sa);
}

function reportUnanswered(world: World, sa: IkeSaIn<'established'>, rekeys: number): void {
  const reason = unanswered(world, sa);
  if (reason === undefined) return;
  const { id: connection } = sa.connection;
  const { id: ikeId } = sa;
  world.ctx.event({ kind: 'child-failed', connection, ikeId, role: 'initiator', failure: reason, rekeys });
}

/** When `renewExpiring` has something to do. */
export function renewalDue(sa: IkeSaIn<'established'>): Millis {
  const { renewAt, children } = sa.phase.service;
  let at = renewAt;
  for (const child of children.values())
    if (child.state === 'installed' || child.state === 'rekeying') at = Math.min(at, child.renewAt);
  return at;
}

/** Whether rekeying the IKE SA is worth it: one that has had no child SA for long is left to its end. */
export function isWorthRekeying(world: World, sa: IkeSaIn<'established'>): boolean {
  const { children, childlessSince } = sa.phase.service;
  return children.size > 0 || world.ctx.now - childlessSince < PATIENCE;
}
