import { equalConstantTime } from '../../crypto/compare.js';
import { hash1 } from '../../crypto/keymat-v1.js';
import { equalBytes, readU32 } from '../../util/bytes.js';
import { type Millis, seconds } from '../../util/units.js';
import type { V1DeletePayload, V1NotifyPayload, V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Notify, V1Protocol } from '../../wire/ike/v1/registry.js';
import type { DatagramInput } from '../inputs.js';
import { noteQuirk } from '../quirks.js';
import { lifetime } from '../sa/lifetime.js';
import { drop } from '../sa/world.js';
import { askedAgain } from './answers.js';
import type { V1Child } from './child-record.js';
import { removeChild, reportMovedChild, volumeOf } from './children.js';
import { closeSa, dropForgotten, failSa } from './close.js';
import { reportMoved, setLifetime } from './established.js';
import { FIRST_STATUS_NOTIFY, mainRefused, quickRefused } from './failures.js';
import {
  heard,
  type IsakmpSa,
  type IsakmpSaIn,
  isIn,
  isUp,
  type KeyedSa,
  type StartingSa,
  type UpSa,
} from './isakmp-sa.js';
import { refuse, unreadable } from './main-initiator.js';
import { done } from './quick.js';
import { failQuick } from './quick-initiator.js';
import { followSource } from './renew.js';
import { announcedLifetime, decodeLifetime, MIN_LIFETIME } from './responder-lifetime.js';
import { isakmpSpi, noteExchange, notify, reportOpened, sendInformational } from './send.js';
import { childrenOf, type Inbound, upSasOf, type World } from './world.js';

/** Notifications and DELETEs of one message that are looked at: most messages have one, and some may be answered. */
const MAX_PAYLOADS = 16;
/** The least volume announced by the peer that counts as it is. */
const MIN_KILOBYTES = 1024;

/** Without protection: a hint for a main mode of ours that is under way, and nothing else. */
export function informationalInClear(world: World, sa: StartingSa, message: Inbound): void {
  const error = message.payloads.find(
    (one): one is V1NotifyPayload => one.kind === 'notify' && one.type < FIRST_STATUS_NOTIFY,
  );
  if (error === undefined) unprotected(world, sa, message);
  else refuse(world, sa, mainRefused(sa.connection, error, WAITING_FOR[sa.phase.at]));
}

const WAITING_FOR = { 'sa-sent': 'message 2', 'ke-sent': 'message 4', 'id-sent': 'message 6' } as const;

/** Drops an informational exchange without protection: anyone could have sent it (RFC 2409 §5.7). */
export function unprotected(world: World, _sa: IsakmpSa, { datagram }: Inbound): void {
  drop(world, datagram, 'unexpected', 'an informational exchange without protection');
}

/** HDR*, HASH(1), N or D (RFC 2409 §5.7). */
export function informational(world: World, sa: KeyedSa, message: Inbound, sealed: V1Sealed): void {
  const { ctx } = world;
  const { header, datagram } = message;
  const { messageId } = header;
  const { protection } = sa.phase;
  if (sa.messageIds.has(messageId)) {
    drop(world, datagram, 'outside_window', 'an exchange with this message id came before');
    return;
  }
  const opened = protection.open(protection.exchange(messageId), sealed);
  const first = opened.ok ? opened.value.payloads[0] : undefined;
  const authentic =
    opened.ok &&
    first?.kind === 'hash' &&
    equalConstantTime(
      hash1(
        protection.prf,
        protection.keys.skeyidA,
        messageId,
        opened.value.plaintext.subarray(4 + first.data.length),
      ),
      first.data,
    );
  if (!opened.ok || !authentic) {
    if (sa.state === 'id-sent' && (datagram.natTraversalPort || !askedAgain(sa))) unreadable(world, sa);
    drop(world, datagram, 'decryption_failed', 'HASH(1) of an informational exchange does not hold');
    return;
  }
  reportOpened(world, sa, message, opened.value.payloads);
  noteExchange(world, sa, messageId);
  if (isUp(sa) && ctx.budget.request(sa.connection.id, ctx.now) !== 'serve') {
    drop(world, datagram, 'rate_limited', 'more requests than the peer of one connection may make');
    return;
  }
  // Payloads are looked at in order; one that ends the SA ends the walk.
  const payloads = opened.value.payloads.slice(1, 1 + MAX_PAYLOADS);
  let alive = payloads.length === 0;
  // More than the connection may have can only be names of nothing, or one name again and again.
  const names = { left: ctx.budget.childLimit(sa.connection.id) };
  for (const payload of payloads) {
    if (sa.state === 'gone') return;
    const probe =
      payload.kind === 'notify' &&
      (payload.type === V1Notify.R_U_THERE || payload.type === V1Notify.R_U_THERE_ACK);
    if (probe) alive = probed(world, sa, payload, datagram) || alive;
    else alive = true;
    if (payload.kind === 'delete') deleted(world, sa, payload, names);
    else if (payload.kind === 'notify' && !probe) notified(world, sa, payload);
  }
  if (isUp(sa) && alive) heard(sa, ctx.now);
}

/**
 * Dead peer detection (RFC 3706). Says whether the message is new: an acknowledgement counts only as the answer to
 * what was asked last, and a question only when its number is not below that of the one before.
 */
function probed(world: World, sa: KeyedSa, payload: V1NotifyPayload, datagram: DatagramInput): boolean {
  if (!isUp(sa) || payload.data.length !== 4) return false;
  const { dpd } = sa.phase.session;
  const number = readU32(payload.data, 0);
  const follow = (): void => {
    if (datagram.natTraversalPort) followSource(world, sa, datagram.remote);
  };
  if (payload.type === V1Notify.R_U_THERE_ACK) {
    const time = dpd.roundTrip(world.ctx.now);
    const answers = dpd.acknowledged(number);
    if (answers) {
      if (time !== undefined) reportRoundTrip(world, sa, time);
      follow();
    }
    return answers;
  }
  const asked = dpd.asked(number);
  if (asked === 'old') return false;
  if (asked === 'new') follow();
  sendInformational(world, sa, [
    notify(V1Notify.R_U_THERE_ACK, { spi: isakmpSpi(sa), data: payload.data.slice() }),
  ]);
  return true;
}

/** R-U-THERE asks for nothing but its acknowledgement (RFC 3706 §5): its time is that of the way. */
function reportRoundTrip({ ctx }: World, { connection, id }: KeyedSa, time: Millis): void {
  ctx.event({ kind: 'round-trip', connection: connection.id, ikeId: id, exchange: 'R-U-THERE', time });
}

function notified(world: World, sa: KeyedSa, payload: V1NotifyPayload): void {
  if (sa.state === 'id-sent') {
    // The peer has our key and says, protected by it, that it refuses us.
    if (payload.type < FIRST_STATUS_NOTIFY)
      failSa(world, sa, mainRefused(sa.connection, payload, 'message 6'));
    return;
  }
  if (!isUp(sa)) return;
  switch (payload.type) {
    case V1Notify.RESPONDER_LIFETIME:
      shorten(world, sa, payload);
      return;
    case V1Notify.INITIAL_CONTACT:
      dropForgotten(world, sa, sa.connection);
      return;
    case V1Notify.INVALID_SPI:
      removeByOutboundSpi(world, sa, payload.spi.length === 4 ? payload.spi : payload.data.subarray(0, 4));
      return;
    default:
      if (payload.type < FIRST_STATUS_NOTIFY) refused(world, sa, payload);
  }
}

/** An error about a quick mode of ours: the one with its SPI, or the only one. */
function refused(world: World, sa: UpSa, payload: V1NotifyPayload): void {
  const open = [...sa.phase.session.quicks.values()].filter((quick) => quick.state === 'sent');
  const named =
    payload.spi.length === 4 ? open.find((one) => one.spiIn === readU32(payload.spi, 0)) : undefined;
  const quick = named ?? (open.length === 1 ? open[0] : undefined);
  if (quick !== undefined) failQuick(world, sa, quick, quickRefused(sa.connection, payload.type));
}

/** The responder keeps its SA for less time than we asked for (RFC 2407 §4.6.3.1). */
function shorten(world: World, sa: UpSa, payload: V1NotifyPayload): void {
  if (payload.protocol !== V1Protocol.ISAKMP) {
    shortenChild(world, sa, payload);
    return;
  }
  const told = announcedLifetime(payload);
  const { session } = sa.phase;
  if (told === undefined || session.establishedAt + seconds(told) >= session.expiresAt) return;
  setLifetime(sa, told, lifetime(world.ctx.random, session.establishedAt, told));
  reportMoved(world, sa);
}

/** The same of an ESP SA, named by the SPI of either direction. */
function shortenChild(world: World, sa: UpSa, payload: V1NotifyPayload): void {
  if (payload.protocol !== V1Protocol.ESP || payload.spi.length !== 4) return;
  const spi = readU32(payload.spi, 0);
  const { ctx } = world;
  const children = childrenOf(world, sa.connection.id);
  const child = children.find((one) => one.spiOut === spi || one.spiIn === spi);
  if (child === undefined) return;
  const life = decodeLifetime('ipsec', payload.data);
  const told = Math.max(MIN_LIFETIME, life.seconds ?? Number.POSITIVE_INFINITY);
  if (child.establishedAt + seconds(told) < child.expiresAt) {
    child.negotiatedSeconds = told;
    const { rekeyAt, expiresAt } = lifetime(ctx.random, child.establishedAt, told);
    Object.assign(child, { rekeyAt, expiresAt });
    reportMovedChild(world, child, sa.id);
  }
  const kilobytes = Math.max(MIN_KILOBYTES, life.kilobytes ?? Number.POSITIVE_INFINITY);
  if (kilobytes * 1024 < child.volume.expiresAt.bytes) {
    child.volume = volumeOf(ctx.random, child.suite, kilobytes);
  }
}

/** It takes the peer's word on ESP SAs. */
type NamingSa = IsakmpSaIn<'established' | 'superseded' | 'closing'>;

/** `names`: SPIs that are still looked for, of all DELETE payloads of the message together. */
function deleted(world: World, sa: KeyedSa, payload: V1DeletePayload, names: { left: number }): void {
  if (!isUp(sa) && !isIn(sa, 'closing')) return;
  if (payload.protocol === V1Protocol.ESP) {
    const spis = payload.spis.slice(0, names.left);
    names.left -= spis.length;
    for (const spi of spis) {
      if (!removeByOutboundSpi(world, sa, spi)) removeByOwnSpi(world, sa, spi);
    }
    return;
  }
  if (payload.protocol !== V1Protocol.ISAKMP) return;
  const name = sa.connection.id;
  for (const other of upSasOf(world, name)) {
    if (!payload.spis.some((spi) => equalBytes(spi, isakmpSpi(other)))) continue;
    closeSa(world, other, other.phase.at === 'superseded' ? 'rekeyed' : 'peer-deleted');
  }
}

/** The peer does not receive on this SPI any more. */
function removeByOutboundSpi(world: World, sa: NamingSa, spi: Uint8Array): boolean {
  if (spi.length !== 4) return false;
  const child = world.children.byOutboundSpi(sa.connection.id, readU32(spi, 0));
  if (child !== undefined) removeNamed(world, sa, child);
  return child !== undefined;
}

/** Some peers name the SPI that they send on, where RFC 2408 §3.15 means the one that they receive on. */
function removeByOwnSpi(world: World, sa: NamingSa, spi: Uint8Array): void {
  const number = spi.length === 4 ? readU32(spi, 0) : 0;
  if (!world.espSpis.has(number)) return;
  const child = childrenOf(world, sa.connection.id).find((one) => one.spiIn === number);
  if (child === undefined) return;
  removeNamed(world, sa, child);
  noteQuirk(world.ctx, sa, 'delete_of_other_spi');
}

function removeNamed(world: World, sa: NamingSa, child: V1Child): void {
  const { quicks } = sa.phase.session;
  for (const quick of quicks.values())
    if (quick.state === 'answered' && quick.child === child)
      quicks.set(quick.messageId, done(quick, world.ctx.now));
  removeChild(world, child, child.state === 'superseded' ? 'rekeyed' : 'peer-deleted');
}
