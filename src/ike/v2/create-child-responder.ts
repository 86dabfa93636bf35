import { compareBytes } from '../../util/bytes.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { NotifyType, ProtocolId } from '../../wire/ike/registry.js';
import type { Failure } from '../events.js';
import { sameSelectors } from '../policy/selectors.js';
import { tooManyChildren } from '../sa/child-limit.js';
import { reserveSpi, spiBytes } from '../sa/esp-spi.js';
import { installChild, isPeerSpiInUse, spiNumber } from './child.js';
import { grantChild } from './child-answer.js';
import type { ChildRecord } from './child-record.js';
import { lowest } from './established.js';
import { failure } from './failures.js';
import type { IkeSa } from './ike-sa.js';
import { find, findNotify, hasExactlyOne, invalidKe, notify } from './payloads.js';
import { notePfsAgreed, notePfsRefused } from './pfs.js';
import { noteProposalQuirks } from './proposal-quirks.js';
import { rekeyIkeRequested } from './rekey-ike.js';
import { respond } from './send.js';
import type { SelectorLists } from './tasks.js';
import type { Inbound, World } from './world.js';

/** A request that was sent before the peer had ours arrives this long after our answer at the latest, if repeated once. */
const CROSSING: Millis = 5000;

/** CREATE_CHILD_SA of the peer: a new child SA, a rekey of one, or a rekey of the IKE SA (RFC 7296 §1.3). */
export function createChildRequested(world: World, sa: IkeSa, message: Inbound): void {
  const { payloads } = message;
  const offered = find(payloads, 'sa')?.proposals[0];
  if (offered?.protocol === ProtocolId.IKE) {
    rekeyIkeRequested(world, sa, message);
    return;
  }
  // RFC 7296 §2.25.2: children stand still while the IKE SA is being replaced.
  if (sa.active?.task.kind === 'rekey-ike') {
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
function childNamed(sa: IkeSa, rekey: NotifyPayload): ChildRecord | undefined {
  const spi = rekey.protocol === ProtocolId.ESP ? spiNumber(rekey.spi) : undefined;
  return spi === undefined ? undefined : sa.children.byOutboundSpi(spi);
}

/** CHILD_SA_NOT_FOUND repeats protocol and SPI of the request (RFC 7296 §2.25). */
function notFound(rekey: NotifyPayload): NotifyPayload {
  const { protocol, spi } = rekey;
  return { kind: 'notify', protocol, spi, type: NotifyType.CHILD_SA_NOT_FOUND, data: new Uint8Array(0) };
}

function grant(world: World, sa: IkeSa, message: Inbound, old: ChildRecord | undefined): void {
  const { crypto, random } = world.ctx;
  const { payloads } = message;
  const refuse = (answer: NotifyPayload, reason: Failure): void => {
    respond(world, sa, message, [answer]);
    world.ctx.event({
      kind: 'child-failed',
      connection: sa.connection!.id,
      ikeId: sa.id,
      role: 'responder',
      failure: reason,
      ...(old === undefined ? {} : { rekeys: old.id }),
    });
    if (old !== undefined && reason.cause === 'pfs_mismatch') {
      const message = `a child SA could not be rekeyed when the peer asked for it: ${reason.message}`;
      notePfsRefused(world, sa, { ...reason, message });
    }
  };
  if (!hasExactlyOne(payloads, 'nonce')) {
    const reason = failure('invalid_syntax', 'the peer sent no nonce, or two', 'CREATE_CHILD_SA');
    refuse(notify(NotifyType.INVALID_SYNTAX), reason);
    return;
  }
  const { budget } = world.ctx;
  if (!budget.hasPlace(sa.connection!.id)) {
    refuse(notify(NotifyType.NO_ADDITIONAL_SAS), tooManyChildren(budget.childLimit(sa.connection!.id)));
    return;
  }
  const granted = grantChild(sa.connection!, payloads, true);
  if (!granted.ok) {
    refuse(granted.error.answer, granted.error.failure);
    return;
  }
  noteProposalQuirks(world, sa, payloads);
  const { selection, spiOut, localTs, peerTs } = granted.value;
  if (isPeerSpiInUse(world, sa.connection!.id, spiOut)) {
    const reason = failure(
      'invalid_syntax',
      'the peer offers the SPI of a child SA that stands',
      'CREATE_CHILD_SA',
    );
    refuse(notify(NotifyType.INVALID_SYNTAX), reason);
    return;
  }
  const group = selection.suite.dh;
  const ke = find(payloads, 'ke');
  // RFC 7296 §1.3: with a group agreed on, the KE payload must be of it.
  if (group !== 0 && ke?.group !== group) {
    respond(world, sa, message, [invalidKe(group)]);
    return;
  }
  let shared: SecretKey | undefined;
  const answerKe: Payload[] = [];
  if (group !== 0) {
    const dh = crypto.dh(group).generate(random);
    answerKe.push({ kind: 'ke', group, data: dh.publicValue.slice() });
    const agreed = dh.agree(ke!.data);
    dh.wipe();
    if (!agreed.ok) {
      const reason = failure('invalid_syntax', agreed.error.message, 'CREATE_CHILD_SA');
      refuse(notify(NotifyType.INVALID_SYNTAX), reason);
      return;
    }
    shared = agreed.value;
  }
  const spiIn = reserveSpi(world, sa.connection!.id);
  const nonce = random.bytes(NONCE_LENGTH);
  const child = installChild(world, sa, {
    spiIn,
    spiOut,
    suite: selection.suite,
    localTs,
    peerTs,
    nonces: { initiator: find(payloads, 'nonce')!.data.slice(), responder: nonce },
    ...(shared === undefined ? {} : { shared }),
    initiated: false,
    ...(old === undefined ? {} : { replaces: old }),
  });
  notePfsAgreed(world, sa);
  if (old !== undefined) noteRekey(sa, old, child);
  else noteCrossing(world, sa, child);
  respond(world, sa, message, [
    { kind: 'sa', proposals: [{ ...selection.answer, spi: spiBytes(spiIn) }] },
    { kind: 'nonce', data: nonce },
    ...answerKe,
    { kind: 'tsi', selectors: peerTs },
    { kind: 'tsr', selectors: localTs },
  ]);
}

/**
 * The peer asks for networks that we have asked for too, at the same time: of the two child SAs one is redundant
 * by the rule of RFC 7296 §2.8.1. While our request waits for its answer, the answer decides; when ours was the
 * quicker one, it is decided here, and the peer judges alike when it has our answer. Child SAs with equal selectors
 * that were not made at the same time stand side by side (RFC 7296 §2.8).
 */
function noteCrossing(world: World, sa: IkeSa, child: ChildRecord): void {
  const lists = { local: child.localTs, peer: child.peerTs };
  const task = sa.active?.task;
  if (task?.kind === 'create-child' && task.rekeys === undefined && isSame(task.proposed!, lists)) {
    task.rival = child.id;
    return;
  }
  for (const other of sa.children.values()) {
    const rival =
      other !== child &&
      other.initiated &&
      world.ctx.now - other.establishedAt <= CROSSING &&
      other.state === 'installed' &&
      isSame({ local: other.localTs, peer: other.peerTs }, lists);
    if (!rival || compareBytes(lowest(other.nonces), lowest(child.nonces)) > 0) continue;
    sa.children.beginDelete(other);
    sa.tasks.push({ kind: 'delete-children', spis: [other.spiIn] });
  }
}

function isSame(a: SelectorLists, b: SelectorLists): boolean {
  return sameSelectors(a.local, b.local) && sameSelectors(a.peer, b.peer);
}

/** The old SA is the peer's to delete now; a rekey of ours that is under way has found a rival. */
function noteRekey(sa: IkeSa, old: ChildRecord, child: ChildRecord): void {
  const task = sa.active?.task;
  if (task?.kind === 'create-child' && task.rekeys === old.id) {
    task.rival = child.id;
    return;
  }
  old.state = 'rekeyed';
  // A rekey of the same SA that has not left yet is not needed any more.
  const queued = sa.tasks.findIndex((one) => one.kind === 'create-child' && one.rekeys === old.id);
  if (queued >= 0) sa.tasks.splice(queued, 1);
}
