import { deriveRekeySkeyseed, type NoncePair } from '../../crypto/keymat.js';
import type { IkeSuite } from '../../crypto/types.js';
import { compareBytes } from '../../util/bytes.js';
import type { SecretKey } from '../../util/secret.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType, nameOf, ProtocolId } from '../../wire/ike/registry.js';
import type { Failure, Role } from '../events.js';
import { acceptIkeAnswer, ikeOffer, selectIke } from '../policy/proposals.js';
import { retryAt } from '../sa/lifetime.js';
import { beginDelete, closeSa } from './close.js';
import { lowest, reportEstablished, supersede } from './established.js';
import { failure, rekeyRefused } from './failures.js';
import { IkeSa } from './ike-sa.js';
import { freshIkeSpi } from './init-initiator.js';
import { keySa } from './keys.js';
import { exchangePolicy } from './liveness.js';
import { find, findError, hasExactlyOne, invalidKe, notify, wantedGroup } from './payloads.js';
import { keepAuthentication } from './reauthentication.js';
import { noteBusy } from './revival.js';
import { respond, sendRequest } from './send.js';
import { type RekeyIkeTask, rekeyIkeTask } from './tasks.js';
import { type Inbound, sasOf, type World } from './world.js';

/** Wait before a rekey that the peer put off is asked for again (RFC 7296 §2.25). */
const TRY_AGAIN = 5000;

/** HDR, SK {SA, Ni, KEi} with the SPI of the new IKE SA (RFC 7296 §1.3.2). */
export function sendRekeyIke(world: World, sa: IkeSa, task: RekeyIkeTask): boolean {
  const { crypto, random } = world.ctx;
  const specs = sa.connection!.ikeProposals;
  const group = task.group ?? specs[0]?.dh[0];
  if (group === undefined) return false;
  if (isContested(world, sa)) {
    sa.rekeyAt = Math.min(sa.rekeyAt, world.ctx.now + TRY_AGAIN);
    return false;
  }
  task.spi = freshIkeSpi(world);
  task.nonce = random.bytes(NONCE_LENGTH);
  task.dh = crypto.dh(group).generate(random);
  const payloads: Payload[] = [
    { kind: 'sa', proposals: ikeOffer(specs, task.spi) },
    { kind: 'nonce', data: task.nonce },
    { kind: 'ke', group, data: task.dh.publicValue },
  ];
  sendRequest(world, sa, task, ExchangeType.CREATE_CHILD_SA, payloads, exchangePolicy(world, sa));
  return true;
}

/**
 * Whether another IKE SA of the connection stands or is on its way: both ends will judge by the nonces which one
 * stays, so none of them may be exchanged for another meanwhile.
 */
function isContested(world: World, sa: IkeSa): boolean {
  return sasOf(world, sa.connection!.id).some(
    (other) =>
      other !== sa && (other.state === 'established' || other.state === 'auth-sent') && !other.superseded,
  );
}

/** HDR, SK {SA, Nr, KEr}, or an error. */
export function rekeyIkeAnswered(world: World, sa: IkeSa, task: RekeyIkeTask, message: Inbound): void {
  const { payloads } = message;
  const error = findError(payloads);
  const rival = task.rival === undefined ? undefined : findById(world, task.rival);
  if (error !== undefined) {
    task.dh!.wipe();
    if (rival !== undefined) {
      handOver(world, sa, rival, 'responder');
      return;
    }
    if (error.type === NotifyType.INVALID_KE_PAYLOAD && retryWithGroup(world, sa, task, error)) return;
    if (error.type === NotifyType.TEMPORARY_FAILURE) {
      const { wait, report } = noteBusy(world, sa, TRY_AGAIN);
      sa.rekeyAt = world.ctx.now + wait;
      if (report === undefined) return;
      sa.rekeyRefused = report;
    } else {
      sa.busy = undefined;
      sa.rekeyRefused = rekeyRefused(sa.connection!, error);
      sa.rekeyAt = retryAt(world.ctx.now, sa.expiresAt);
    }
    advise(world, sa, nameOf('notify', error.type));
    return;
  }
  const made = completeRekey(world, sa, task, payloads);
  if ('cause' in made) {
    task.dh!.wipe();
    if (rival !== undefined) {
      handOver(world, sa, rival, 'responder');
      return;
    }
    // The peer has a new SA that we cannot have: only a fresh start makes both agree again.
    beginDelete(world, sa, 'failed', made);
    return;
  }
  if (rival !== undefined && compareBytes(lowest(made.nonces), lowest(rival.nonces)) < 0) {
    // RFC 7296 §2.8.2: ours is redundant, so we delete it; the peer deletes the old one.
    handOver(world, sa, rival, 'responder');
    beginDelete(world, made, 'replaced');
    return;
  }
  if (rival !== undefined) supersede(world, rival);
  handOver(world, sa, made, 'initiator');
}

/** The peer wants a new IKE SA in place of this one. */
export function rekeyIkeRequested(world: World, sa: IkeSa, message: Inbound): void {
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
  if (task?.kind !== 'rekey-ike' && !budget.mayRekey(sa.connection!.id, sa.establishedAt, now)) {
    refuse(notify(NotifyType.TEMPORARY_FAILURE));
    return;
  }
  if (!hasExactlyOne(payloads, 'sa', 'nonce', 'ke')) {
    refuse(notify(NotifyType.INVALID_SYNTAX));
    return;
  }
  const selection = selectIke(sa.connection!.ikeProposals, find(payloads, 'sa')!.proposals);
  if (!selection.ok || !isIkeSpi(selection.value.peerSpi)) {
    refuse(notify(NotifyType.NO_PROPOSAL_CHOSEN));
    return;
  }
  const { suite, answer, peerSpi } = selection.value;
  const ke = find(payloads, 'ke')!;
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
  const nonces = { initiator: find(payloads, 'nonce')!.data.slice(), responder: nonce };
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
  sa: IkeSa,
  task: RekeyIkeTask,
  payloads: readonly Payload[],
): IkeSa | Failure {
  const bad = (message: string): Failure => failure('rekey_failed', message, 'CREATE_CHILD_SA');
  if (!hasExactlyOne(payloads, 'sa', 'nonce', 'ke')) return bad('the answer to the rekey lacks a payload');
  const { proposals } = find(payloads, 'sa')!;
  const suite = acceptIkeAnswer(sa.connection!.ikeProposals, proposals);
  if (!suite.ok) return suite.error;
  const ke = find(payloads, 'ke')!;
  const dh = task.dh!;
  const spi = proposals[0]!.spi;
  if (ke.group !== dh.group || suite.value.dh !== dh.group || ke.data.length !== dh.publicValue.length) {
    return bad('the answer to the rekey mixes DH groups');
  }
  if (!isIkeSpi(spi)) return bad('the answer to the rekey has no SPI');
  const shared = dh.agree(ke.data);
  if (!shared.ok) return bad(shared.error.message);
  const nonces = { initiator: task.nonce!, responder: find(payloads, 'nonce')!.data.slice() };
  const spis = { initiator: task.spi!, responder: spi.slice() };
  return successor(world, sa, { role: 'initiator', spis, suite: suite.value, nonces, shared: shared.value });
}

/** The new IKE SA, with keys from SK_d of the old one (RFC 7296 §2.18). Its message ids begin at 0. */
function successor(
  world: World,
  old: IkeSa,
  made: {
    readonly role: Role;
    readonly spis: { readonly initiator: Uint8Array; readonly responder: Uint8Array };
    readonly suite: IkeSuite;
    readonly nonces: NoncePair;
    readonly shared: SecretKey;
  },
): IkeSa {
  const { ctx } = world;
  const sa = new IkeSa({
    id: ctx.nextId(),
    role: made.role,
    state: 'established',
    initiatorSpi: made.spis.initiator,
    responderSpi: made.spis.responder,
    local: old.local,
    remote: old.remote,
    natTraversalPort: old.natTraversalPort,
    createdAt: ctx.now,
  });
  const oldPrf = ctx.crypto.prf(old.suite!.prf);
  const skeyseed = deriveRekeySkeyseed(oldPrf, old.keys!.skD, made.shared, made.nonces);
  made.shared.wipe();
  keySa(world, sa, made.suite, made.nonces, skeyseed);
  sa.connection = old.connection;
  sa.natTraversal = old.natTraversal;
  sa.nat = old.nat;
  // RFC 7383 §2.3: agreed on in IKE_SA_INIT, which a rekey does not have.
  sa.fragmentation = old.fragmentation;
  sa.peerVendors = old.peerVendors;
  sa.quirks = old.quirks;
  sa.peerIdentity = old.peerIdentity;
  sa.identities = old.identities;
  keepAuthentication(sa, old);
  world.table.add(sa);
  reportEstablished(world, sa, old);
  return sa;
}

/**
 * All child SAs and waiting tasks move to the new IKE SA (RFC 7296 §2.18). The old one is deleted by the end
 * that initiated the surviving rekey; the other end waits for that.
 */
function handOver(world: World, old: IkeSa, next: IkeSa, role: Role): void {
  for (const child of old.children.takeAll()) {
    next.children.add(child);
    world.childOwners.set(child.id, next);
  }
  for (const [name, gap] of old.gaps) next.gaps.set(name, gap);
  next.gapsAt = old.gapsAt;
  next.wanted = old.wanted;
  next.pfsUnverified ||= old.pfsUnverified;
  next.carried ||= old.carried;
  next.childlessSince = old.childlessSince;
  next.refusal ??= old.refusal;
  next.retryChildAt ??= old.retryChildAt;
  // What was to go in favour of the old SA goes in favour of the new one, which is to be confirmed in its turn.
  for (const other of sasOf(world, old.connection!.id)) {
    if (other.redundantTo !== old.id) continue;
    other.redundantTo = next.id;
    next.tasks.push({ kind: 'probe' });
  }
  // A rekey does not save an SA that is redundant to another one.
  next.redundantTo = old.redundantTo;
  if (old.superseded) supersede(world, next);
  for (const task of old.tasks.splice(0)) {
    if (task.kind === 'create-child' || task.kind === 'delete-children') next.tasks.push(task);
    else if (task.kind === 'delete-ike') old.tasks.push(task);
  }
  if (role === 'initiator') {
    beginDelete(world, old, 'rekeyed');
  } else {
    dropPredecessors(world, old);
    old.state = 'rekeyed';
    old.forgetAt = world.ctx.now + world.ctx.limits.halfOpenTimeout;
  }
}

/** One SA waits for the peer's DELETE at most: a peer that goes on without it is not to fill the table. */
function dropPredecessors(world: World, sa: IkeSa): void {
  for (const other of sasOf(world, sa.connection!.id)) {
    const waits = other !== sa && other.state === 'rekeyed' && !other.superseded;
    if (waits) closeSa(world, other, 'rekeyed');
  }
}

/** The peer deletes an IKE SA of which both ends had begun a rekey: its new one is the one that stays. */
export function adoptRival(world: World, sa: IkeSa): void {
  const task = sa.active?.task;
  if (task?.kind !== 'rekey-ike' || task.rival === undefined) return;
  const rival = findById(world, task.rival);
  if (rival !== undefined) handOver(world, sa, rival, 'responder');
}

/** The IKE SA whose rekey of ours crossed with the peer's, of which `sa` is the outcome. */
export function rivalOf(world: World, sa: IkeSa): IkeSa | undefined {
  return sasOf(world, sa.connection!.id).find((other) => {
    const task = other.active?.task;
    return task?.kind === 'rekey-ike' && task.rival === sa.id;
  });
}

/**
 * The peer sends a request on its new IKE SA while our own rekey of the old one waits for its answer. Had it
 * lost, the peer would only delete it: so it is the one that stays, and the peer's child SAs are there.
 */
export function takeUpRival(world: World, sa: IkeSa, payloads: readonly Payload[]): void {
  const old = rivalOf(world, sa);
  const deletes = payloads.some((p) => p.kind === 'delete' && p.protocol === ProtocolId.IKE);
  if (old !== undefined && old.state === 'established' && !deletes) handOver(world, old, sa, 'responder');
}

function findById(world: World, id: number): IkeSa | undefined {
  return world.table.select((sa) => sa.id === id && sa.state === 'established')[0];
}

function retryWithGroup(world: World, sa: IkeSa, task: RekeyIkeTask, error: NotifyPayload): boolean {
  const group = wantedGroup(error);
  const from = task.dh!.group;
  const tried = [...task.groupsTried, from];
  const allowed = sa.connection!.ikeProposals.some((spec) => spec.dh.includes(group ?? 0));
  if (group === undefined || !allowed || tried.includes(group)) return false;
  world.ctx.event({
    kind: 'ke-group-changed',
    connection: sa.connection!.id,
    ikeId: sa.id,
    from,
    to: group,
  });
  sa.tasks.unshift(rekeyIkeTask(group, tried));
  return true;
}

function advise(world: World, sa: IkeSa, notifyName: string): void {
  world.ctx.event({
    kind: 'advisory',
    connection: sa.connection!.id,
    code: 'rekey_refused',
    message: `the peer refused to rekey the IKE SA with ${notifyName}: a new one has to be negotiated before its lifetime is over`,
  });
}
