import { copyOf } from '../../util/bytes.js';
import { err, ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType, nameOf } from '../../wire/ike/registry.js';
import type { Failure } from '../events.js';
import { exactlyOne } from '../payloads.js';
import { acceptIkeAnswer, ikeOffer, selectIke } from '../policy/proposals.js';
import { failure } from '../sa/failures.js';
import { retryAt } from '../sa/lifetime.js';
import { sasOf } from '../sa/world.js';
import type { AgreedIke } from './agreed.js';
import { beginDelete } from './close.js';
import { supersede } from './duplicates.js';
import { rekeyRefused } from './failures.js';
import { type IkeSaIn, isAnsweredSa, isServing, type ServingSa } from './ike-sa.js';
import { freshIkeSpi } from './init-initiator.js';
import { exchangePolicy } from './liveness.js';
import { listOf, losesTo } from './nonces.js';
import { offerOf } from './offer.js';
import { findError, findNotify, invalidKe, notify, wantedGroup } from './payloads.js';
import { dropPending, GIVE_WAY, hold, noncesOf, pendingRival } from './pending.js';
import { noteBusy } from './revival.js';
import { respond, sendRequest } from './send.js';
import { findById, handOver, type ReplacedSa, successor } from './succession.js';
import {
  type AgreedRekey,
  purposeOf,
  type RekeyIkeExchange,
  type RekeyIkeTask,
  rekeyIkeTask,
} from './tasks.js';
import type { Inbound, World } from './world.js';

/** Wait before a rekey of the IKE SA that the peer put off is asked for again at first (RFC 7296 §2.25). */
const IKE_PUT_OFF: Millis = 5_000;

/** HDR, SK {SA, Ni, KEi} with the SPI of the new IKE SA (RFC 7296 §1.3.2). */
export function sendRekeyIke(world: World, sa: ServingSa, task: RekeyIkeTask): boolean {
  const { crypto, random } = world.ctx;
  const { service } = sa.phase;
  const specs = offerOf(world, sa.connection);
  const group = task.group ?? specs[0]?.dh[0];
  if (group === undefined) return false;
  if (isContested(world, sa)) {
    service.rekeyAt = Math.min(service.rekeyAt, world.ctx.now + IKE_PUT_OFF);
    return false;
  }
  const spi = freshIkeSpi(world);
  const nonce = random.bytes(NONCE_LENGTH);
  const dh = crypto.dh(group).generate(random);
  const payloads: Payload[] = [
    { kind: 'sa', proposals: ikeOffer(specs, spi) },
    { kind: 'nonce', data: nonce },
    { kind: 'ke', group, data: dh.publicValue },
  ];
  const exchange = { ...task, spi, nonce, dh, rival: undefined };
  sendRequest(world, sa, exchange, ExchangeType.CREATE_CHILD_SA, payloads, exchangePolicy(world, sa));
  return true;
}

/**
 * Whether another IKE SA of the connection is established or on its way: both ends will judge by the nonces which one
 * stays, so none of them may be exchanged for another meanwhile.
 */
function isContested(world: World, sa: ServingSa): boolean {
  return sasOf(world, sa.connection.id).some(
    (other) => other !== sa && (other.state === 'established' || isAnsweredSa(other)),
  );
}

/** HDR, SK {SA, Nr, KEr [, N(ADDITIONAL_KEY_EXCHANGE)]}, or an error. */
export function rekeyIkeAnswered(
  world: World,
  sa: ReplacedSa,
  task: RekeyIkeExchange,
  message: Inbound,
): void {
  const { payloads } = message;
  const error = findError(payloads);
  const rival = task.rival === undefined ? undefined : findById(world, task.rival);
  if (error !== undefined) {
    task.dh.wipe();
    if (rival !== undefined) handOver(world, sa, rival, 'responder');
    else if (isServing(sa)) refused(world, sa, task, error);
    return;
  }
  const agreed = agreedRekey(sa, task, payloads);
  if (!agreed.ok) {
    task.dh.wipe();
    if (rival !== undefined) {
      handOver(world, sa, rival, 'responder');
      return;
    }
    // The peer has a new SA that we cannot have: only a fresh start makes both agree again.
    beginDelete(world, sa, 'failed', agreed.error);
    return;
  }
  if (agreed.value.suite.additional === undefined) finishRekeyIke(world, sa, task, agreed.value);
  else goOn(world, sa, task, agreed.value, payloads);
}

/** The additional key exchanges are still to come, unless the peer's rekey of the same SA is the one that stays. */
function goOn(
  world: World,
  sa: ReplacedSa,
  { dh: _, ...task }: RekeyIkeExchange,
  ike: AgreedIke,
  payloads: readonly Payload[],
): void {
  const agreed = { task, ike };
  const link = findNotify(payloads, NotifyType.ADDITIONAL_KEY_EXCHANGE);
  if (!isServing(sa) || giveWay(world, sa, agreed)) {
    ike.shared.wipe();
  } else if (link === undefined) {
    ike.shared.wipe();
    const why = 'the answer to the rekey has additional key exchanges and nothing to link them by';
    rekeyFailed(world, sa, failure('invalid_syntax', why, 'CREATE_CHILD_SA'));
  } else {
    const left = ike.suite.additional ?? [];
    sa.tasks.unshift({ kind: 'followup-ke', of: agreed, left, secrets: [], link: copyOf(link.data) });
  }
}

/**
 * Whether the peer's rekey of the same IKE SA is the one that stays (RFC 7296 §2.8.2): then ours is not gone on with.
 * The peer's either is made already or has additional key exchanges before it, which the peer goes on with.
 */
export function giveWay(world: World, sa: ServingSa, { task, ike }: AgreedRekey): boolean {
  const pending = pendingRival(sa, task);
  const ours = listOf(ike.nonces);
  if (pending !== undefined && !losesTo(ours, noncesOf(pending))) dropPending(world, sa.phase.service);
  else if (pending !== undefined) {
    sa.phase.service.rekeyAt = world.ctx.now + GIVE_WAY;
    return true;
  }
  const rival = task.rival === undefined ? undefined : findById(world, task.rival);
  if (rival === undefined || !losesTo(ours, rival.phase.keyed.nonces)) return false;
  handOver(world, sa, rival, 'responder');
  return true;
}

/** All key exchanges of our rekey are made. */
export function finishRekeyIke(
  world: World,
  sa: ReplacedSa,
  task: AgreedRekey['task'],
  ike: AgreedIke,
  additional: readonly SecretKey[] = [],
): void {
  const rival = task.rival === undefined ? undefined : findById(world, task.rival);
  const mine = successor(world, sa, ike, additional);
  const pending = isServing(sa) ? pendingRival(sa, task) : undefined;
  const ours = mine.phase.keyed.nonces;
  const lost =
    (rival !== undefined && losesTo(ours, rival.phase.keyed.nonces)) ||
    (pending !== undefined && losesTo(ours, noncesOf(pending)));
  if (lost) {
    // RFC 7296 §2.8.2: ours is redundant, so we delete it; the peer deletes the old one.
    if (rival !== undefined) handOver(world, sa, rival, 'responder');
    beginDelete(world, mine, 'replaced');
    return;
  }
  if (rival !== undefined) supersede(world, rival);
  handOver(world, sa, mine, 'initiator');
}

/** The peer does not rekey: with another group, later, or not at all. */
function refused(world: World, sa: ServingSa, task: RekeyIkeExchange, error: NotifyPayload): void {
  const { service } = sa.phase;
  if (error.type === NotifyType.INVALID_KE_PAYLOAD && retryWithGroup(world, sa, task, error)) return;
  if (error.type === NotifyType.TEMPORARY_FAILURE) {
    if (!putOff(world, sa)) return;
  } else {
    service.busy = undefined;
    service.rekeyRefused = rekeyRefused(sa.connection, error);
    service.rekeyAt = retryAt(world.ctx.now, service.expiresAt);
  }
  advise(world, sa, `the peer refused to rekey the IKE SA with ${nameOf('notify', error.type)}`);
}

/** The peer cannot rekey now: the same again later. Whether that has been going on for so long that it is reported. */
export function putOff(world: World, sa: ServingSa): boolean {
  const { service } = sa.phase;
  const { wait, report } = noteBusy(world, sa, IKE_PUT_OFF);
  service.rekeyAt = world.ctx.now + wait;
  if (report === undefined) return false;
  service.rekeyRefused = report;
  return true;
}

/** The peer's answer is of no use, and nothing has come of it at either end. */
export function rekeyFailed(world: World, sa: ServingSa, reason: Failure): void {
  const { service } = sa.phase;
  service.busy = undefined;
  service.rekeyRefused = reason;
  service.rekeyAt = retryAt(world.ctx.now, service.expiresAt);
  advise(world, sa, reason.message);
}

/** The peer wants a new IKE SA in place of this one. */
export function rekeyIkeRequested(world: World, sa: IkeSaIn<'established'>, message: Inbound): void {
  const { crypto, random } = world.ctx;
  const refuse = (why: NotifyPayload): void => void respond(world, sa, message, [why]);
  const task = purposeOf(sa.active?.task);
  // RFC 7296 §2.25.2: not while we create, rekey or delete a child SA. Two rekeys of the IKE SA may cross.
  // Nor while it is open which of two IKE SAs of the connection stays.
  if (task?.kind === 'create-child' || task?.kind === 'delete-children' || isContested(world, sa)) {
    refuse(notify(NotifyType.TEMPORARY_FAILURE));
    return;
  }
  // One that crosses with ours is settled by the nonces, whatever its age (§2.8.2).
  const { budget, now } = world.ctx;
  if (task?.kind !== 'rekey-ike' && !budget.mayRekey(sa.connection.id, sa.phase.service.establishedAt, now)) {
    refuse(notify(NotifyType.TEMPORARY_FAILURE));
    return;
  }
  const request = exactlyOne(message.payloads, 'sa', 'nonce', 'ke');
  if (request === undefined) {
    refuse(notify(NotifyType.INVALID_SYNTAX));
    return;
  }
  const selection = selectIke(sa.connection.ikeProposals, request.sa.proposals);
  if (!selection.ok || !isIkeSpi(selection.value.peerSpi)) {
    refuse(notify(NotifyType.NO_PROPOSAL_CHOSEN));
    return;
  }
  const { suite, answer, peerSpi } = selection.value;
  const { ke } = request;
  if (ke.group !== suite.dh) {
    refuse(invalidKe(suite.dh));
    return;
  }
  const dh = crypto.dh(suite.dh).generate(random);
  const publicValue = dh.publicValue.slice();
  const shared = dh.agree(ke.data);
  dh.wipe();
  if (!shared.ok) {
    refuse(notify(NotifyType.INVALID_SYNTAX));
    return;
  }
  const spi = freshIkeSpi(world);
  const nonce = random.bytes(NONCE_LENGTH);
  const nonces = { initiator: request.nonce.data.slice(), responder: nonce };
  const spis = { initiator: peerSpi, responder: spi };
  const ike = { role: 'responder', spis, suite, nonces, shared: shared.value } as const;
  const payloads: Payload[] = [
    { kind: 'sa', proposals: [{ ...answer, spi }] },
    { kind: 'nonce', data: nonce },
    { kind: 'ke', group: suite.dh, data: publicValue },
  ];
  if (suite.additional !== undefined) {
    hold(world, sa, message, { kind: 'ike', ike }, payloads);
    return;
  }
  const made = successor(world, sa, ike);
  respond(world, sa, message, payloads);
  enterRekeyed(world, sa, made);
}

/** The peer has made `made` in place of an IKE SA. A rekey of ours that is under way decides when its answer is there. */
export function enterRekeyed(world: World, sa: IkeSaIn<'established'>, made: IkeSaIn<'established'>): void {
  const task = purposeOf(sa.active?.task);
  if (task?.kind === 'rekey-ike') task.rival = made.id;
  else handOver(world, sa, made, 'responder');
}

/** RFC 7296 §3.1: eight octets, not all zero. */
function isIkeSpi(spi: Uint8Array): boolean {
  return spi.length === 8 && spi.some((octet) => octet !== 0);
}

/** What the answer to our rekey agrees on. */
function agreedRekey(
  sa: ReplacedSa,
  task: RekeyIkeExchange,
  payloads: readonly Payload[],
): Result<AgreedIke, Failure> {
  const bad = (message: string) => err(failure('rekey_failed', message, 'CREATE_CHILD_SA'));
  const answer = exactlyOne(payloads, 'sa', 'nonce', 'ke');
  if (answer === undefined) return bad('the answer to the rekey lacks a payload');
  const { proposals } = answer.sa;
  const suite = acceptIkeAnswer(sa.connection.ikeProposals, proposals);
  if (!suite.ok) return suite;
  const { ke } = answer;
  const { dh } = task;
  if (ke.group !== dh.group || suite.value.dh !== dh.group || ke.data.length !== dh.publicValue.length) {
    return bad('the answer to the rekey mixes DH groups');
  }
  const spi = proposals[0]?.spi;
  if (spi === undefined || !isIkeSpi(spi)) return bad('the answer to the rekey has no SPI');
  const shared = dh.agree(ke.data);
  if (!shared.ok) return bad(shared.error.message);
  const nonces = { initiator: task.nonce, responder: answer.nonce.data.slice() };
  const spis = { initiator: task.spi, responder: spi.slice() };
  return ok({ role: 'initiator', spis, suite: suite.value, nonces, shared: shared.value });
}

function retryWithGroup(world: World, sa: ServingSa, task: RekeyIkeExchange, error: NotifyPayload): boolean {
  const group = wantedGroup(error);
  const from = task.dh.group;
  const tried = [...task.groupsTried, from];
  const allowed = sa.connection.ikeProposals.some((spec) => spec.dh.includes(group ?? 0));
  if (group === undefined || !allowed || tried.includes(group)) return false;
  world.ctx.event({
    kind: 'ke-group-changed',
    connection: sa.connection.id,
    ikeId: sa.id,
    from,
    to: group,
  });
  sa.tasks.unshift(rekeyIkeTask(group, tried));
  return true;
}

function advise(world: World, sa: ServingSa, why: string): void {
  world.ctx.event({
    kind: 'advisory',
    connection: sa.connection.id,
    code: 'rekey_refused',
    message: `${why}: a new one has to be negotiated before its lifetime is over`,
  });
}
