import { equalBytes, toHex } from '../../util/bytes.js';
import { ok, type Result } from '../../util/result.js';
import type { WireError } from '../../wire/error.js';
import { describeWireError, summarize } from '../../wire/ike/dissect.js';
import { decodeHeader, decodeMessage, withoutTrailingZeros } from '../../wire/ike/message.js';
import type { IkeMessage, SkfPayload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType, nameOf } from '../../wire/ike/registry.js';
import type { DatagramInput } from '../inputs.js';
import { noteQuirk } from '../quirks.js';
import { failure } from '../sa/failures.js';
import { drop } from '../sa/world.js';
import { enterAnswer, firstOf, onFirst, refuseAnswer } from './answers.js';
import { completeKeys } from './auth-responder.js';
import { activateStandby } from './child.js';
import { beginDelete, closeSa, failSa } from './close.js';
import { synchronizes } from './cluster-takeover.js';
import { refuseForNow } from './create-child-responder.js';
import { confirmSurvivor } from './duplicates.js';
import { type IkeSa, type IkeSaIn, isAnsweredSa, isEstablished, isIn, isServing } from './ike-sa.js';
import { initRequested, mayBeDecoded } from './init-responder.js';
import { notify } from './payloads.js';
import { followSource } from './peer-path.js';
import { decodeInner, type OpenError, type Protection } from './protect.js';
import { type Placed, Reassembly } from './reassembly.js';
import { isEncryptedAnew } from './repetition.js';
import { reply, replyStateless, respond } from './send.js';
import { takeUpRival } from './succession.js';
import { dispatch } from './transitions.js';
import type { Inbound, World } from './world.js';

/** An IKEv2 datagram, from anyone. What costs more comes after what costs less. */
export function receive(world: World, datagram: DatagramInput): void {
  if (!isWorthDecoding(world, datagram)) return;
  const decoded = decodeMessage(datagram.bytes);
  if (!decoded.ok) {
    drop(world, datagram, 'malformed', describeWireError(decoded.error));
    refuseCritical(world, datagram, decoded.error);
    return;
  }
  // AUTH and the integrity check cover the message alone.
  const bytes = withoutTrailingZeros(datagram.bytes);
  const padded = bytes.length < datagram.bytes.length;
  const message: Inbound = { datagram: padded ? { ...datagram, bytes } : datagram, padded, ...decoded.value };
  if (message.header.exchangeType === ExchangeType.IKE_SA_INIT) receiveInit(world, message);
  else receiveProtected(world, message);
}

/**
 * What the header alone can show: a message must be of an SA that is here, and while many first requests come, one
 * without a cookie gets one and is read no further.
 */
function isWorthDecoding(world: World, datagram: DatagramInput): boolean {
  const decoded = decodeHeader(datagram.bytes);
  if (!decoded.ok) return true;
  const header = decoded.value;
  if (header.exchangeType !== ExchangeType.IKE_SA_INIT) {
    if (world.table.has(toHex(header.fromInitiator ? header.responderSpi : header.initiatorSpi))) return true;
    unknownSpi(world, { header, datagram });
    return false;
  }
  if (header.response) return world.table.has(toHex(header.initiatorSpi)) || notAsked(world, datagram);
  const { busy, crowded } = world.load;
  return !(busy || crowded) || mayBeDecoded(world, { header, datagram });
}

function notAsked(world: World, datagram: DatagramInput): false {
  drop(world, datagram, 'unknown_spi', 'an IKE_SA_INIT answer to a request that is not ours');
  return false;
}

function unknownSpi(world: World, message: Pick<Inbound, 'header' | 'datagram'>): void {
  refuseUnknownSpi(world, message);
  const name = nameOf('exchange', message.header.exchangeType);
  drop(world, message.datagram, 'unknown_spi', `no IKE SA has the SPIs of this ${name}`);
}

/**
 * A first request with an unknown critical payload is answered with that notification (RFC 7296 §2.5), without state.
 */
function refuseCritical(world: World, datagram: DatagramInput, error: WireError): void {
  const { payloadType } = error;
  if (error.code !== 'unsupported_critical_payload' || payloadType === undefined) return;
  const header = decodeHeader(datagram.bytes);
  if (!header.ok) return;
  const { exchangeType, response, responderSpi } = header.value;
  const first = exchangeType === ExchangeType.IKE_SA_INIT && !response && responderSpi.every((o) => o === 0);
  if (!first || !world.unauthenticated.take(world.ctx.now)) return;
  const why = notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, Uint8Array.of(payloadType));
  replyStateless(world, { header: header.value, datagram }, [why]);
}

function receiveInit(world: World, message: Inbound): void {
  const { header, datagram } = message;
  if (!header.response) {
    if (!header.fromInitiator || header.responderSpi.some((octet) => octet !== 0)) {
      drop(world, datagram, 'malformed', 'an IKE_SA_INIT request with a responder SPI or without flag I');
      return;
    }
    report(world, message, undefined);
    initRequested(world, message);
    return;
  }
  const sa = world.table.find(toHex(header.initiatorSpi));
  if (sa?.role !== 'initiator' || header.fromInitiator) {
    notAsked(world, datagram);
    return;
  }
  // Not protected: that it comes from the address we asked is little, but all there is.
  if (header.messageId !== 0 || datagram.remote.address !== firstOf(sa)?.link.remote.address) {
    drop(world, datagram, 'outside_window', 'an IKE_SA_INIT answer that is not waited for');
    return;
  }
  report(world, message, sa);
  onFirst(sa, (first) => dispatch(world, first, message));
}

function receiveProtected(world: World, message: Inbound): void {
  const { header, datagram } = message;
  const sa = world.table.find(toHex(header.fromInitiator ? header.responderSpi : header.initiatorSpi));
  const sealed = message.payloads[message.payloads.length - 1];
  const isSealed = sealed?.kind === 'sk' || sealed?.kind === 'skf';
  if (sa !== undefined && isSealed) enterAnswer(sa, message, sealed);
  if (sa === undefined || !belongs(sa, message)) {
    unknownSpi(world, message);
    return;
  }
  if (synchronizes(world, sa, message, (inner) => report(world, inner, sa))) return;
  if (!isFresh(world, sa, message)) {
    if (sa.state === 'gone') refuseUnknownSpi(world, message);
    return;
  }
  if (!isSealed) {
    drop(world, datagram, 'unexpected', 'not protected');
    return;
  }
  if (sealed.kind === 'skf' && !mayBeFragment(world, sa, message, sealed)) return;
  if (isIn(sa, 'init-answered') && !mayProveItself(world, sa, message)) return;
  const { protection } = sa;
  if (protection === undefined) {
    refuseUnknownSpi(world, message);
    drop(world, datagram, 'unexpected', `in state ${sa.state}`);
    return;
  }
  if (sealed.kind === 'skf') collect(world, sa, message, { skf: sealed, protection });
  else open(world, sa, message, sealed, protection.openText(datagram.bytes, sealed));
}

/**
 * A request on an IKE SA that is gone here gets INVALID_IKE_SPI, so that a peer that still has it looks whether it
 * is alive (RFC 7296 §2.21.4). Anyone can order this answer: it is no longer than the request, and there are few.
 */
function refuseUnknownSpi(world: World, message: Pick<Inbound, 'header' | 'datagram'>): void {
  if (message.header.response || !world.unknownSpiAnswers.take(world.ctx.now)) return;
  replyStateless(world, message, [notify(NotifyType.INVALID_IKE_SPI)]);
}

/** Whether a fragment is worth opening: agreed on, within the bounds, and not here yet (RFC 7383 §2.6). */
function mayBeFragment(world: World, sa: IkeSa, message: Inbound, skf: SkfPayload): boolean {
  const { header, datagram } = message;
  const why = sa.link.fragmentation
    ? reassemblyOf(world, sa, header.response).refuses(header.messageId, skf)
    : 'a fragment, which was not agreed on';
  if (why !== undefined) drop(world, datagram, 'unexpected', why);
  return why === undefined;
}

function reassemblyOf(world: World, sa: IkeSa, response: boolean): Reassembly {
  const { messageBytes } = world.ctx.limits;
  const { link } = sa;
  link.reassembly ??= { request: new Reassembly(messageBytes), response: new Reassembly(messageBytes) };
  return response ? link.reassembly.response : link.reassembly.request;
}

/** Each fragment is authenticated before it is stored (RFC 7383 §2.6). The last one makes the message whole. */
function collect(
  world: World,
  sa: IkeSa,
  message: Inbound,
  { skf, protection }: { readonly skf: SkfPayload; readonly protection: Protection },
): void {
  const { header, datagram } = message;
  const opened = protection.openText(datagram.bytes, skf);
  if (!opened.ok) {
    open(world, sa, message, skf, opened);
    return;
  }
  // The request was handled before: the peer sends it again, cut in another way (RFC 7383 §2.5.2). Anyone who has
  // recorded it can: it is no sign of life.
  if (!header.response && header.messageId !== sa.inbound.next) {
    if (skf.fragment === 1) reply(world, datagram, sa.inbound.lastAnswer ?? []);
    return;
  }
  const placed = keep(world, sa, message, skf, opened.value);
  if (placed.kind === 'refused') drop(world, datagram, 'unexpected', placed.why);
  else sa.lastInbound = world.ctx.now;
  if (placed.kind !== 'complete') return;
  // The answer is kept for repetitions of the first fragment, and is sent to where the last one came from.
  const whole: Inbound = { ...message, datagram: { ...datagram, bytes: placed.firstDatagram } };
  open(world, sa, whole, { first: placed.first, offset: skf.offset }, ok(placed.text));
}

/**
 * Keeps the piece of a message. Who has not proved who it is takes up the room of half-open SAs, and must send from
 * where it began.
 */
function keep(world: World, sa: IkeSa, message: Inbound, skf: SkfPayload, text: Uint8Array): Placed {
  const { header, datagram } = message;
  const reassembly = reassemblyOf(world, sa, header.response);
  const { halfOpen } = world;
  const held = sa.phase.at === 'init-answered' ? sa.phase.negotiation : undefined;
  if (held !== undefined) {
    if (datagram.remote.address !== held.source)
      return { kind: 'refused', why: 'a fragment from another address than IKE_SA_INIT' };
    if (!halfOpen.hold(text.length))
      return { kind: 'refused', why: `half-open IKE SAs hold ${halfOpen.bytes} octets` };
  }
  const before = reassembly.size;
  const placed = reassembly.place(header.messageId, skf, text, datagram.bytes);
  if (held !== undefined) {
    const more = reassembly.size - before;
    halfOpen.release(text.length - more);
    held.held += more;
  }
  return placed;
}

/** Both SPIs and the direction are those of the SA. */
function belongs(sa: IkeSa, { header }: IkeMessage): boolean {
  return (
    header.fromInitiator === (sa.role === 'responder') &&
    equalBytes(header.initiatorSpi, sa.initiatorSpi) &&
    equalBytes(header.responderSpi, sa.responderSpi)
  );
}

/** Message id and exchange, before any octet is decrypted. Answers exact repetitions (RFC 7296 §2.1, §2.2). */
function isFresh(world: World, sa: IkeSa, message: Inbound): boolean {
  const { header, datagram } = message;
  if (header.response) {
    const { active } = sa;
    if (active?.messageId === header.messageId && active.exchangeType === header.exchangeType) return true;
    drop(world, datagram, 'outside_window', `no request ${header.messageId} is waiting for this answer`);
    return false;
  }
  const place = sa.inbound.place(header.messageId);
  if (place === 'new') return true;
  const cached = place === 'last' ? sa.inbound.answerTo(datagram.bytes) : undefined;
  if (cached !== undefined) reply(world, datagram, cached);
  else if (place === 'last' && isEncryptedAnew(world, sa, message))
    reply(world, datagram, sa.inbound.lastAnswer ?? []);
  else if (place === 'last' && isFirstFragment(message)) return sa.protection !== undefined;
  else drop(world, datagram, 'outside_window', `request ${header.messageId}, ${sa.inbound.next} is the next`);
  return false;
}

function isFirstFragment({ payloads }: IkeMessage): boolean {
  const last = payloads[payloads.length - 1];
  return last?.kind === 'skf' && last.fragment === 1;
}

/**
 * A half-open SA takes the additional key exchanges that were agreed on (RFC 9370 §2.2.2), then IKE_AUTH, and nothing
 * else; only now is its Diffie-Hellman exchange completed.
 */
function mayProveItself(world: World, sa: IkeSaIn<'init-answered'>, message: Inbound): boolean {
  const { header, datagram } = message;
  const due = sa.phase.left.length > 0 ? ExchangeType.IKE_INTERMEDIATE : ExchangeType.IKE_AUTH;
  if (header.exchangeType !== due || header.response) {
    const name = nameOf('exchange', header.exchangeType);
    drop(world, datagram, 'unexpected', `${name} where ${nameOf('exchange', due)} is due`);
    return false;
  }
  return completeKeys(world, sa) !== undefined;
}

/** What was opened is handled by the state of the SA. `sealed`: where the text begins, and with which payload. */
function open(
  world: World,
  sa: IkeSa,
  message: Inbound,
  sealed: { readonly first: number; readonly offset: number },
  text: Result<Uint8Array, OpenError>,
): void {
  const { header, datagram } = message;
  const opened = text.ok ? decodeInner(sealed.first, text.value, sealed.offset) : text;
  if (!opened.ok && opened.error.kind === 'unauthentic') {
    drop(world, datagram, 'decryption_failed', 'the integrity check value does not hold');
    return;
  }
  sa.lastInbound = world.ctx.now;
  followPath(world, sa, datagram);
  if (!opened.ok) {
    refuseMalformed(world, sa, message, opened.error);
    return;
  }
  if (message.padded) noteQuirk(world.ctx, sa, 'trailing_zeros');
  const inner: Inbound = {
    header,
    payloads: opened.value,
    datagram,
    ...(text.ok ? { text: text.value } : {}),
  };
  report(world, inner, sa);
  if (!header.response && !isWithinBudget(world, sa, inner)) return;
  const established = isEstablished(sa) ? sa : undefined;
  if (established !== undefined && !header.response) takeUpRival(world, established, inner.payloads);
  dispatch(world, sa, inner);
  if (established === undefined) return;
  if (sa.service !== undefined) sa.service.unconfirmed = false;
  activateStandby(world, sa);
  // What the initiator of the SA sends shows that it sends on it; its responder switches when it hears from us.
  if (header.response || sa.role === 'responder') confirmSurvivor(world, established);
}

/**
 * Whether the peer of a connection may have one more request served. One that creates something is asked to come
 * again (RFC 7296 §2.25); any other is left to its retransmission, as if it had been lost.
 */
function isWithinBudget(world: World, sa: IkeSa, message: Inbound): boolean {
  const { connection } = sa;
  // The sender that answered our first request has shown nothing yet that would make its requests the peer's.
  const verdict =
    connection === undefined || isAnsweredSa(sa)
      ? 'serve'
      : world.ctx.budget.request(connection.id, world.ctx.now);
  if (verdict === 'serve') return true;
  if (verdict === 'put-off' && message.header.exchangeType === ExchangeType.CREATE_CHILD_SA) {
    refuseForNow(world, sa, message);
  } else {
    drop(world, message.datagram, 'rate_limited', 'more requests than the peer of one connection may make');
  }
  return false;
}

/**
 * An authentic message that cannot be read. An unknown critical payload refuses the one request (RFC 7296
 * §2.5); anything else means that the two ends do not understand each other, and the IKE SA ends (§2.21.3).
 */
function refuseMalformed(world: World, sa: IkeSa, message: Inbound, error: OpenError): void {
  if (error.kind !== 'malformed') return;
  const wire = error.error;
  drop(world, message.datagram, 'malformed', describeWireError(wire));
  const reason = failure('invalid_syntax', `the peer sent what cannot be read: ${describeWireError(wire)}`);
  const critical = wire.code === 'unsupported_critical_payload' ? wire.payloadType : undefined;
  if (!message.header.response) {
    const why =
      critical === undefined
        ? notify(NotifyType.INVALID_SYNTAX)
        : notify(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, Uint8Array.of(critical));
    respond(world, sa, message, [why]);
    const halfOpen = sa.state === 'init-answered';
    if (critical !== undefined && !halfOpen) return;
    if (isServing(sa) || isIn(sa, 'deleting') || isIn(sa, 'auth-sent'))
      closeSa(world, sa, 'failed', reason, 'answer-repetitions');
    else failSa(world, sa, reason, 'answer-repetitions');
    return;
  }
  sa.active = undefined;
  sa.nextMessageId++;
  // The peer may believe the SA to be established.
  if (isAnsweredSa(sa)) refuseAnswer(world, sa, reason, isIn(sa, 'auth-sent'));
  else beginDelete(world, sa, 'failed', reason);
}

/**
 * The path of an authentic, new message becomes the SA's when the peer may have moved: with IKE_AUTH, where an
 * initiator changes to port 4500, and later for a peer behind a NAT, whose mapping may change (RFC 7296 §2.23).
 * An end behind a NAT itself is advised not to follow; with NATs at both ends neither end would otherwise.
 */
function followPath(world: World, sa: IkeSa, datagram: DatagramInput): void {
  const { local, remote, natTraversalPort } = datagram;
  const same =
    sa.remote.address === remote.address &&
    sa.remote.port === remote.port &&
    sa.natTraversalPort === natTraversalPort;
  if (same) return;
  if (sa.state === 'init-answered') {
    sa.local = local;
    sa.remote = remote;
    sa.natTraversalPort = natTraversalPort;
    return;
  }
  if (natTraversalPort) followSource(world, sa, remote);
}

function report(world: World, message: Inbound, sa: IkeSa | undefined): void {
  world.ctx.event({
    kind: 'message',
    direction: 'in',
    peer: message.datagram.remote,
    summary: summarize(message.header, message.payloads),
    ...(sa?.connection === undefined ? {} : { connection: sa.connection.id }),
    ...(sa === undefined ? {} : { ikeId: sa.id }),
  });
}
