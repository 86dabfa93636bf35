import type { DhError } from '../../crypto/types.js';
import { compareBytes } from '../../util/bytes.js';
import { err, ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import type { KePayload, NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { NotifyType, ProtocolId } from '../../wire/ike/registry.js';
import { exactlyOne, find } from '../payloads.js';
import { sameLists } from '../policy/selectors.js';
import { tooManyChildren } from '../sa/child-limit.js';
import { reserveSpi, spiBytes } from '../sa/esp-spi.js';
import { failure } from '../sa/failures.js';
import type { AgreedChild } from './agreed.js';
import { installChild, isPeerSpiInUse, spiNumber } from './child.js';
import { type ChildRefusal, type GrantedChild, grantChild } from './child-answer.js';
import type { ChildRecord } from './child-record.js';
import type { IkeSa, IkeSaIn } from './ike-sa.js';
import { lowest } from './nonces.js';
import { findNotify, invalidKe, notify } from './payloads.js';
import { hold } from './pending.js';
import { notePfsAgreed, notePfsRefused } from './pfs.js';
import { noteProposalQuirks } from './proposal-quirks.js';
import { rekeyIkeRequested } from './rekey-ike.js';
import { respond } from './send.js';
import { purposeOf } from './tasks.js';
import type { Inbound, World } from './world.js';

/**
 * A request that was sent before the peer had ours arrives this long after our answer at the latest, if repeated once.
 */
const CROSSING: Millis = 5000;

type EstablishedSa = IkeSaIn<'established'>;

/** CREATE_CHILD_SA of the peer: a new child SA, a rekey of one, or a rekey of the IKE SA (RFC 7296 §1.3). */
export function createChildRequested(world: World, sa: EstablishedSa, message: Inbound): void {
  const { payloads } = message;
  const offered = find(payloads, 'sa')?.proposals[0];
  if (offered?.protocol === ProtocolId.IKE) {
    rekeyIkeRequested(world, sa, message);
    return;
  }
  // RFC 7296 §2.25.2: children are left alone while the IKE SA is being replaced.
  if (purposeOf(sa.active?.task)?.kind === 'rekey-ike') {
    refuseForNow(world, sa, message);
    return;
  }
  const rekey = findNotify(payloads, NotifyType.REKEY_SA);
  if (rekey === undefined) {
    grant(world, sa, message, undefined);
    return;
  }
  const old = childNamed(sa, rekey);
  if (old === undefined) {
    respond(world, sa, message, [notFound(rekey)]);
    return;
  }
  // RFC 7296 §2.25.1: not one that is being deleted, nor one that was replaced already.
  if (old.state === 'deleting' || old.state === 'rekeyed') {
    refuseForNow(world, sa, message);
    return;
  }
  grant(world, sa, message, old);
}

/** The peer is to ask again later (RFC 7296 §2.25). */
export function refuseForNow(world: World, sa: IkeSa, message: Inbound): void {
  respond(world, sa, message, [notify(NotifyType.TEMPORARY_FAILURE)]);
}

/** REKEY_SA carries the SPI the peer receives on, so it is the one we send on (RFC 7296 §1.3.3). */
function childNamed(sa: EstablishedSa, rekey: NotifyPayload): ChildRecord | undefined {
  const spi = rekey.protocol === ProtocolId.ESP ? spiNumber(rekey.spi) : undefined;
  return spi === undefined ? undefined : sa.phase.service.children.byOutboundSpi(spi);
}

/** CHILD_SA_NOT_FOUND repeats protocol and SPI of the request (RFC 7296 §2.25). */
function notFound(rekey: NotifyPayload): NotifyPayload {
  const { protocol, spi } = rekey;
  return { kind: 'notify', protocol, spi, type: NotifyType.CHILD_SA_NOT_FOUND, data: new Uint8Array(0) };
}

function grant(world: World, sa: EstablishedSa, message: Inbound, old: ChildRecord | undefined): void {
  const { payloads } = message;
  const granted = judge(world, sa, payloads);
  if (!granted.ok) {
    refuse(world, sa, message, { ...granted.error, old });
    return;
  }
  const { selection, spiOut, localTs, peerTs, nonce: peerNonce } = granted.value;
  const group = selection.suite.dh;
  const ke = find(payloads, 'ke');
  // RFC 7296 §1.3: with a group agreed on, the KE payload must be of it.
  if (group !== 0 && ke?.group !== group) {
    respond(world, sa, message, [invalidKe(group)]);
    return;
  }
  const agreed = group === 0 || ke === undefined ? undefined : agree(world, ke);
  if (agreed?.ok === false) {
    const failed = failure('invalid_syntax', agreed.error.message, 'CREATE_CHILD_SA');
    refuse(world, sa, message, { answer: notify(NotifyType.INVALID_SYNTAX), failure: failed, old });
    return;
  }
  const spiIn = reserveSpi(world, sa.connection.id);
  const nonce = world.ctx.random.bytes(NONCE_LENGTH);
  const child: AgreedChild = {
    spiIn,
    spiOut,
    suite: selection.suite,
    localTs,
    peerTs,
    nonces: { initiator: peerNonce, responder: nonce },
    ...(agreed === undefined ? {} : { shared: agreed.value.shared }),
    initiated: false,
  };
  const answer: Payload[] = [
    { kind: 'sa', proposals: [{ ...selection.answer, spi: spiBytes(spiIn) }] },
    { kind: 'nonce', data: nonce },
    ...(agreed === undefined ? [] : [{ kind: 'ke', group, data: agreed.value.publicValue } as const]),
    { kind: 'tsi', selectors: peerTs },
    { kind: 'tsr', selectors: localTs },
  ];
  if (selection.suite.additional !== undefined) {
    hold(world, sa, message, { kind: 'child', rekeys: old?.id, child }, answer);
    return;
  }
  enterGranted(world, sa, child, old);
  respond(world, sa, message, answer);
}

/** The child SA that the peer was granted goes into service, in place of `old` if it is to replace that one. */
export function enterGranted(
  world: World,
  sa: EstablishedSa,
  agreed: AgreedChild,
  old: ChildRecord | undefined,
): void {
  const child = installChild(world, sa, { ...agreed, ...(old === undefined ? {} : { replaces: old }) });
  notePfsAgreed(world, sa);
  if (old !== undefined) noteRekey(sa, old, child);
  else noteCrossing(world, sa, child);
}

/** Our half of the Diffie-Hellman exchange of a child SA, which is over with it. */
function agree(
  { ctx }: World,
  ke: KePayload,
): Result<{ readonly publicValue: Uint8Array; readonly shared: SecretKey }, DhError> {
  const dh = ctx.crypto.dh(ke.group).generate(ctx.random);
  const publicValue = dh.publicValue.slice();
  const agreed = dh.agree(ke.data);
  dh.wipe();
  return agreed.ok ? ok({ publicValue, shared: agreed.value }) : agreed;
}

/** Whether the request may have what it asks for, all but its Diffie-Hellman exchange. */
function judge(
  world: World,
  sa: EstablishedSa,
  payloads: readonly Payload[],
): Result<GrantedChild & { readonly nonce: Uint8Array }, ChildRefusal> {
  const { connection } = sa;
  const { budget } = world.ctx;
  const nonce = exactlyOne(payloads, 'nonce')?.nonce;
  if (nonce === undefined) {
    const reason = failure('invalid_syntax', 'the peer sent no nonce, or two', 'CREATE_CHILD_SA');
    return err({ answer: notify(NotifyType.INVALID_SYNTAX), failure: reason });
  }
  if (!budget.hasPlace(connection.id)) {
    const reason = tooManyChildren(budget.childLimit(connection.id));
    return err({ answer: notify(NotifyType.NO_ADDITIONAL_SAS), failure: reason });
  }
  const granted = grantChild(connection, payloads, true);
  if (!granted.ok) return granted;
  noteProposalQuirks(world, sa, payloads);
  if (!isPeerSpiInUse(world, connection.id, granted.value.spiOut))
    return ok({ ...granted.value, nonce: nonce.data.slice() });
  const why = 'the peer offers the SPI of a child SA that stands';
  return err({
    answer: notify(NotifyType.INVALID_SYNTAX),
    failure: failure('invalid_syntax', why, 'CREATE_CHILD_SA'),
  });
}

/** `old`: the child SA that was to be rekeyed. */
function refuse(
  world: World,
  sa: EstablishedSa,
  message: Inbound,
  refusal: ChildRefusal & { readonly old: ChildRecord | undefined },
): void {
  const { answer, failure: reason, old } = refusal;
  respond(world, sa, message, [answer]);
  world.ctx.event({
    kind: 'child-failed',
    connection: sa.connection.id,
    ikeId: sa.id,
    role: 'responder',
    failure: reason,
    ...(old === undefined ? {} : { rekeys: old.id }),
  });
  if (old === undefined || reason.cause !== 'pfs_mismatch') return;
  const told = `a child SA could not be rekeyed when the peer asked for it: ${reason.message}`;
  notePfsRefused(world, sa, { ...reason, message: told });
}

/**
 * The peer asks for networks that we have asked for too, at the same time: of the two child SAs one is redundant
 * by the rule of RFC 7296 §2.8.1. While our request waits for its answer, the answer decides; when ours was the
 * quicker one, it is decided here, and the peer judges alike when it has our answer. Child SAs with equal selectors
 * that were not made at the same time are both in use (RFC 7296 §2.8).
 */
function noteCrossing(world: World, sa: EstablishedSa, child: ChildRecord): void {
  const task = purposeOf(sa.active?.task);
  if (task?.kind === 'create-child' && task.rekeys === undefined && sameLists(task.proposed, child)) {
    task.rival = child.id;
    return;
  }
  for (const other of sa.phase.service.children.values()) {
    const rival =
      other !== child &&
      other.initiated &&
      world.ctx.now - other.establishedAt <= CROSSING &&
      other.state === 'installed' &&
      sameLists(other, child);
    if (!rival || compareBytes(lowest(other.nonces), lowest(child.nonces)) > 0) continue;
    sa.phase.service.children.beginDelete(other);
    sa.tasks.push({ kind: 'delete-children', spis: [other.spiIn] });
  }
}

/** The old SA is the peer's to delete now; a rekey of ours that is under way has found a rival. */
function noteRekey(sa: EstablishedSa, old: ChildRecord, child: ChildRecord): void {
  const task = purposeOf(sa.active?.task);
  if (task?.kind === 'create-child' && task.rekeys === old.id) {
    task.rival = child.id;
    return;
  }
  old.state = 'rekeyed';
  // A rekey of the same SA that has not left yet is not needed any more.
  const queued = sa.tasks.findIndex((one) => one.kind === 'create-child' && one.rekeys === old.id);
  if (queued >= 0) sa.tasks.splice(queued, 1);
}
