import { deriveRekeySkeyseed, type NoncePair } from '../../crypto/keymat.js';
import type { IkeSuite } from '../../crypto/types.js';
import { compareBytes } from '../../util/bytes.js';
import { err, ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType, nameOf, ProtocolId } from '../../wire/ike/registry.js';
import type { Failure, Role } from '../events.js';
import { exactlyOne } from '../payloads.js';
import { acceptIkeAnswer, ikeOffer, selectIke } from '../policy/proposals.js';
import { failure } from '../sa/failures.js';
import { lifetime, retryAt } from '../sa/lifetime.js';
import { sasOf } from '../sa/world.js';
import { beginDelete, closeSa } from './close.js';
import { clusterAfter } from './cluster.js';
import { isSuperseded, lowestNonce, supersede, takeOver } from './duplicates.js';
import { enterService } from './established.js';
import { rekeyRefused } from './failures.js';
import { IkeSa, type IkeSaIn, isEstablished, isIn, isServing, type ServingSa } from './ike-sa.js';
import { freshIkeSpi } from './init-initiator.js';
import { keysFrom } from './keys.js';
import { exchangePolicy } from './liveness.js';
import { findError, invalidKe, notify, wantedGroup } from './payloads.js';
import { noteBusy } from './revival.js';
import { respond, sendRequest } from './send.js';
import { createService, isRedundantTo, makeRedundant, SOLE } from './service.js';
import { type RekeyIkeExchange, type RekeyIkeTask, rekeyIkeTask } from './tasks.js';
import type { Inbound, World } from './world.js';

/** Wait before a rekey of the IKE SA that the peer put off is asked for again at first (RFC 7296 §2.25). */
const IKE_PUT_OFF: Millis = 5_000;

/** An IKE SA that another one takes over from: our rekey of it may be answered when its DELETE is on its way. */
type ReplacedSa = IkeSaIn<'established' | 'rekeyed' | 'deleting'>;

/** HDR, SK {SA, Ni, KEi} with the SPI of the new IKE SA (RFC 7296 §1.3.2). */
export function sendRekeyIke(world: World, sa: ServingSa, task: RekeyIkeTask): boolean {
  const { crypto, random } = world.ctx;
  const { service } = sa.phase;
  const specs = sa.connection.ikeProposals;
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
    (other) => other !== sa && (other.state === 'established' || other.state === 'auth-sent'),
  );
}

/** HDR, SK {SA, Nr, KEr}, or an error. */
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
  const made = completeRekey(world, sa, task, payloads);
  if (!made.ok) {
    task.dh.wipe();
    if (rival !== undefined) {
      handOver(world, sa, rival, 'responder');
      return;
    }
    // The peer has a new SA that we cannot have: only a fresh start makes both agree again.
    beginDelete(world, sa, 'failed', made.error);
    return;
  }
  const mine = made.value;
  if (rival !== undefined && compareBytes(lowestNonce(mine), lowestNonce(rival)) < 0) {
    // RFC 7296 §2.8.2: ours is redundant, so we delete it; the peer deletes the old one.
    handOver(world, sa, rival, 'responder');
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
    const { wait, report } = noteBusy(world, sa, IKE_PUT_OFF);
    service.rekeyAt = world.ctx.now + wait;
    if (report === undefined) return;
    service.rekeyRefused = report;
  } else {
    service.busy = undefined;
    service.rekeyRefused = rekeyRefused(sa.connection, error);
    service.rekeyAt = retryAt(world.ctx.now, service.expiresAt);
  }
  advise(world, sa, nameOf('notify', error.type));
}

/** The peer wants a new IKE SA in place of this one. */
export function rekeyIkeRequested(world: World, sa: IkeSaIn<'established'>, message: Inbound): void {
  const { crypto, random } = world.ctx;
  const { payloads } = message;
  const refuse = (why: NotifyPayload): void => void respond(world, sa, message, [why]);
  const task = sa.active?.task;
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
  const request = exactlyOne(payloads, 'sa', 'nonce', 'ke');
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
  const made = successor(world, sa, { role: 'responder', spis, suite, nonces, shared: shared.value });
  respond(world, sa, message, [
    { kind: 'sa', proposals: [{ ...answer, spi }] },
    { kind: 'nonce', data: nonce },
    { kind: 'ke', group: suite.dh, data: publicValue },
  ]);
  // A rekey of ours that is under way decides when its answer is there.
  if (task?.kind === 'rekey-ike') task.rival = made.id;
  else handOver(world, sa, made, 'responder');
}

/** RFC 7296 §3.1: eight octets, not all zero. */
function isIkeSpi(spi: Uint8Array): boolean {
  return spi.length === 8 && spi.some((octet) => octet !== 0);
}

function completeRekey(
  world: World,
  sa: ReplacedSa,
  task: RekeyIkeExchange,
  payloads: readonly Payload[],
): Result<IkeSaIn<'established'>, Failure> {
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
  const made = { role: 'initiator', spis, suite: suite.value, nonces, shared: shared.value } as const;
  return ok(successor(world, sa, made));
}

/** The new IKE SA, with keys from SK_d of the old one (RFC 7296 §2.18). Its message ids begin at 0. */
function successor(
  world: World,
  old: ReplacedSa,
  made: {
    readonly role: Role;
    readonly spis: { readonly initiator: Uint8Array; readonly responder: Uint8Array };
    readonly suite: IkeSuite;
    readonly nonces: NoncePair;
    readonly shared: SecretKey;
  },
): IkeSaIn<'established'> {
  const { ctx } = world;
  const { keyed: oldKeyed, service: before } = old.phase;
  if (before === undefined) throw new Error('an IKE SA that was never established is not rekeyed');
  const id = ctx.nextId();
  const owner = {
    role: made.role,
    initiatorSpi: made.spis.initiator,
    responderSpi: made.spis.responder,
  };
  const oldPrf = ctx.crypto.prf(oldKeyed.suite.prf);
  const skeyseed = deriveRekeySkeyseed(oldPrf, oldKeyed.keys.skD, made.shared, made.nonces);
  made.shared.wipe();
  const keyed = keysFrom(world, owner, made.suite, made.nonces, skeyseed);
  const { rekeyAt, renewAt, expiresAt } = lifetime(ctx.random, ctx.now, old.connection.ikeLifetime);
  const service = createService({
    peerIdentity: before.peerIdentity,
    natReport: before.natReport,
    establishedAt: ctx.now,
    // What takes over from another SA is as old as that one: both ends must see the same order of SAs.
    establishedOrder: before.establishedOrder,
    // As authenticated as the old one, and for as long (RFC 4478 §3).
    authenticatedAs: before.authenticatedAs,
    reauthenticateAt: before.reauthenticateAt,
    rekeyAt,
    renewAt,
    expiresAt,
  });
  service.cluster = clusterAfter(before.cluster);
  // RFC 7383 §2.3: fragmentation is agreed on in IKE_SA_INIT, which a rekey does not have.
  const link = {
    ...old.link,
    responderSpi: owner.responderSpi,
    reassembly: undefined,
    nextMessageId: 0,
    active: undefined,
  };
  const phase = { at: 'established', link, keyed, service } as const;
  const sa = new IkeSa({ id, role: made.role, phase, initiatorSpi: owner.initiatorSpi, createdAt: ctx.now });
  sa.connection = old.connection;
  sa.identities = old.identities;
  world.table.add(sa);
  return enterService(world, sa, old);
}

/**
 * All child SAs and waiting tasks move to the new IKE SA (RFC 7296 §2.18). The old one is deleted by the end
 * that initiated the surviving rekey; the other end waits for that.
 */
function handOver(world: World, old: ReplacedSa, next: IkeSaIn<'established'>, role: Role): void {
  const { service: from } = old.phase;
  const { service: to } = next.phase;
  if (from === undefined) return;
  for (const child of from.children.takeAll()) {
    to.children.add(child);
    world.childOwners.set(child.id, next);
  }
  for (const [name, gap] of from.gaps) to.gaps.set(name, gap);
  to.gapsAt = from.gapsAt;
  to.wanted = from.wanted;
  to.pfsUnverified ||= from.pfsUnverified;
  to.carried ||= from.carried;
  to.childlessSince = from.childlessSince;
  to.refusal ??= from.refusal;
  to.retryChildAt = to.retryChildAt === Number.POSITIVE_INFINITY ? from.retryChildAt : to.retryChildAt;
  // What was to be deleted in favour of the old SA is deleted in favour of the new one, which is to be confirmed in its
  // turn.
  for (const { service } of sasOf(world, old.connection.id)) {
    if (service === undefined || !isRedundantTo(service, old.id)) continue;
    makeRedundant(service, next.id);
    next.tasks.push({ kind: 'probe' });
  }
  // A rekey does not save an SA that is redundant to another one.
  if (from.standing.kind === 'redundant') makeRedundant(to, from.standing.to);
  else to.standing = SOLE;
  if (isSuperseded(old)) supersede(world, next);
  for (const task of old.tasks.splice(0)) {
    if (task.kind === 'create-child' || task.kind === 'delete-children') next.tasks.push(task);
    else if (task.kind === 'delete-ike') old.tasks.push(task);
  }
  if (role === 'initiator') {
    beginDelete(world, old, 'rekeyed');
  } else {
    dropPredecessors(world, old);
    takeOver(world, old, isSuperseded(old));
  }
}

/** One SA waits for the peer's DELETE at most: a peer that continues without it is not to fill the table. */
function dropPredecessors(world: World, sa: ReplacedSa): void {
  for (const other of sasOf(world, sa.connection.id)) {
    if (other !== sa && isIn(other, 'rekeyed') && !isSuperseded(other)) closeSa(world, other, 'rekeyed');
  }
}

/** The peer deletes an IKE SA of which both ends had begun a rekey: its new one is the one that stays. */
export function adoptRival(world: World, sa: ServingSa): void {
  const task = sa.active?.task;
  if (task?.kind !== 'rekey-ike' || task.rival === undefined) return;
  const rival = findById(world, task.rival);
  if (rival !== undefined) handOver(world, sa, rival, 'responder');
}

/** The IKE SA whose rekey of ours crossed with the peer's, of which `sa` is the outcome. */
export function rivalOf(world: World, sa: ServingSa): IkeSa | undefined {
  return sasOf(world, sa.connection.id).find((other) => {
    const task = other.active?.task;
    return task?.kind === 'rekey-ike' && task.rival === sa.id;
  });
}

/**
 * The peer sends a request on its new IKE SA while our own rekey of the old one waits for its answer. Had it
 * lost, the peer would only delete it: so it is the one that stays, and the peer's child SAs are there.
 */
export function takeUpRival(world: World, sa: IkeSaIn<'established'>, payloads: readonly Payload[]): void {
  const old = rivalOf(world, sa);
  const deletes = payloads.some((p) => p.kind === 'delete' && p.protocol === ProtocolId.IKE);
  if (old !== undefined && isEstablished(old) && !deletes) handOver(world, old, sa, 'responder');
}

function findById(world: World, id: number): IkeSaIn<'established'> | undefined {
  return world.table.select((sa) => sa.id === id && sa.state === 'established').find(isEstablished);
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

function advise(world: World, sa: ServingSa, notifyName: string): void {
  world.ctx.event({
    kind: 'advisory',
    connection: sa.connection.id,
    code: 'rekey_refused',
    message: `the peer refused to rekey the IKE SA with ${notifyName}: a new one has to be negotiated before its lifetime is over`,
  });
}
