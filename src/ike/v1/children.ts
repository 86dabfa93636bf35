import type { NoncePair } from '../../crypto/keymat.js';
import { deriveV1EspKeys } from '../../crypto/keymat-v1.js';
import type { EspSuite } from '../../crypto/types.js';
import type { ConnectionId, IkeId } from '../../util/ids.js';
import type { Random } from '../../util/random.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis, Seconds } from '../../util/units.js';
import { IPSEC_DOI, V1Protocol } from '../../wire/ike/v1/registry.js';
import type { CloseReason } from '../events.js';
import { espEnds } from '../path/carriage.js';
import type { NetworkPair } from '../policy/carried-pairs.js';
import { pairsAround, samePair } from '../policy/quick-identities-v1.js';
import { enterChild, leaveChild } from '../sa/books.js';
import { spiBytes } from '../sa/esp-spi.js';
import { lifetime } from '../sa/lifetime.js';
import { emitInstall, emitRemove, reportChild, reportChildClosed, reportRescheduled } from '../sa/report.js';
import { type VolumeLimit, volumeLimit } from '../sa/volume.js';
import type { V1Child } from './child-record.js';
import { type IsakmpSa, isKeyed, type UpSa } from './isakmp-sa.js';
import { REPLACED_LINGERS, shorter } from './lifetimes.js';
import { sendInformational } from './send.js';
import { childrenOf, currentSa, type World } from './world.js';

/**
 * How long traffic stays on the SA that a rekey of ours replaces. The responder has the new one only when message
 * 3 is there and worked off, and a lost one is asked for again after seconds.
 */
const PEER_INSTALLS: Millis = 5_000;

/** What a quick mode agreed on. */
export interface AgreedChild {
  readonly pair: NetworkPair;
  readonly spiIn: number;
  readonly spiOut: number;
  readonly suite: EspSuite;
  readonly udp: boolean;
  readonly nonces: NoncePair;
  /** With PFS. Wiped here. */
  readonly shared: SecretKey | undefined;
  readonly initiated: boolean;
  readonly order: number;
  /** The peer's lifetime, if it told one. */
  readonly peerSeconds: Seconds | undefined;
  /** Volume that the negotiated transform allows, in units of 1024 octets (RFC 2407 §4.5). */
  readonly kilobytes: number | undefined;
}

/** Makes the keys (RFC 2409 §5.5) and hands the SAs to the data plane; a responder's only receive at first. */
export function installChild(world: World, sa: UpSa, agreed: AgreedChild): V1Child {
  const { ctx } = world;
  const { pair, spiIn, spiOut, suite, nonces, shared, initiated } = agreed;
  const { connection } = sa;
  const { protection } = sa.phase;
  const { prf } = protection;
  const { skeyidD } = protection.keys;
  // RFC 2409 §5.5: the SPI in KEYMAT is the one the receiver chose.
  const keysIn = deriveV1EspKeys(prf, skeyidD, suite, spiBytes(spiIn), nonces, shared);
  const keysOut = deriveV1EspKeys(prf, skeyidD, suite, spiBytes(spiOut), nonces, shared);
  shared?.wipe();
  // What sends meanwhile continues until the peer is known to have this one, or has overtaken it.
  const carried = childrenOf(world, connection.id).some((other) => other.sends && samePair(other.pair, pair));
  const sends = initiated && !carried;
  const id = ctx.nextId();
  const volume = volumeOf(ctx.random, suite, agreed.kilobytes);
  const times = lifetime(ctx.random, ctx.now, shorter(connection.childLifetime, agreed.peerSeconds));
  const child: V1Child = {
    id,
    connection: connection.id,
    pair,
    localTs: [pair.local],
    peerTs: [pair.peer],
    spiIn,
    spiOut,
    suite,
    encapsulation: agreed.udp ? 'udp' : 'esp',
    initiated,
    order: agreed.order,
    establishedAt: ctx.now,
    negotiatedSeconds: agreed.peerSeconds,
    volume,
    spent: false,
    reported: { ikeId: sa.id, rekeyAt: times.rekeyAt, narrowed: false },
    awaitsIsakmp: false,
    deleteAt: undefined,
    state: 'pending',
    sends,
    switchAt: undefined,
    ...times,
  };
  world.children.add(child);
  enterChild(world, child);
  emitInstall(ctx, child, { keysIn, keysOut }, espEnds(sa, child.encapsulation), sends);
  return child;
}

/** Whether the peer receives on this SPI already: packets of the two SAs could not be distinguished there. */
export function isPeerSpiInUse(world: World, connection: ConnectionId, spi: number): boolean {
  return world.children.byOutboundSpi(connection, spi) !== undefined;
}

/** The bounds every child SA has, and a negotiated one where it is lower. */
export function volumeOf(random: Random, suite: EspSuite, kilobytes: number | undefined): VolumeLimit {
  const limit = volumeLimit(random, suite);
  const most = (kilobytes ?? Number.POSITIVE_INFINITY) * 1024;
  if (most >= limit.expiresAt.bytes) return limit;
  const part = limit.rekeyAt.bytes / limit.expiresAt.bytes;
  return {
    rekeyAt: { ...limit.rekeyAt, bytes: Math.floor(most * part) },
    expiresAt: { ...limit.expiresAt, bytes: most },
  };
}

/**
 * Both ends have the SAs. Of several for one pair of networks the one whose quick mode began last sends. The
 * initiator of that quick mode deletes those that were established before it; all others live on until they expire, so
 * that no end deletes what the other still sends on.
 */
export function establishChild(world: World, sa: UpSa, child: V1Child): void {
  const { ctx } = world;
  const rivals = childrenOf(world, child.connection).filter(
    (other) => other !== child && other.state !== 'pending' && samePair(other.pair, child.pair),
  );
  const newer = rivals.some((other) => other.order > child.order);
  child.state = newer ? 'superseded' : 'current';
  let replaces: V1Child | undefined;
  for (const other of rivals) {
    if (other.order > child.order) continue;
    if (other.state === 'current') replaces = other;
    other.state = 'superseded';
    if (child.initiated) other.deleteAt ??= ctx.now + REPLACED_LINGERS;
  }
  if (!newer) {
    if (child.initiated && !child.sends) child.switchAt = switchTime(world, child);
    else activate(world, child);
  }
  report(world, sa, child, replaces);
}

/** When traffic moves at last: before the peer has removed what carries it now. */
function switchTime(world: World, { connection, pair }: V1Child): Millis {
  const { now } = world.ctx;
  const carrying = childrenOf(world, connection).filter((other) => other.sends && samePair(other.pair, pair));
  const end = Math.max(now, ...carrying.map((other) => other.expiresAt));
  return now + Math.min(PEER_INSTALLS, Math.floor((end - now) / 2));
}

/** Traffic moves to an SA that waits for it: the peer uses it, or has had the time to install it. */
export function switchTo(world: World, child: V1Child): void {
  if (child.state === 'current' && child.switchAt !== undefined) activate(world, child);
}

/** The peer asks for message 3 again, so it has no use of the SA yet. */
export function waitLonger(world: World, connection: ConnectionId, spiIn: number): void {
  for (const child of childrenOf(world, connection)) {
    if (child.spiIn === spiIn && child.switchAt !== undefined) child.switchAt = switchTime(world, child);
  }
}

function activate(world: World, child: V1Child): void {
  child.switchAt = undefined;
  if (child.sends) return;
  child.sends = true;
  world.ctx.emit({ kind: 'activate-outbound', childId: child.id });
}

function report(world: World, sa: UpSa, child: V1Child, replaces: V1Child | undefined): void {
  const { ctx } = world;
  // A part of what another SA carries as a whole takes nothing away.
  const narrowed = pairsAround(sa.connection, child.pair).some(
    (whole) => !isCarried(world, child.connection, whole),
  );
  child.reported = { ikeId: sa.id, rekeyAt: child.rekeyAt, narrowed };
  reportChild(ctx, sa.id, child, { narrowed, replaces: replaces?.id });
}

/** The ESP SAs are rekeyed at another time than was reported; before that, nothing is to be corrected. */
export function reportMovedChild({ ctx }: World, child: V1Child, ikeId: IkeId): void {
  if (child.state === 'pending') return;
  child.reported = { ...child.reported, rekeyAt: child.rekeyAt };
  reportRescheduled(ctx, child.connection, ikeId, child, child.id);
}

/**
 * Takes SAs out of use here. When an older pair of SAs for the same networks is left, the newest of them
 * sends again.
 */
export function removeChild(world: World, child: V1Child, reason: CloseReason): void {
  if (!world.children.remove(child)) return;
  if (childrenOf(world, child.connection).length === 0) world.orphans.delete(child.connection);
  leaveChild(world, child);
  emitRemove(world.ctx, child, reason);
  if (child.state === 'pending') return;
  const wasCurrent = child.state === 'current';
  const rivals = childrenOf(world, child.connection).filter((other) => samePair(other.pair, child.pair));
  // It may be the one that carried the traffic.
  for (const other of rivals) switchTo(world, other);
  reportChildClosed(world.ctx, child, reason);
  if (!wasCurrent) return;
  const left = rivals.filter((other) => other.state === 'superseded');
  const heir = left.reduce<V1Child | undefined>(
    (a, b) => (a === undefined || b.order > a.order ? b : a),
    undefined,
  );
  if (heir === undefined) return;
  heir.state = 'current';
  heir.deleteAt = undefined;
  activate(world, heir);
}

/** Informs the peer that we do not receive on these SPIs any more (RFC 2408 §3.15). Nothing answers it. */
export function announceDelete(world: World, sa: IsakmpSa, spis: readonly number[]): void {
  if (spis.length === 0 || !isKeyed(sa)) return;
  sendInformational(world, sa, [
    { kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.ESP, spis: spis.map(spiBytes) },
  ]);
}

/** Removes SAs and sends the peer a DELETE. */
export function deleteChild(world: World, child: V1Child, reason: CloseReason): void {
  const sa = currentSa(world, child.connection);
  if (sa !== undefined) announceDelete(world, sa, [child.spiIn]);
  removeChild(world, child, reason);
}

/** Whether SAs for the pair are there or on their way. */
export function isCarried(world: World, connection: ConnectionId, pair: NetworkPair): boolean {
  return childrenOf(world, connection).some(
    (child) => child.state !== 'superseded' && samePair(child.pair, pair),
  );
}
