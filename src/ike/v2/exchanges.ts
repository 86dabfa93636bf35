import type { Millis } from '../../util/units.js';
import { initiatorSilent } from '../admission/silent-initiator.js';
import type { Failure } from '../events.js';
import { releaseSpi } from '../sa/esp-spi.js';
import { enterRefused, isAnswered, leaveSilent, onDue, onFirst, refusalDue, repeatDue } from './answers.js';
import { authAnswered, authSilent, refusePeer, sendAuth, sendAuthRefusal } from './auth-initiator.js';
import { removeChild } from './child.js';
import type { ChildRecord } from './child-record.js';
import { beginDelete, closeSa, failSa, finishDelete, forget } from './close.js';
import { fillGaps } from './coverage.js';
import { createChildAnswered, sendCreateChild } from './create-child-initiator.js';
import { type IkeSa, wipeTask } from './ike-sa.js';
import { childDeleteAnswered, sendInformational } from './informational.js';
import { initSilent, revise, sendInit } from './init-initiator.js';
import { deadAt, probeAt } from './liveness.js';
import { find } from './payloads.js';
import { reauthenticate } from './reauthentication.js';
import { rekeyIkeAnswered, sendRekeyIke } from './rekey-ike.js';
import { isWorthRekeying, renewalDue, renewExpiring } from './revival.js';
import { resend } from './send.js';
import { createChildTask, rekeyIkeTask, type Task } from './tasks.js';
import { unanswered } from './unanswered.js';
import { type Inbound, sasOf, type World } from './world.js';

/** Begins the next waiting exchange, if none is under way. */
export function beginNext(world: World, sa: IkeSa): void {
  while (sa.active === undefined && sa.state !== 'gone') {
    const task = sa.tasks.shift();
    if (task === undefined) return;
    begin(world, sa, task);
  }
}

function begin(world: World, sa: IkeSa, task: Task): void {
  switch (task.kind) {
    case 'init':
      sendInit(world, sa);
      break;
    case 'auth':
      sendAuth(world, sa);
      break;
    case 'create-child':
      sendCreateChild(world, sa, task);
      break;
    case 'rekey-ike':
      sendRekeyIke(world, sa, task);
      break;
    case 'refuse-auth':
      sendAuthRefusal(world, sa);
      break;
    case 'delete-children':
    case 'delete-ike':
    case 'probe':
      sendInformational(world, sa, task);
      break;
  }
}

/** The answer to the exchange under way, all but IKE_SA_INIT: the exchange is over, whatever the answer says. */
export function answered(world: World, sa: IkeSa, message: Inbound): void {
  const { task } = sa.active!;
  sa.active = undefined;
  sa.nextMessageId++;
  if (sa.state === 'deleting') {
    answeredWhileDeleting(world, sa, task, message);
    return;
  }
  switch (task.kind) {
    case 'init':
      break;
    case 'auth':
      authAnswered(world, sa, message);
      break;
    case 'create-child':
      createChildAnswered(world, sa, task, message);
      break;
    case 'rekey-ike':
      rekeyIkeAnswered(world, sa, task, message);
      break;
    case 'delete-children':
      childDeleteAnswered(world, sa, task.spis);
      break;
    case 'probe':
    case 'delete-ike':
    case 'refuse-auth':
      break;
  }
}

/** What was under way when the SA was told to end does not matter any more, save a new IKE SA at the peer. */
function answeredWhileDeleting(world: World, sa: IkeSa, task: Task, message: Inbound): void {
  switch (task.kind) {
    case 'delete-ike':
    case 'refuse-auth':
      finishDelete(world, sa);
      break;
    case 'auth':
      // Given up meanwhile: with an AUTH payload the peer has the SA, else it has refused us anyway.
      if (find(message.payloads, 'auth') === undefined) finishDelete(world, sa);
      else sa.tasks.push({ kind: 'delete-ike' });
      break;
    case 'rekey-ike': {
      const before = new Set(sasOf(world, sa.connection!.id));
      rekeyIkeAnswered(world, sa, task, message);
      for (const made of sasOf(world, sa.connection!.id)) {
        if (!before.has(made)) beginDelete(world, made, sa.closing!.reason);
      }
      break;
    }
    case 'create-child':
      releaseSpi(world, task.spi);
      wipeTask(task);
      break;
    default:
      wipeTask(task);
  }
}

/** When the SA needs `tick` next. */
export function deadlineOf(sa: IkeSa): Millis {
  let at = sa.forgetAt ?? Number.POSITIVE_INFINITY;
  at = Math.min(at, refusalDue(sa), sa.initiating?.revision?.at ?? at, repeatDue(sa));
  if (sa.state !== 'established') return at;
  at = Math.min(
    at,
    sa.expiresAt,
    sa.retireAt ?? at,
    sa.retryChildAt ?? at,
    sa.gapsAt ?? at,
    deadAt(sa) ?? at,
    probeAt(sa) ?? at,
  );
  for (const child of sa.children.values()) at = Math.min(at, child.expiresAt);
  if (!mayRekey(sa)) return at;
  at = Math.min(at, sa.rekeyAt, sa.reauthenticateAt, renewalDue(sa));
  for (const child of sa.children.values()) {
    if (child.state === 'installed') at = Math.min(at, child.rekeyAt, child.verifyPfsAt ?? at);
  }
  return at;
}

/** `peer_only` leaves rekeying to the peer and lets its SAs expire. */
function mayRekey(sa: IkeSa): boolean {
  return sa.connection?.establishMode === 'bidirectional';
}

/** Does what time has brought about. */
export function tick(world: World, sa: IkeSa): void {
  const { now } = world.ctx;
  if (sa.forgetAt !== undefined && sa.forgetAt <= now) {
    expireState(world, sa);
    return;
  }
  if (refusalDue(sa) <= now) {
    failRefused(world, sa);
    return;
  }
  if (sa.initiating?.revision !== undefined && sa.initiating.revision.at <= now)
    onFirst(sa, () => revise(world, sa));
  const dead = deadAt(sa);
  if (dead !== undefined && dead <= now) {
    peerDead(world, sa);
    return;
  }
  if (repeatDue(sa) <= now)
    onDue(sa, now, () => {
      if (sa.active!.retransmission.expire(now) === 'exhausted') silent(world, sa);
      else resend(world, sa);
    });
  if (sa.state !== 'established') return;
  if (sa.retireAt !== undefined && sa.retireAt <= now) {
    beginDelete(world, sa, 'replaced');
    return;
  }
  const probe = probeAt(sa);
  if (probe !== undefined && probe <= now) {
    const idle = now - sa.lastInbound;
    world.ctx.event({ kind: 'liveness-probe', connection: sa.connection!.id, ikeId: sa.id, idle });
    sa.tasks.push({ kind: 'probe' });
  }
  lifetimes(world, sa);
}

function lifetimes(world: World, sa: IkeSa): void {
  const { now, limits } = world.ctx;
  if (sa.expiresAt <= now) {
    beginDelete(world, sa, 'expired', sa.rekeyRefused);
    return;
  }
  const messages = Math.max(sa.nextMessageId, sa.inbound.next);
  if (mayRekey(sa) && messages >= limits.messagesPerIkeSa && !sa.spent) {
    sa.spent = true;
    sa.rekeyAt = now;
  }
  if (mayRekey(sa) && sa.rekeyAt <= now) {
    sa.rekeyAt = Number.POSITIVE_INFINITY;
    // A redundant SA is about to go: no successor for it (RFC 7296 §2.8.2).
    if (sa.redundantTo === undefined && isWorthRekeying(world, sa)) sa.tasks.push(rekeyIkeTask());
  }
  if (mayRekey(sa)) {
    renewExpiring(world, sa);
    reauthenticate(world, sa);
  }
  if (sa.retryChildAt !== undefined && sa.retryChildAt <= now) {
    sa.retryChildAt = undefined;
    if (sa.children.size === 0) sa.tasks.push(createChildTask());
  }
  if (sa.gapsAt !== undefined && sa.gapsAt <= now) fillGaps(world, sa);
  for (const child of [...sa.children.values()]) {
    if (child.expiresAt <= now) {
      const replaced = child.state === 'rekeyed' || child.state === 'deleting';
      removeChild(world, sa, child, replaced ? 'rekeyed' : 'expired');
      sa.tasks.push({ kind: 'delete-children', spis: [child.spiIn] });
    } else if (mayRekey(sa) && child.state === 'installed') {
      rekeyIfDue(sa, child, now);
    }
  }
}

function rekeyIfDue(sa: IkeSa, child: ChildRecord, now: Millis): void {
  const due = child.rekeyAt <= now;
  const verifies = !due && child.verifyPfsAt !== undefined && child.verifyPfsAt <= now;
  if (!due && !verifies) return;
  child.verifyPfsAt = undefined;
  if (due) child.rekeyAt = Number.POSITIVE_INFINITY;
  // The peer has rekeyed one since: nothing is left to find out.
  if (due || sa.pfsUnverified) sa.tasks.push(createChildTask({ rekeys: child.id, verifies }));
}

/** A state that only waited for something has waited long enough. */
function expireState(world: World, sa: IkeSa): void {
  switch (sa.state) {
    case 'init-answered':
      failSa(
        world,
        sa,
        initiatorSilent({
          exchange: 'IKE_AUTH',
          movesPort: sa.nat.local || sa.nat.peer || wantsEncapsulation(sa),
          natTraversalPort: sa.natTraversalPort,
          repeats: sa.firstRepeats,
        }),
      );
      break;
    case 'rekeyed':
      closeSa(world, sa, sa.superseded ? 'replaced' : 'rekeyed');
      break;
    case 'deleting':
      finishDelete(world, sa);
      break;
    default:
      forget(world, sa);
  }
}

/** Whether our answer pretended a NAT, so that the peer moves to port 4500. */
function wantsEncapsulation({ natTraversal, responding }: IkeSa): boolean {
  return natTraversal && responding?.candidates.forcesEncapsulation === true;
}

/** The attempt ends for a refusal, since no sender has proved to be the peer in time. */
function failRefused(world: World, sa: IkeSa): void {
  const { failure } = sa.initiating!.refusal!;
  if (enterRefused(sa)) refusePeer(world, sa, failure);
  else failSa(world, sa, failure);
}

/** All sendings of a request went without answer. */
function silent(world: World, sa: IkeSa): void {
  switch (sa.state) {
    case 'init-sent':
      // It was answered: by whom, IKE_AUTH is to show.
      if (isAnswered(sa) || sa.initiating?.refusal?.sealed === true) sa.active = undefined;
      else initSilent(world, sa);
      break;
    case 'auth-sent':
      if (leaveSilent(sa)) return;
      if (sa.initiating?.refusal === undefined) authSilent(world, sa);
      else failRefused(world, sa);
      break;
    case 'deleting':
      finishDelete(world, sa);
      break;
    default:
      peerDead(world, sa);
  }
}

function peerDead(world: World, sa: IkeSa): void {
  closeSa(world, sa, 'peer-dead', unanswered(world, sa) ?? noSignOfLife(world, sa));
}

function noSignOfLife(world: World, sa: IkeSa): Failure {
  const idle = Math.round((world.ctx.now - sa.lastInbound) / 1000);
  const tries = sa.active?.retransmission.sent ?? 0;
  return {
    cause: 'dpd_timeout',
    message: `the peer gave no sign of life for ${idle} s`,
    details: { tries },
  };
}
