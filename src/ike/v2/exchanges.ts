import { ExchangeType, nameOf } from '../../wire/ike/registry.js';
import { find } from '../payloads.js';
import { releaseSpi } from '../sa/esp-spi.js';
import { sasOf } from '../sa/world.js';
import { authAnswered, sendAuth, sendAuthRefusal } from './auth-initiator.js';
import { beginDelete, finishDelete } from './close.js';
import { createChildAnswered, sendCreateChild } from './create-child-initiator.js';
import { followupAnswered, followupAnsweredWhileDeleting, sendFollowup } from './followup-initiator.js';
import { type IkeSa, type IkeSaIn, isIn, isServing, type ServingSa } from './ike-sa.js';
import { childDeleteAnswered, sendInformational } from './informational.js';
import { sendInit } from './init-initiator.js';
import { intermediateAnswered, sendIntermediate } from './intermediate-initiator.js';
import { rekeyIkeAnswered, sendRekeyIke } from './rekey-ike.js';
import { type Exchange, type Task, wipeExchange } from './tasks.js';
import type { Inbound, World } from './world.js';

/** Begins the next waiting exchange, if none is under way. */
export function beginNext(world: World, sa: IkeSa): void {
  while (sa.active === undefined && sa.state !== 'gone') {
    const task = sa.tasks.shift();
    if (task === undefined) return;
    begin(world, sa, task);
  }
}

/** A task that has no place in the phase in which its turn comes is dropped. */
function begin(world: World, sa: IkeSa, task: Task): void {
  switch (task.kind) {
    case 'init':
      if (isIn(sa, 'init-sent')) sendInit(world, sa);
      break;
    case 'intermediate':
      if (isIn(sa, 'intermediate-sent')) sendIntermediate(world, sa);
      break;
    case 'auth':
      if (isIn(sa, 'auth-sent')) sendAuth(world, sa);
      break;
    case 'create-child':
      if (isServing(sa)) sendCreateChild(world, sa, task);
      break;
    case 'rekey-ike':
      if (isServing(sa)) sendRekeyIke(world, sa, task);
      break;
    case 'followup-ke':
      if (isServing(sa)) sendFollowup(world, sa, task);
      break;
    case 'refuse-auth':
      if (isIn(sa, 'deleting')) sendAuthRefusal(world, sa);
      break;
    case 'delete-children':
    case 'delete-ike':
    case 'probe':
      sendInformational(world, sa, task);
      break;
  }
}

/** The exchange under way is over, whatever its answer says. Undefined when there was none. */
function endExchange(sa: IkeSa): Exchange | undefined {
  const task = sa.active?.task;
  if (task === undefined) return undefined;
  sa.active = undefined;
  sa.nextMessageId++;
  return task;
}

/** The answer to IKE_INTERMEDIATE. */
export function exchangedKeys(world: World, sa: IkeSaIn<'intermediate-sent'>, message: Inbound): void {
  const { active } = sa;
  const task = endExchange(sa);
  if (active !== undefined && task?.kind === 'intermediate')
    intermediateAnswered(world, sa, task, active.datagrams, message);
}

/** The answer to IKE_AUTH. */
export function authenticated(world: World, sa: IkeSaIn<'auth-sent'>, message: Inbound): void {
  if (endExchange(sa)?.kind === 'auth') authAnswered(world, sa, message);
}

/**
 * INFORMATIONAL asks for little more than the answer (RFC 7296 §1.4, §2.4): its time is that of the way. Others include
 * the peer's Diffie-Hellman exchange and what it looks up.
 */
function reportRoundTrip({ ctx }: World, { active, connection, id }: ServingSa): void {
  if (active?.exchangeType !== ExchangeType.INFORMATIONAL || !active.retransmission.measures) return;
  ctx.event({
    kind: 'round-trip',
    connection: connection.id,
    ikeId: id,
    exchange: nameOf('exchange', active.exchangeType),
    time: ctx.now - active.sentAt,
  });
}

/** The answer to the exchange under way on an SA in service. */
export function answered(world: World, sa: ServingSa, message: Inbound): void {
  reportRoundTrip(world, sa);
  const task = endExchange(sa);
  switch (task?.kind) {
    case 'create-child':
      createChildAnswered(world, sa, task, message);
      break;
    case 'rekey-ike':
      rekeyIkeAnswered(world, sa, task, message);
      break;
    case 'followup-ke':
      followupAnswered(world, sa, task, message);
      break;
    case 'delete-children':
      childDeleteAnswered(world, sa, task.spis);
      break;
  }
}

/** What was under way when the SA was ordered to end does not matter any more, save a new IKE SA at the peer. */
export function answeredWhileDeleting(world: World, sa: IkeSaIn<'deleting'>, message: Inbound): void {
  const task = endExchange(sa);
  switch (task?.kind) {
    case 'delete-ike':
    case 'refuse-auth':
      finishDelete(world, sa);
      break;
    case 'auth':
      // Given up meanwhile: with an AUTH payload the peer has the SA, else it has refused us anyway.
      if (find(message.payloads, 'auth') === undefined) finishDelete(world, sa);
      else sa.tasks.push({ kind: 'delete-ike' });
      break;
    case 'rekey-ike':
      deletingWhatIsMade(world, sa, () => rekeyIkeAnswered(world, sa, task, message));
      break;
    case 'create-child':
      releaseSpi(world, task.spi);
      wipeExchange(task);
      break;
    case 'followup-ke':
      deletingWhatIsMade(world, sa, () => followupAnsweredWhileDeleting(world, sa, task, message));
      break;
  }
}

/** The IKE SA that an answer makes in place of one that is ordered to end is deleted too. */
function deletingWhatIsMade(world: World, sa: IkeSaIn<'deleting'>, take: () => void): void {
  const { phase } = sa;
  const before = new Set(sasOf(world, sa.connection.id));
  take();
  for (const made of sasOf(world, sa.connection.id)) {
    if (!before.has(made) && phase.service !== undefined) beginDelete(world, made, phase.reason);
  }
}
