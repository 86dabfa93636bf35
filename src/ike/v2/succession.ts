import { deriveRekeySkeyseed } from '../../crypto/keymat.js';
import type { SecretKey } from '../../util/secret.js';
import type { Payload } from '../../wire/ike/payloads.js';
import { ProtocolId } from '../../wire/ike/registry.js';
import type { Role } from '../events.js';
import { lifetime } from '../sa/lifetime.js';
import { sasOf } from '../sa/world.js';
import type { AgreedIke } from './agreed.js';
import { beginDelete, closeSa } from './close.js';
import { clusterAfter } from './cluster.js';
import { isSuperseded, supersede, takeOver } from './duplicates.js';
import { enterService } from './established.js';
import { IkeSa, type IkeSaIn, isEstablished, isIn, type ServingSa } from './ike-sa.js';
import { keysFrom } from './keys.js';
import { dropPending } from './pending.js';
import { createService, isRedundantTo, makeRedundant, SOLE } from './service.js';
import { purposeOf } from './tasks.js';
import type { World } from './world.js';

/** An IKE SA that another one takes over from: our rekey of it may be answered when its DELETE is on its way. */
export type ReplacedSa = IkeSaIn<'established' | 'rekeyed' | 'deleting'>;

/**
 * The new IKE SA, with keys from SK_d of the old one (RFC 7296 §2.18) and the secrets of the additional key exchanges,
 * which are wiped. Its message ids begin at 0.
 */
export function successor(
  world: World,
  old: ReplacedSa,
  made: AgreedIke,
  additional: readonly SecretKey[] = [],
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
  const skeyseed = deriveRekeySkeyseed(oldPrf, oldKeyed.keys.skD, made.shared, made.nonces, additional);
  for (const secret of [made.shared, ...additional]) secret.wipe();
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
export function handOver(world: World, old: ReplacedSa, next: IkeSaIn<'established'>, role: Role): void {
  const { service: from } = old.phase;
  const { service: to } = next.phase;
  if (from === undefined) return;
  dropPending(world, from);
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
  const task = purposeOf(sa.active?.task);
  if (task?.kind !== 'rekey-ike' || task.rival === undefined) return;
  const rival = findById(world, task.rival);
  if (rival !== undefined) handOver(world, sa, rival, 'responder');
}

/** The IKE SA whose rekey of ours crossed with the peer's, of which `sa` is the outcome. */
export function rivalOf(world: World, sa: ServingSa): IkeSa | undefined {
  return sasOf(world, sa.connection.id).find((other) => {
    const task = purposeOf(other.active?.task);
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

/** The established IKE SA of this id. */
export function findById(world: World, id: number): IkeSaIn<'established'> | undefined {
  return world.table.select((sa) => sa.id === id && sa.state === 'established').find(isEstablished);
}
