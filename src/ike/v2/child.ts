import { deriveChildKeys } from '../../crypto/keymat.js';
import { readU32 } from '../../util/bytes.js';
import type { ConnectionId } from '../../util/ids.js';
import type { CloseReason } from '../events.js';
import { espEnds, espForm } from '../path/carriage.js';
import { withinFamilies } from '../policy/carried-pairs.js';
import { sameLists } from '../policy/selectors.js';
import { enterChild, leaveChild } from '../sa/books.js';
import { lifetime } from '../sa/lifetime.js';
import { emitInstall, emitRemove, reportChild, reportChildClosed } from '../sa/report.js';
import { volumeLimit } from '../sa/volume.js';
import { sasOf } from '../sa/world.js';
import type { AgreedChild } from './agreed.js';
import type { ChildRecord } from './child-record.js';
import { isComplete, noteCoverage, PEER_FILLS_FIRST } from './coverage.js';
import { type IkeSa, type IkeSaIn, isEstablished, type ServingSa } from './ike-sa.js';
import { listOf } from './nonces.js';
import { isRedundant } from './service.js';
import type { World } from './world.js';

/** Whether we send to the peer under this SPI already: a peer that names one twice could not distinguish the two. */
export function isPeerSpiInUse(world: World, connection: ConnectionId, spi: number): boolean {
  return sasOf(world, connection).some(({ service }) => service?.children.byOutboundSpi(spi) !== undefined);
}

/** The number of a 4-octet SPI; undefined when it has another length. */
export function spiNumber(bytes: Uint8Array): number | undefined {
  return bytes.length === 4 ? readU32(bytes, 0) : undefined;
}

/**
 * Makes the keys (RFC 7296 §2.17) and hands the child SA to the data plane. The responder of a rekey
 * receives on the new SA at once but sends on it only when the initiator is known to have it (§2.8).
 */
export function installChild(world: World, sa: ServingSa, agreed: AgreedChild): ChildRecord {
  const { ctx } = world;
  const { connection } = sa;
  const { keyed, service } = sa.phase;
  const prf = ctx.crypto.prf(keyed.suite.prf);
  const { shared, additional = [] } = agreed;
  const keys = deriveChildKeys(prf, keyed.keys.skD, agreed.suite, agreed.nonces, { shared, additional });
  for (const secret of [shared, ...additional]) secret?.wipe();
  const outbound = agreed.initiated || (agreed.replaces === undefined && agreed.standby !== true);
  // A peer that cannot be sent to was refused in IKE_SA_INIT or IKE_AUTH.
  const encapsulation = espForm(sa, connection) ?? 'udp';
  const times = lifetime(ctx.random, ctx.now, connection.childLifetime);
  const child: ChildRecord = {
    id: ctx.nextId(),
    connection: connection.id,
    spiIn: agreed.spiIn,
    spiOut: agreed.spiOut,
    suite: agreed.suite,
    localTs: agreed.localTs,
    peerTs: agreed.peerTs,
    encapsulation,
    establishedAt: ctx.now,
    reported: { ikeId: sa.id, rekeyAt: times.rekeyAt, narrowed: false },
    volume: volumeLimit(ctx.random, agreed.suite),
    spent: false,
    verifyPfsAt: undefined,
    nonces: listOf(agreed.nonces),
    initiated: agreed.initiated,
    final: agreed.final === true,
    state: outbound ? 'installed' : 'pending-outbound',
    replaces: agreed.replaces?.id,
    ...times,
  };
  service.children.add(child);
  service.carried = true;
  world.childOwners.set(child.id, sa);
  enterChild(world, child);
  const { initiatorToResponder, responderToInitiator } = keys;
  const ways = agreed.initiated
    ? { keysIn: responderToInitiator, keysOut: initiatorToResponder }
    : { keysIn: initiatorToResponder, keysOut: responderToInitiator };
  emitInstall(ctx, child, ways, espEnds(sa, encapsulation), outbound);
  report(world, sa, child);
  // The peer may be about to ask for the rest by itself.
  noteCoverage(world, sa, agreed.initiated ? 0 : PEER_FILLS_FIRST);
  return child;
}

function report(world: World, sa: ServingSa, child: ChildRecord): void {
  const { ctx } = world;
  const { connection } = sa;
  // One that carries what was left is no sign of a peer that wants less: then all is carried.
  const all = withinFamilies({ localTs: connection.local.selectors, peerTs: connection.peer.selectors });
  const narrowed = !isComplete(sa) && !sameLists(all, child);
  child.reported = { ...child.reported, narrowed };
  reportChild(ctx, sa.id, child, { narrowed, replaces: child.replaces });
}

/** The peer has the new SA: traffic moves to it. */
export function activateOutbound(world: World, child: ChildRecord): void {
  if (child.state !== 'pending-outbound') return;
  child.state = 'installed';
  world.ctx.emit({ kind: 'activate-outbound', childId: child.id });
}

/**
 * The peer used the IKE SA after IKE_AUTH, so it has the child SA made there: traffic may move to it. Not while the
 * IKE SA is the redundant one of two.
 */
export function activateStandby(world: World, sa: IkeSa): void {
  if (!mayCarry(sa)) return;
  for (const child of sa.phase.service.children.values())
    if (child.replaces === undefined) activateOutbound(world, child);
}

/** Whether the IKE SA is there to stay, so that traffic may move to its child SAs. */
export function mayCarry(sa: IkeSa): sa is IkeSaIn<'established'> {
  return isEstablished(sa) && !isRedundant(sa.phase.service);
}

/** Whether another IKE SA of the connection has a child SA to send on. */
export function isCarriedElsewhere(world: World, sa: IkeSa, connection: ConnectionId): boolean {
  return sasOf(world, connection).some((other) => other !== sa && hasSending(other));
}

function hasSending({ service }: IkeSa): boolean {
  for (const child of service?.children.values() ?? []) if (child.state !== 'pending-outbound') return true;
  return false;
}

/** Takes a child SA out of use here. The peer learns of it by a DELETE, or knows already. */
export function removeChild(world: World, sa: IkeSa, child: ChildRecord, reason: CloseReason): void {
  const { service } = sa;
  const heirs = service?.children.heirsOf(child) ?? [];
  if (service?.children.remove(child) !== true) return;
  if (service.children.size === 0) service.childlessSince = world.ctx.now;
  world.childOwners.delete(child.id);
  leaveChild(world, child);
  for (const heir of heirs) {
    heir.replaces = undefined;
    activateOutbound(world, heir);
  }
  emitRemove(world.ctx, child, reason);
  reportChildClosed(world.ctx, child, reason);
  noteCoverage(world, sa, PEER_FILLS_FIRST);
  for (const other of sasOf(world, child.connection)) {
    if (other !== sa && !isCarriedElsewhere(world, other, child.connection)) activateStandby(world, other);
  }
}
