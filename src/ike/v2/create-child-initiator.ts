import { copyOf } from '../../util/bytes.js';
import { err, ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType, ProtocolId } from '../../wire/ike/registry.js';
import type { Failure } from '../events.js';
import { find } from '../payloads.js';
import { countPairs } from '../policy/carried-pairs.js';
import { espOffer, isOffered } from '../policy/proposals.js';
import type { SelectorLists } from '../policy/selectors.js';
import { narrow } from '../policy/selectors.js';
import { expectSpi, releaseSpi, reserveSpi, spiBytes } from '../sa/esp-spi.js';
import { failure } from '../sa/failures.js';
import { retryAt } from '../sa/lifetime.js';
import type { AgreedChild } from './agreed.js';
import { installChild, isPeerSpiInUse, removeChild } from './child.js';
import { acceptChild } from './child-answer.js';
import { settleChildRekey, settleCrossing } from './child-collision.js';
import type { ChildRecord } from './child-record.js';
import { isComplete, isUncovered, nextPair, pairRetryAt, putOffPair, redundantTo } from './coverage.js';
import { pfsRefused, selectorMismatch } from './failures.js';
import type { ServingSa } from './ike-sa.js';
import { exchangePolicy } from './liveness.js';
import { listOf, losesTo } from './nonces.js';
import { findError, findNotify, wantedGroup } from './payloads.js';
import { dropPending, GIVE_WAY, noncesOf, pendingRival } from './pending.js';
import { notePfsAgreed, notePfsRefused } from './pfs.js';
import { noteProposalQuirks } from './proposal-quirks.js';
import { noteBusy, noteRefusal } from './revival.js';
import { sendRequest } from './send.js';
import {
  type AgreedCreate,
  type CreateChildExchange,
  type CreateChildTask,
  createChildTask,
  wholeOffer,
} from './tasks.js';
import type { Inbound, World } from './world.js';

/** Wait before a child SA that the peer put off is asked for again at first (RFC 7296 §2.25). */
const CHILD_PUT_OFF: Millis = 2_000;

/** HDR, SK {[N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr}, RFC 7296 §1.3.1 and §1.3.3. */
export function sendCreateChild(world: World, sa: ServingSa, task: CreateChildTask): boolean {
  const { crypto, random } = world.ctx;
  const { connection } = sa;
  const old = childRekeyed(sa, task);
  if (task.rekeys !== undefined && old === undefined) return false;
  const spec = connection.espProposals[0];
  if (spec === undefined) return false;
  // The peer may have asked for the same networks meanwhile.
  if (task.pair !== undefined && !isUncovered(sa, task.pair)) return false;
  if (task.pair === undefined && old === undefined && isComplete(sa)) return false;
  const proposed = proposal(sa, task, old);
  const group = task.group ?? spec.dh[0] ?? 0;
  const spi = reserveSpi(world, connection.id);
  expectSpi(world, spi);
  const nonce = random.bytes(NONCE_LENGTH);
  const dh = group === 0 ? undefined : crypto.dh(group).generate(random);
  if (old !== undefined) old.state = 'rekeying';
  const payloads: Payload[] = [
    ...(old === undefined ? [] : [rekeyNotify(old.spiIn)]),
    { kind: 'sa', proposals: espOffer(connection.espProposals, spiBytes(spi), true) },
    { kind: 'nonce', data: nonce },
    ...(dh === undefined ? [] : [{ kind: 'ke', group, data: dh.publicValue } as const]),
    { kind: 'tsi', selectors: proposed.localTs },
    { kind: 'tsr', selectors: proposed.peerTs },
  ];
  const exchange = { proposed, spi, nonce, dh, rival: undefined, ...task };
  sendRequest(world, sa, exchange, ExchangeType.CREATE_CHILD_SA, payloads, exchangePolicy(world, sa));
  return true;
}

/** The child SA that an exchange is to replace. */
function childRekeyed(sa: ServingSa, { rekeys }: CreateChildTask): ChildRecord | undefined {
  return rekeys === undefined ? undefined : sa.phase.service.children.get(rekeys);
}

/**
 * A rekey proposes what the child SA carries (RFC 7296 §2.9.2), as far as it is still configured: a peer that
 * narrowed once would narrow again, and other networks have child SAs of their own.
 */
function proposal(sa: ServingSa, task: CreateChildTask, old: ChildRecord | undefined): SelectorLists {
  const all = wholeOffer(sa.connection);
  if (task.pair !== undefined) return { localTs: [task.pair.local], peerTs: [task.pair.peer] };
  if (old === undefined) return all;
  const kept = { localTs: narrow(all.localTs, old.localTs), peerTs: narrow(all.peerTs, old.peerTs) };
  return kept.localTs.length === 0 || kept.peerTs.length === 0 ? all : kept;
}

/** REKEY_SA names the SA by the SPI its sender receives on (RFC 7296 §1.3.3). */
function rekeyNotify(spiIn: number): Payload {
  return {
    kind: 'notify',
    protocol: ProtocolId.ESP,
    spi: spiBytes(spiIn),
    type: NotifyType.REKEY_SA,
    data: new Uint8Array(0),
  };
}

/** HDR, SK {SA, Nr, [KEr,] TSi, TSr}, or an error. */
export function createChildAnswered(
  world: World,
  sa: ServingSa,
  task: CreateChildExchange,
  message: Inbound,
): void {
  const { payloads } = message;
  const { service } = sa.phase;
  const error = findError(payloads);
  if (error?.type === NotifyType.INVALID_KE_PAYLOAD && retryWithGroup(world, sa, task, wantedGroup(error)))
    return;
  if (error?.type === NotifyType.TEMPORARY_FAILURE) {
    createPutOff(world, sa, task);
    return;
  }
  service.busy = undefined;
  if (error?.type === NotifyType.CHILD_SA_NOT_FOUND && task.rekeys !== undefined) {
    oldIsGone(world, sa, task, task.rekeys);
    return;
  }
  const agreed = childAgreed(sa, task, payloads, error);
  if (!agreed.ok) {
    failChild(world, sa, task, agreed.error, payloads);
    return;
  }
  const child = agreed.value;
  if (isPeerSpiInUse(world, sa.connection.id, child.spiOut)) {
    child.shared?.wipe();
    const why = 'the peer answered with the SPI of a child SA that is established';
    failChild(world, sa, task, failure('invalid_syntax', why, 'CREATE_CHILD_SA'), payloads);
    return;
  }
  noteProposalQuirks(world, sa, payloads);
  if (child.suite.additional === undefined) finishCreate(world, sa, task, child);
  else goOn(world, sa, task, child, payloads);
}

/** The additional key exchanges are still to come, unless the peer's child SA in place of the same is the one that stays. */
function goOn(
  world: World,
  sa: ServingSa,
  { dh: _, ...task }: CreateChildExchange,
  child: AgreedChild,
  payloads: readonly Payload[],
): void {
  const agreed = { task, child };
  const link = findNotify(payloads, NotifyType.ADDITIONAL_KEY_EXCHANGE);
  if (createGivesWay(world, sa, agreed)) {
    child.shared?.wipe();
  } else if (link === undefined) {
    child.shared?.wipe();
    const why = 'the answer has additional key exchanges and nothing to link them by';
    createFailed(world, sa, task, failure('invalid_syntax', why, 'CREATE_CHILD_SA'), false);
  } else {
    const left = child.suite.additional ?? [];
    sa.tasks.unshift({ kind: 'followup-ke', of: agreed, left, secrets: [], link: copyOf(link.data) });
  }
}

/**
 * Whether the peer's child SA in place of the same is the one that stays (RFC 7296 §2.8.1): then ours is not gone on
 * with. Where the peer's has key exchanges before it, and they fail, ours is asked for again.
 */
export function createGivesWay(world: World, sa: ServingSa, { task, child }: AgreedCreate): boolean {
  const { service } = sa.phase;
  const pending = pendingRival(sa, task);
  const made = task.rival === undefined ? undefined : service.children.get(task.rival);
  const ours = listOf(child.nonces);
  const lostToPending = pending !== undefined && losesTo(ours, noncesOf(pending));
  const lostToMade = made !== undefined && losesTo(ours, made.nonces);
  if (pending !== undefined && !lostToPending) dropPending(world, service);
  if (!lostToPending && !lostToMade) return false;
  const old = childRekeyed(sa, task);
  createPutOff(world, sa, task, GIVE_WAY);
  if (lostToMade && old !== undefined) old.state = 'rekeyed';
  return true;
}

/** All key exchanges of our child SA are made. */
export function finishCreate(
  world: World,
  sa: ServingSa,
  task: AgreedCreate['task'],
  child: AgreedChild,
): void {
  const { service } = sa.phase;
  const pending = pendingRival(sa, task);
  const old = childRekeyed(sa, task);
  const made = installChild(world, sa, {
    ...child,
    final: old?.final === true || child.final === true,
    ...(old === undefined ? {} : { replaces: old }),
  });
  service.refusal = undefined;
  notePfsAgreed(world, sa);
  if (pending !== undefined && losesTo(made.nonces, noncesOf(pending))) {
    if (old?.state === 'rekeying') old.state = 'installed';
    removeChild(world, sa, made, 'replaced');
    sa.tasks.push({ kind: 'delete-children', spis: [made.spiIn] });
    return;
  }
  if (pending !== undefined) dropPending(world, service);
  if (task.rekeys !== undefined) settleChildRekey(world, sa, made, old, task.rival);
  else if (task.rival !== undefined) settleCrossing(world, sa, made, task.rival);
  else if (task.pair !== undefined) keepNewest(world, sa, task, made);
}

/** The child SA that the answer makes, or why it makes none. */
function childAgreed(
  sa: ServingSa,
  task: CreateChildExchange,
  payloads: readonly Payload[],
  error: NotifyPayload | undefined,
): Result<AgreedChild, Failure> {
  const nonce = find(payloads, 'nonce');
  const agreed = agree(task, payloads);
  if (!agreed.ok) return agreed;
  const shared = agreed.value;
  const child = acceptChild(sa.connection, payloads, {
    spiIn: task.spi,
    proposed: task.proposed,
    withDh: true,
    nonces: { initiator: task.nonce, responder: nonce?.data.slice() ?? new Uint8Array(0) },
    exchange: 'CREATE_CHILD_SA',
    ...(shared === undefined ? {} : { shared }),
  });
  if (child.ok && nonce !== undefined && (child.value.suite.dh !== 0) === (shared !== undefined))
    return child;
  shared?.wipe();
  return err(
    child.ok
      ? failure('invalid_syntax', 'the answer lacks its nonce or its KE payload', 'CREATE_CHILD_SA')
      : refusalOf(sa, task, child.error, error),
  );
}

/** A refusal of what IKE_AUTH had agreed on means PFS: nothing else is new in CREATE_CHILD_SA. */
function refusalOf(
  sa: ServingSa,
  task: CreateChildExchange,
  reason: Failure,
  error: NotifyPayload | undefined,
): Failure {
  const old = childRekeyed(sa, task);
  const proven = old !== undefined && old.suite.dh === 0 && isOffered(sa.connection.espProposals, old.suite);
  if (error?.type !== NotifyType.NO_PROPOSAL_CHOSEN || !proven) return reason;
  return pfsRefused(sa.connection, reason);
}

/**
 * The peer answered a pair of networks with those of a child SA that is established: it has no more for us. The older
 * of the two is deleted: with some peers the newest child SA owns the policies, and they would go with it.
 */
function keepNewest(world: World, sa: ServingSa, task: CreateChildTask, made: ChildRecord): void {
  const older = redundantTo(sa, made);
  if (older === undefined) return;
  sa.phase.service.children.beginDelete(older);
  sa.tasks.push({ kind: 'delete-children', spis: [older.spiIn] });
  const message = 'the peer grants no networks beyond those that another child SA already carries';
  reportFailure(world, sa, task, selectorMismatch(sa.connection, made, message));
}

/** The secret of the exchange; undefined where it has none of its own (RFC 7296 §1.3). */
function agree(
  task: CreateChildExchange,
  payloads: readonly Payload[],
): Result<SecretKey | undefined, Failure> {
  const ke = find(payloads, 'ke');
  if (task.dh === undefined || ke === undefined) {
    task.dh?.wipe();
    return ok(undefined);
  }
  if (ke.group !== task.dh.group || ke.data.length !== task.dh.publicValue.length) {
    task.dh.wipe();
    const what = `a KE payload of group ${ke.group} with ${ke.data.length} octets`;
    return err(failure('invalid_syntax', what, 'CREATE_CHILD_SA'));
  }
  const shared = task.dh.agree(ke.data);
  return shared.ok ? shared : err(failure('invalid_syntax', shared.error.message, 'CREATE_CHILD_SA'));
}

/** RFC 7296 §1.3: once more with the group the peer wants, if we allow it and have not tried it. */
function retryWithGroup(
  world: World,
  sa: ServingSa,
  task: CreateChildExchange,
  group: number | undefined,
): boolean {
  const from = task.dh?.group ?? 0;
  const tried = [...task.groupsTried, from];
  const allowed = sa.connection.espProposals.some((spec) => spec.dh.includes(group ?? -1));
  if (group === undefined || !allowed || tried.includes(group)) return false;
  abandon(world, sa, task);
  world.ctx.event({
    kind: 'ke-group-changed',
    connection: sa.connection.id,
    ikeId: sa.id,
    from,
    to: group,
  });
  sa.tasks.unshift(createChildTask({ ...task, group, groupsTried: tried }));
  return true;
}

/** RFC 7296 §2.25: the peer is busy with something that collides; the same again later, `after` that long. */
export function createPutOff(world: World, sa: ServingSa, task: AgreedCreate['task'], after?: Millis): void {
  abandon(world, sa, task);
  const { wait, report } =
    after === undefined ? noteBusy(world, sa, CHILD_PUT_OFF) : { wait: after, report: undefined };
  if (report !== undefined) reportFailure(world, sa, task, report);
  const old = childRekeyed(sa, task);
  if (old !== undefined) old.rekeyAt = Math.min(old.rekeyAt, world.ctx.now + wait);
  else if (task.pair !== undefined) putOffPair(world, sa, task.pair, wait);
  else if (task.rekeys === undefined) sa.phase.service.retryChildAt = world.ctx.now + wait;
}

/** RFC 7296 §2.25: the peer has deleted what we want to rekey, and its DELETE may still be under way. */
function oldIsGone(world: World, sa: ServingSa, task: CreateChildExchange, rekeys: number): void {
  const old = sa.phase.service.children.get(rekeys);
  abandon(world, sa, task);
  if (old !== undefined) removeChild(world, sa, old, 'peer-deleted');
}

function failChild(
  world: World,
  sa: ServingSa,
  task: CreateChildExchange,
  reason: Failure,
  payloads: readonly Payload[],
): void {
  createFailed(world, sa, task, reason, find(payloads, 'sa') !== undefined);
}

/** `madeThere`: the peer has made the child SA, and must not keep it (RFC 7296 §1.4.1). */
export function createFailed(
  world: World,
  sa: ServingSa,
  task: CreateChildExchange | AgreedCreate['task'],
  reason: Failure,
  madeThere: boolean,
): void {
  abandon(world, sa, task);
  reportFailure(world, sa, task, reason);
  if (reason.cause === 'pfs_mismatch') notePfsRefused(world, sa, reason);
  // The SA that was to be rekeyed works until its lifetime is over: time for the operator to mend the policy.
  const old = childRekeyed(sa, task);
  if (old !== undefined && !task.verifies) old.rekeyAt = retryAt(world.ctx.now, old.expiresAt);
  if (madeThere) sa.tasks.push({ kind: 'delete-children', spis: [task.spi] });
  if (task.pair !== undefined) nextPair(world, sa);
  else if (task.rekeys === undefined && notePerPair(world, sa, reason)) return;
  noteRefusal(world, sa, reason, task.pair !== undefined);
}

function reportFailure(world: World, sa: ServingSa, task: CreateChildTask, reason: Failure): void {
  world.ctx.event({
    kind: 'child-failed',
    connection: sa.connection.id,
    ikeId: sa.id,
    role: 'initiator',
    failure: reason,
    ...(task.pair === undefined
      ? {}
      : {
          pair: task.pair,
          retryAt: pairRetryAt(sa, task.pair),
        }),
    ...(task.rekeys === undefined ? {} : { rekeys: task.rekeys }),
  });
}

/**
 * A peer that takes no list of networks is asked pair by pair from now on, also when the connection is
 * re-established (SINGLE_PAIR_REQUIRED, RFC 7296 §2.9, or plain TS_UNACCEPTABLE as some peers say it). Says whether
 * there is more than one pair.
 */
export function notePerPair(world: World, sa: ServingSa, reason: Failure): boolean {
  const { id: name } = sa.connection;
  if (reason.cause !== 'ts_mismatch' || countPairs(sa.connection) < 2) return false;
  world.perPair.add(name);
  nextPair(world, sa);
  return true;
}

/** Undoes what the request reserved. The child SA to be rekeyed stays in use. */
function abandon(world: World, sa: ServingSa, task: CreateChildExchange | AgreedCreate['task']): void {
  if ('dh' in task) task.dh?.wipe();
  releaseSpi(world, task.spi);
  const old = childRekeyed(sa, task);
  if (old?.state === 'rekeying') old.state = 'installed';
}
