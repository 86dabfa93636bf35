import type { CloseReason, Failure } from '../events.js';
import { releaseSpi } from '../sa/esp-spi.js';
import { reportIkeClosed, reportIkeFailed } from '../sa/report.js';
import { enterTried } from './answers.js';
import { removeChild } from './child.js';
import { type IkeSa, wipeTask } from './ike-sa.js';
import { sasOf, type World } from './world.js';

/** Why an SA is left in the table for a while: its last answer may have to be repeated. */
type Leave = 'at-once' | 'answer-repetitions';

/** The negotiation of an SA did not succeed. Reported once; the SA is forgotten. */
export function failSa(world: World, sa: IkeSa, failure: Failure, leave: Leave = 'at-once'): void {
  reportIkeFailed(world.ctx, sa, sa.connection?.id, failure);
  retire(world, sa, leave);
}

/** An established SA ends without (further) words to the peer. Its child SAs end with it (RFC 7296 §1.4.1). */
export function closeSa(
  world: World,
  sa: IkeSa,
  reason: CloseReason,
  failure?: Failure,
  leave: Leave = 'at-once',
): void {
  for (const child of [...sa.children.values()]) removeChild(world, sa, child, reason);
  reportIkeClosed(world.ctx, sa.connection!.id, sa.id, reason, failure);
  retire(world, sa, leave);
}

/** Begins the DELETE exchange of an established SA. Traffic stops now, the SA ends with the answer. */
export function beginDelete(world: World, sa: IkeSa, reason: CloseReason, failure?: Failure): void {
  if (sa.state !== 'established' && sa.state !== 'rekeyed') return;
  for (const child of [...sa.children.values()]) removeChild(world, sa, child, reason);
  dropQueued(world, sa);
  sa.state = 'deleting';
  // An exchange that is under way comes first, and a dead peer never answers it.
  sa.forgetAt = world.ctx.now + 2 * world.ctx.limits.halfOpenTimeout;
  sa.closing = { reason, ...(failure === undefined ? {} : { failure }), announced: false };
  sa.tasks.push({ kind: 'delete-ike' });
}

/** Ends an SA in whatever state it is: by DELETE when the peer has it, else by forgetting it. */
export function endSa(world: World, sa: IkeSa, reason: CloseReason, failure: Failure): void {
  switch (sa.state) {
    case 'established':
    case 'rekeyed':
      beginDelete(world, sa, reason);
      break;
    case 'auth-sent':
      abandonAuth(world, sa, failure);
      break;
    case 'init-sent':
    case 'init-answered':
      failSa(world, sa, failure);
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
  enterTried(sa);
  if (sa.active?.task.kind !== 'auth') {
    failSa(world, sa, failure);
    return;
  }
  reportIkeFailed(world.ctx, sa, sa.connection?.id, failure);
  if (sa.initiating?.childSpi !== undefined) releaseSpi(world, sa.initiating.childSpi);
  sa.endInitiating();
  sa.state = 'deleting';
  sa.closing = { reason: 'terminated', announced: true };
}

/** The SA that was being deleted is gone at both ends. */
export function finishDelete(world: World, sa: IkeSa, leave: Leave = 'at-once'): void {
  const closing = sa.closing!;
  if (closing.announced) {
    forgetUnannounced(world, sa);
    return;
  }
  closeSa(world, sa, closing.reason, closing.failure, leave);
}

/** An SA that failed its negotiation was reported then; it only had to tell the peer. */
function forgetUnannounced(world: World, sa: IkeSa): void {
  sa.wipe();
  sa.state = 'gone';
  world.table.remove(sa);
}

/** Forgets the tasks that were not begun. */
function dropQueued(world: World, sa: IkeSa): void {
  for (const task of sa.tasks.splice(0)) {
    wipeTask(task);
    if (task.kind === 'create-child' && task.spi !== 0) releaseSpi(world, task.spi);
  }
}

function retire(world: World, sa: IkeSa, leave: Leave): void {
  settleHalfOpen(world, sa);
  const task = sa.active?.task;
  if (task?.kind === 'create-child' && task.spi !== 0) releaseSpi(world, task.spi);
  if (sa.initiating?.childSpi !== undefined) releaseSpi(world, sa.initiating.childSpi);
  dropQueued(world, sa);
  sa.wipe();
  sa.state = 'gone';
  if (leave === 'at-once') forget(world, sa);
  else sa.forgetAt = world.ctx.now + world.ctx.limits.halfOpenTimeout;
  if (sa.connection === undefined) return;
  const rest = sasOf(world, sa.connection.id);
  for (const other of rest) if (other.redundantTo === sa.id) findSurvivor(other, rest);
}

/** The SA in whose favour this one was to go is gone itself: another one, or this one after all, stays. */
function findSurvivor(sa: IkeSa, rest: readonly IkeSa[]): void {
  const survivor = rest.findLast(
    (one) => one !== sa && one.state === 'established' && one.redundantTo === undefined && !one.superseded,
  );
  sa.redundantTo = survivor?.id;
  sa.retireAt = undefined;
  survivor?.tasks.push({ kind: 'probe' });
}

/** Takes an SA out of the table. From now on its messages have an unknown SPI. */
export function forget(world: World, sa: IkeSa): void {
  world.table.remove(sa);
  if (sa.firstRequestKey !== undefined) world.byFirstRequest.delete(sa.firstRequestKey);
}

/** The SA is not half-open any more: the initiator has authenticated, or it is forgotten. */
export function settleHalfOpen(world: World, sa: IkeSa): void {
  if (sa.state === 'init-answered' && sa.responding !== undefined) {
    world.halfOpen.closed(sa.responding.source, sa.responding.proven);
    world.halfOpen.release(sa.responding.held);
  }
}
