import type { SecretKey } from '../../util/secret.js';
import type { Payload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType, ProtocolId } from '../../wire/ike/registry.js';
import type { Failure } from '../events.js';
import { espOffer } from '../policy/proposals.js';
import { installChild, releaseSpi, removeChild, reserveSpi, spiBytes } from './child.js';
import { acceptChild } from './child-answer.js';
import { settleChildRekey } from './child-collision.js';
import { failure } from './failures.js';
import type { IkeSa } from './ike-sa.js';
import { exchangePolicy } from './liveness.js';
import { find, findError, wantedGroup } from './payloads.js';
import { sendRequest } from './send.js';
import { type CreateChildTask, createChildTask } from './tasks.js';
import type { Inbound, World } from './world.js';

const NONCE_LENGTH = 32;
/** Wait before a rekey that the peer put off is asked for again (RFC 7296 §2.25). */
const TRY_AGAIN = 2000;
/** The same for a rekey that the peer refused. */
const AFTER_REFUSAL = 30_000;

/** HDR, SK {[N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr}, RFC 7296 §1.3.1 and §1.3.3. */
export function sendCreateChild(world: World, sa: IkeSa, task: CreateChildTask): boolean {
  const { crypto, random } = world.ctx;
  const connection = sa.connection!;
  const old = task.rekeys === undefined ? undefined : sa.children.get(task.rekeys);
  if (task.rekeys !== undefined && old === undefined) return false;
  const spec = connection.espProposals[0];
  if (spec === undefined) return false;
  const group = task.group ?? spec.dh[0] ?? 0;
  task.spi = reserveSpi(world);
  task.nonce = random.bytes(NONCE_LENGTH);
  task.dh = group === 0 ? undefined : crypto.dh(group).generate(random);
  if (old !== undefined) old.state = 'rekeying';
  const payloads: Payload[] = [
    ...(old === undefined ? [] : [rekeyNotify(old.spiIn)]),
    { kind: 'sa', proposals: espOffer(connection.espProposals, spiBytes(task.spi), true) },
    { kind: 'nonce', data: task.nonce },
    ...(task.dh === undefined ? [] : [{ kind: 'ke', group, data: task.dh.publicValue } as const]),
    { kind: 'tsi', selectors: connection.local.selectors },
    { kind: 'tsr', selectors: connection.peer.selectors },
  ];
  sendRequest(world, sa, task, ExchangeType.CREATE_CHILD_SA, payloads, exchangePolicy(world, sa));
  return true;
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
export function createChildAnswered(world: World, sa: IkeSa, task: CreateChildTask, message: Inbound): void {
  const { payloads } = message;
  const connection = sa.connection!;
  const error = findError(payloads);
  if (error?.type === NotifyType.INVALID_KE_PAYLOAD && retryWithGroup(world, sa, task, wantedGroup(error)))
    return;
  if (error?.type === NotifyType.TEMPORARY_FAILURE) {
    putOff(world, sa, task);
    return;
  }
  if (error?.type === NotifyType.CHILD_SA_NOT_FOUND && task.rekeys !== undefined) {
    oldIsGone(world, sa, task);
    return;
  }
  const nonce = find(payloads, 'nonce');
  const shared = agree(task, payloads);
  if (shared !== undefined && 'cause' in shared) {
    failChild(world, sa, task, shared, payloads);
    return;
  }
  const child = acceptChild(connection, payloads, {
    spiIn: task.spi,
    withDh: true,
    nonces: { initiator: task.nonce!, responder: nonce?.data.slice() ?? new Uint8Array(0) },
    exchange: 'CREATE_CHILD_SA',
    ...(shared === undefined ? {} : { shared }),
  });
  if (!child.ok || nonce === undefined || (child.value.suite.dh !== 0) !== (shared !== undefined)) {
    shared?.wipe();
    const reason = child.ok
      ? failure('invalid_syntax', 'the answer lacks its nonce or its KE payload', 'CREATE_CHILD_SA')
      : child.error;
    failChild(world, sa, task, reason, payloads);
    return;
  }
  const old = task.rekeys === undefined ? undefined : sa.children.get(task.rekeys);
  const made = installChild(world, sa, { ...child.value, ...(old === undefined ? {} : { replaces: old }) });
  if (task.rekeys !== undefined) settleChildRekey(world, sa, made, old, task.rival);
}

function agree(task: CreateChildTask, payloads: readonly Payload[]): SecretKey | Failure | undefined {
  const ke = find(payloads, 'ke');
  if (task.dh === undefined || ke === undefined) {
    task.dh?.wipe();
    return undefined;
  }
  if (ke.group !== task.dh.group || ke.data.length !== task.dh.publicValue.length) {
    task.dh.wipe();
    return failure(
      'invalid_syntax',
      `a KE payload of group ${ke.group} with ${ke.data.length} octets`,
      'CREATE_CHILD_SA',
    );
  }
  const shared = task.dh.agree(ke.data);
  return shared.ok ? shared.value : failure('invalid_syntax', shared.error.message, 'CREATE_CHILD_SA');
}

/** RFC 7296 §1.3: once more with the group the peer wants, if we allow it and have not tried it. */
function retryWithGroup(world: World, sa: IkeSa, task: CreateChildTask, group: number | undefined): boolean {
  const from = task.dh?.group ?? 0;
  const tried = [...task.groupsTried, from];
  const allowed = sa.connection!.espProposals.some((spec) => spec.dh.includes(group ?? -1));
  if (group === undefined || !allowed || tried.includes(group)) return false;
  abandon(world, sa, task);
  world.ctx.event({
    kind: 'ke-group-changed',
    connection: sa.connection!.name,
    ikeId: sa.id,
    from,
    to: group,
  });
  sa.tasks.unshift(createChildTask(task.rekeys, group, tried));
  return true;
}

/** RFC 7296 §2.25: the peer is busy with something that collides; the same again later. */
function putOff(world: World, sa: IkeSa, task: CreateChildTask): void {
  abandon(world, sa, task);
  const old = task.rekeys === undefined ? undefined : sa.children.get(task.rekeys);
  if (old !== undefined) old.rekeyAt = world.ctx.now + TRY_AGAIN;
  else if (task.rekeys === undefined) sa.retryChildAt = world.ctx.now + TRY_AGAIN;
}

/** RFC 7296 §2.25: the peer has deleted what we want to rekey, and its DELETE may still be under way. */
function oldIsGone(world: World, sa: IkeSa, task: CreateChildTask): void {
  const old = sa.children.get(task.rekeys!);
  abandon(world, sa, task);
  if (old !== undefined) removeChild(world, sa, old, 'peer-deleted');
}

function failChild(
  world: World,
  sa: IkeSa,
  task: CreateChildTask,
  reason: Failure,
  payloads: readonly Payload[],
): void {
  abandon(world, sa, task);
  world.ctx.event({
    kind: 'child-failed',
    connection: sa.connection!.name,
    ikeId: sa.id,
    role: 'initiator',
    failure: reason,
  });
  // The SA that was to be rekeyed works until its lifetime is over: time for the operator to mend the policy.
  const old = task.rekeys === undefined ? undefined : sa.children.get(task.rekeys);
  if (old !== undefined) old.rekeyAt = world.ctx.now + AFTER_REFUSAL;
  // A peer that made a child SA we cannot take must not keep it (RFC 7296 §1.4.1).
  if (find(payloads, 'sa') !== undefined) sa.tasks.push({ kind: 'delete-children', spis: [task.spi] });
}

/** Undoes what the request reserved. The child SA to be rekeyed stays in use. */
function abandon(world: World, sa: IkeSa, task: CreateChildTask): void {
  task.dh?.wipe();
  releaseSpi(world, task.spi);
  const old = task.rekeys === undefined ? undefined : sa.children.get(task.rekeys);
  if (old?.state === 'rekeying') old.state = 'installed';
}
