import type { DeletePayload, Payload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType, ProtocolId } from '../../wire/ike/registry.js';
import type { CloseReason } from '../events.js';
import { spiBytes } from '../sa/esp-spi.js';
import { failure } from '../sa/failures.js';
import { removeChild, spiNumber } from './child.js';
import type { ChildRecord } from './child-record.js';
import { closeSa, finishDelete } from './close.js';
import { noteCounterSync } from './cluster.js';
import { redundantTo } from './coverage.js';
import { isSuperseded } from './duplicates.js';
import type { IkeSa, IkeSaIn, ServingSa } from './ike-sa.js';
import { exchangePolicy } from './liveness.js';
import { findNotify } from './payloads.js';
import { noteAuthLifetime } from './reauthentication.js';
import { respond, sendRequest } from './send.js';
import { isRedundant } from './service.js';
import { adoptRival, rivalOf } from './succession.js';
import { purposeOf, type Task } from './tasks.js';
import type { Inbound, World } from './world.js';

/** INFORMATIONAL of the peer on an SA in use: liveness, DELETE, or notifications (RFC 7296 §1.4). */
export function informed(world: World, sa: ServingSa, message: Inbound): void {
  const { payloads } = message;
  const deletes = payloads.filter((p): p is DeletePayload => p.kind === 'delete');
  if (findNotify(payloads, NotifyType.AUTHENTICATION_FAILED) !== undefined) {
    // The initiator refuses what we answered to IKE_AUTH (RFC 7296 §2.21.2), with a DELETE beside it or none.
    respond(world, sa, message, []);
    const why = 'the peer did not accept our authentication: the pre-shared keys or the identities differ';
    closeSa(world, sa, 'failed', failure('authentication_refused', why, 'IKE_AUTH'), 'answer-repetitions');
    return;
  }
  if (deletes.some((p) => p.protocol === ProtocolId.IKE)) {
    deleted(world, sa, message);
    return;
  }
  noteAuthLifetime(world, sa, payloads);
  noteCounterSync(world, sa, payloads);
  // Unknown notifications are ignored; an empty request asks for nothing but an answer.
  respond(world, sa, message, childrenDeleted(world, sa, deletes));
}

/**
 * The peer closes its half of child SAs, named by the SPIs we send on; we close ours and name them by the
 * SPIs the peer sends on. Those whose DELETE of ours is under way are not named (RFC 7296 §1.4.1).
 */
function childrenDeleted(world: World, sa: ServingSa, deletes: readonly DeletePayload[]): Payload[] {
  const ours: Uint8Array[] = [];
  const named = deletes.flatMap((p) => (p.protocol === ProtocolId.ESP ? p.spis : []));
  // More than the connection may have can only be names of nothing, or one name again and again.
  const { children } = sa.phase.service;
  const most = Math.max(children.size, world.ctx.budget.childLimit(sa.connection.id));
  for (const spi of named.slice(0, most)) {
    const number = spiNumber(spi);
    const child = number === undefined ? undefined : children.byOutboundSpi(number);
    if (child === undefined) continue;
    if (child.state !== 'deleting') ours.push(spiBytes(child.spiIn));
    removeChild(world, sa, child, reasonOf(sa, child));
  }
  return ours.length === 0 ? [] : [{ kind: 'delete', protocol: ProtocolId.ESP, spis: ours }];
}

/** A DELETE within a rekey is none that the operator should see as one. */
function reasonOf(sa: ServingSa, child: ChildRecord): CloseReason {
  if (child.state === 'rekeyed' || child.state === 'deleting') return 'rekeyed';
  if (sa.phase.service.children.heirsOf(child).length > 0) return 'rekeyed';
  if (redundantTo(sa, child) !== undefined) return 'replaced';
  // The peer has seen that its new SA is the redundant one of two, and our answer is still on its way.
  const task = purposeOf(sa.active?.task);
  return task?.kind === 'create-child' && task.rival === child.id ? 'replaced' : 'peer-deleted';
}

/** The peer deletes the IKE SA and with it all child SAs: an empty answer (RFC 7296 §1.4.1). */
export function deleted(world: World, sa: ServingSa, message: Inbound): void {
  adoptRival(world, sa);
  respond(world, sa, message, []);
  const rekeyed = sa.state === 'rekeyed';
  const redundant = isSuperseded(sa) || isRedundant(sa.phase.service) || rivalOf(world, sa) !== undefined;
  const reason = redundant ? 'replaced' : rekeyed ? 'rekeyed' : 'peer-deleted';
  closeSa(world, sa, reason, undefined, 'answer-repetitions');
}

/** A request while our own DELETE is under way: the two may cross, and then both are answered (§1.4.1). */
export function informedWhileDeleting(world: World, sa: IkeSaIn<'deleting'>, message: Inbound): void {
  const closes = message.payloads.some((p) => p.kind === 'delete' && p.protocol === ProtocolId.IKE);
  respond(world, sa, message, []);
  if (closes) finishDelete(world, sa, 'answer-repetitions');
}

type InformationalTask = Extract<Task, { readonly kind: 'delete-ike' | 'delete-children' | 'probe' }>;

/** Sends the INFORMATIONAL request of a task. */
export function sendInformational(world: World, sa: IkeSa, task: InformationalTask): void {
  sendRequest(world, sa, task, ExchangeType.INFORMATIONAL, content(task), exchangePolicy(world, sa));
}

function content(task: InformationalTask): Payload[] {
  switch (task.kind) {
    case 'delete-ike':
      return [{ kind: 'delete', protocol: ProtocolId.IKE, spis: [] }];
    case 'delete-children':
      return [{ kind: 'delete', protocol: ProtocolId.ESP, spis: task.spis.map(spiBytes) }];
    case 'probe':
      return [];
  }
}

/** The peer has closed its half of the child SAs as well. */
export function childDeleteAnswered(world: World, sa: ServingSa, spis: readonly number[]): void {
  for (const child of [...sa.phase.service.children.values()]) {
    if (child.state === 'deleting' && spis.includes(child.spiIn)) removeChild(world, sa, child, 'rekeyed');
  }
}
