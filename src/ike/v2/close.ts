import type { CloseReason, Failure } from '../events.js';
import { leaveTables } from '../sa/books.js';
import { releaseSpi } from '../sa/esp-spi.js';
import { reportIkeClosed, reportIkeFailed } from '../sa/report.js';
import { sasOf } from '../sa/world.js';
import { enterAuthSent } from './answers.js';
import { removeChild } from './child.js';
import {
  type IkeSa,
  type IkeSaIn,
  isEstablished,
  isIn,
  isInitiating,
  isServing,
  wipeNegotiation,
} from './ike-sa.js';
import { chooseNextOffer } from './offer.js';
import { dropPending } from './pending.js';
import { isRedundant, isRedundantTo, makeRedundant, type Service, SOLE } from './service.js';
import { purposeOf } from './tasks.js';
import type { World } from './world.js';

/** Why an SA is left in the table for a while: its last answer may have to be repeated. */
type Leave = 'at-once' | 'answer-repetitions';

/** The negotiation of an SA did not succeed. Reported once; the SA is forgotten. */
export function failSa(world: World, sa: IkeSa, failure: Failure, leave: Leave = 'at-once'): void {
  if (isInitiating(sa)) chooseNextOffer(world, sa, failure);
  reportIkeFailed(world.ctx, sa, sa.connection?.id, failure);
  retire(world, sa, leave);
}

/** An established SA ends without (further) words to the peer. Its child SAs end with it (RFC 7296 §1.4.1). */
export function closeSa(
  world: World,
  sa: IkeSaIn<'auth-sent' | 'established' | 'rekeyed' | 'deleting'>,
  reason: CloseReason,
  failure?: Failure,
  leave: Leave = 'at-once',
): void {
  removeChildren(world, sa, reason);
  reportIkeClosed(world.ctx, sa.connection.id, sa.id, reason, failure);
  retire(world, sa, leave);
}

function removeChildren(world: World, sa: IkeSa, reason: CloseReason): void {
  if (sa.service !== undefined) dropPending(world, sa.service);
  for (const child of [...(sa.service?.children.values() ?? [])]) removeChild(world, sa, child, reason);
}

/** Begins the DELETE exchange of an established SA. Traffic stops now, the SA ends with the answer. */
export function beginDelete(world: World, sa: IkeSa, reason: CloseReason, failure?: Failure): void {
  if (!isServing(sa)) return;
  removeChildren(world, sa, reason);
  sa.tasks.length = 0;
  const { link, keyed, service } = sa.phase;
  // An exchange that is under way comes first, and a dead peer never answers it.
  const forgetAt = world.ctx.now + 2 * world.ctx.limits.halfOpenTimeout;
  sa.moveTo({ at: 'deleting', link, keyed, service, reason, failure, forgetAt });
  sa.tasks.push({ kind: 'delete-ike' });
}

/** Ends an SA in whatever state it is: by DELETE when the peer has it, else by forgetting it. */
export function endSa(world: World, sa: IkeSa, reason: CloseReason, failure: Failure): void {
  switch (sa.state) {
    case 'established':
    case 'rekeyed':
      beginDelete(world, sa, reason);
      break;
    case 'init-sent':
    case 'init-answered':
      failSa(world, sa, failure);
      break;
    case 'intermediate-sent':
    case 'auth-sent':
      abandonAuth(world, sa, failure);
      break;
    case 'deleting':
    case 'gone':
      break;
  }
}

/**
 * IKE_AUTH is on its way: the peer may have the SA already, or is about to. The request is repeated until its
 * answer, or the end of the tries, and what the peer has then is deleted there (RFC 7296 §1.4.1).
 */
function abandonAuth(world: World, sa: IkeSa, failure: Failure): void {
  enterAuthSent(sa);
  if (!isIn(sa, 'auth-sent') || sa.active?.task.kind !== 'auth') {
    failSa(world, sa, failure);
    return;
  }
  reportIkeFailed(world.ctx, sa, sa.connection.id, failure);
  withdraw(world, sa);
}

/** The attempt has failed and was reported. What is under way, or comes, informs the peer. */
export function withdraw(world: World, sa: IkeSaIn<'auth-sent'>): void {
  const { link, keyed, negotiation } = sa.phase;
  if (negotiation.child !== undefined) releaseSpi(world, negotiation.child.spi);
  sa.branches.settle();
  wipeNegotiation(negotiation);
  sa.moveTo({ at: 'deleting', link, keyed, service: undefined });
}

/** The SA that was being deleted is gone at both ends. */
export function finishDelete(world: World, sa: IkeSaIn<'deleting'>, leave: Leave = 'at-once'): void {
  const { phase } = sa;
  if (phase.service === undefined) forgetWithdrawn(world, sa);
  else closeSa(world, sa, phase.reason, phase.failure, leave);
}

/** An SA that failed its negotiation was reported then; it only had to inform the peer. */
function forgetWithdrawn(world: World, sa: IkeSa): void {
  sa.end();
  leaveTables(world, sa);
}

function retire(world: World, sa: IkeSa, leave: Leave): void {
  settleHalfOpen(world, sa);
  const task = purposeOf(sa.active?.task);
  if (task?.kind === 'create-child') releaseSpi(world, task.spi);
  if (isInitiating(sa) && sa.phase.negotiation.child !== undefined)
    releaseSpi(world, sa.phase.negotiation.child.spi);
  const forgetAt = leave === 'at-once' ? undefined : world.ctx.now + world.ctx.limits.halfOpenTimeout;
  sa.end(forgetAt);
  if (leave === 'at-once') leaveTables(world, sa);
  if (sa.connection === undefined) return;
  const rest = sasOf(world, sa.connection.id);
  for (const other of rest) {
    if (other.service !== undefined && isRedundantTo(other.service, sa.id))
      findSurvivor(other, other.service, rest);
  }
}

/** The SA in whose favour this one was to go is gone itself: another one, or this one after all, stays. */
function findSurvivor(sa: IkeSa, service: Service, rest: readonly IkeSa[]): void {
  const survivor = rest.findLast(
    (one) => one !== sa && isEstablished(one) && !isRedundant(one.phase.service),
  );
  service.standing = SOLE;
  if (survivor !== undefined) makeRedundant(service, survivor.id);
  survivor?.tasks.push({ kind: 'probe' });
}

/** The SA is not half-open any more: the initiator has authenticated, or it is forgotten. */
export function settleHalfOpen(world: World, sa: IkeSa): void {
  if (sa.phase.at === 'init-answered') world.halfOpen.settled(sa.phase.negotiation);
}
