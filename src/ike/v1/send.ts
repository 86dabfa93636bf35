import { hash1 } from '../../crypto/keymat-v1.js';
import { concat, readU32 } from '../../util/bytes.js';
import type { Endpoint } from '../../util/ip.js';
import { summarizeV1 } from '../../wire/ike/v1/dissect.js';
import { encodeV1Message, encodeV1Payloads } from '../../wire/ike/v1/message.js';
import type { V1Header, V1NotifyPayload, V1Payload } from '../../wire/ike/v1/payloads.js';
import { IPSEC_DOI, V1Exchange, V1Protocol, v1NameOf } from '../../wire/ike/v1/registry.js';
import type { DatagramInput } from '../inputs.js';
import { type NotifyContent, notification } from '../payloads.js';
import { Retransmission } from '../sa/retransmission.js';
import { fragmentsOf } from './fragments.js';
import { type IsakmpSa, isUp, type KeyedSa, type StartingSa } from './isakmp-sa.js';
import { MAX_EXCHANGES, REKEY_AT } from './message-ids.js';
import type { IvChain, V1Protection } from './protect.js';
import type { Inbound, World } from './world.js';

/** Where a datagram goes. */
export interface Route {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly natTraversalPort: boolean;
}

/** Returns the ISAKMP header of a message of ours, in the clear (RFC 2408 §3.1). */
export function headerOf(sa: IsakmpSa, exchangeType: number, messageId: number): V1Header {
  return {
    initiatorCookie: sa.initiatorCookie,
    responderCookie: sa.responderCookie,
    minorVersion: 0,
    exchangeType,
    encrypted: false,
    commit: false,
    authenticationOnly: false,
    messageId,
  };
}

/** Main mode message in the clear. */
export function clearMain(world: World, sa: IsakmpSa, payloads: readonly V1Payload[]): Uint8Array {
  const header = headerOf(sa, V1Exchange.MAIN_MODE, 0);
  report(world, sa, header, payloads);
  return encodeV1Message(header, payloads);
}

/** Main mode message 5 or 6. */
export function sealedMain(
  world: World,
  sa: IsakmpSa,
  protection: V1Protection,
  payloads: readonly V1Payload[],
): Uint8Array {
  const header = headerOf(sa, V1Exchange.MAIN_MODE, 0);
  report(world, sa, header, payloads);
  return protection.seal(protection.phase1, header, payloads);
}

/** What an exchange after main mode is protected by. */
export interface ProtectedExchange {
  readonly protection: V1Protection;
  readonly type: number;
  readonly messageId: number;
  readonly chain: IvChain;
}

/** A quick mode or informational message whose payloads follow a HASH over them. */
export function sealedWithHash(
  world: World,
  sa: IsakmpSa,
  exchange: ProtectedExchange,
  payloads: readonly V1Payload[],
  hash: (payloads: Uint8Array) => Uint8Array,
): Uint8Array {
  const data = hash(encodeV1Payloads(payloads).bytes);
  const all: V1Payload[] = [{ kind: 'hash', data }, ...payloads];
  const header = headerOf(sa, exchange.type, exchange.messageId);
  report(world, sa, header, all);
  return exchange.protection.seal(exchange.chain, header, all);
}

/** A message id that no exchange of the SA has had (RFC 2408 §3.1): not zero. Counts as used. */
export function freshMessageId(world: World, sa: IsakmpSa): number {
  for (;;) {
    const id = readU32(world.ctx.random.bytes(4), 0);
    if (id === 0 || sa.messageIds.has(id)) continue;
    noteExchange(world, sa, id);
    return id;
  }
}

/** An exchange with this message id has begun and is authentic. */
export function noteExchange(world: World, sa: IsakmpSa, messageId: number): void {
  sa.messageIds.add(messageId);
  if (!isUp(sa)) return;
  const { now } = world.ctx;
  const { session } = sa.phase;
  if (sa.messageIds.size >= MAX_EXCHANGES) session.expiresAt = Math.min(session.expiresAt, now);
  else if (sa.messageIds.size === REKEY_AT) session.rekeyAt = Math.min(session.rekeyAt, now);
}

/** Sends an informational exchange, protected by HASH(1) (RFC 2409 §5.7). It is not answered. */
export function sendInformational(world: World, sa: KeyedSa, payloads: readonly V1Payload[]): Uint8Array {
  return sendUnder(world, sa, sa.phase.protection, payloads);
}

/** The same under keys that the SA has not taken up. */
export function sendUnder(
  world: World,
  sa: IsakmpSa,
  protection: V1Protection,
  payloads: readonly V1Payload[],
): Uint8Array {
  const messageId = freshMessageId(world, sa);
  const chain = protection.exchange(messageId);
  const { prf, keys } = protection;
  const exchange = { protection, type: V1Exchange.INFORMATIONAL, messageId, chain };
  const bytes = sealedWithHash(world, sa, exchange, payloads, (behind) =>
    hash1(prf, keys.skeyidA, messageId, behind),
  );
  transmit(world, sa, bytes);
  return bytes;
}

/** Sends a message of phase 1 and repeats it until it is answered. */
export function sendPending(world: World, sa: StartingSa, bytes: Uint8Array): void {
  const { ctx } = world;
  sa.phase.pending = { bytes, retransmission: new Retransmission(ctx.limits.retransmit, ctx.now) };
  transmit(world, sa, bytes);
}

/** Sends octets to the peer, in fragments when they are many and the peer can put them together. */
export function transmit(world: World, sa: IsakmpSa, bytes: Uint8Array, route: Route = sa): void {
  const { local, remote, natTraversalPort } = route;
  const pieces = 'terms' in sa.phase && sa.phase.terms.fragmentation ? inPieces(sa, bytes) : [bytes];
  for (const piece of pieces) world.ctx.emit({ kind: 'send', local, remote, natTraversalPort, bytes: piece });
}

function inPieces(sa: IsakmpSa, bytes: Uint8Array): Uint8Array[] {
  sa.fragmentsSent = (sa.fragmentsSent % 0xffff) + 1;
  return fragmentsOf(bytes, headerOf(sa, V1Exchange.MAIN_MODE, 0), sa.fragmentsSent);
}

/** Back to where a datagram came from. */
export function routeOf({ local, remote, natTraversalPort }: DatagramInput): Route {
  return { local, remote, natTraversalPort };
}

/** Raises `retransmit` for the attempt that is about to be sent. */
export function reportRetransmission(world: World, sa: IsakmpSa, exchange: number, attempt: number): void {
  world.ctx.event({
    kind: 'retransmit',
    ...(sa.connection === undefined ? {} : { connection: sa.connection.id }),
    ikeId: sa.id,
    exchange: v1NameOf('exchange', exchange),
    attempt,
    peer: sa.remote,
  });
}

/** An error in the clear to someone without an SA, bounded in number: a hint that the sender cannot rely on. */
export function refuseInClear(
  world: World,
  message: Inbound,
  type: number,
  responderCookie?: Uint8Array,
): void {
  const { ctx } = world;
  if (!world.unauthenticated.take(ctx.now)) return;
  const header: V1Header = {
    ...message.header,
    ...(responderCookie === undefined ? {} : { responderCookie }),
    minorVersion: 0,
    exchangeType: V1Exchange.INFORMATIONAL,
    encrypted: false,
    commit: false,
    authenticationOnly: false,
    messageId: readU32(ctx.random.bytes(4), 0),
  };
  sendInClear(world, message.datagram, header, [notify(type)]);
}

/** An answer that belongs to no SA here. */
export function sendInClear(
  { ctx }: World,
  datagram: DatagramInput,
  header: V1Header,
  payloads: readonly V1Payload[],
): void {
  ctx.event({
    kind: 'message',
    direction: 'out',
    peer: datagram.remote,
    summary: summarizeV1(header, payloads),
  });
  ctx.emit({ kind: 'send', ...routeOf(datagram), bytes: encodeV1Message(header, payloads) });
}

/** A notification (RFC 2408 §3.14), by default about the ISAKMP SA and without an SPI. */
export function notify(type: number, content: NotifyContent = {}): V1NotifyPayload {
  return { doi: IPSEC_DOI, ...notification(type, { protocol: V1Protocol.ISAKMP, ...content }) };
}

/** The SPI that names an ISAKMP SA: both cookies (RFC 2408 §3.15). */
export function isakmpSpi(sa: IsakmpSa): Uint8Array {
  return concat(sa.initiatorCookie, sa.responderCookie);
}

/** A message of the peer that was decrypted and is authentic. */
export function reportOpened(
  world: World,
  sa: IsakmpSa,
  message: Inbound,
  payloads: readonly V1Payload[],
): void {
  world.ctx.event({
    kind: 'message',
    direction: 'in',
    peer: message.datagram.remote,
    ...(sa.connection === undefined ? {} : { connection: sa.connection.id }),
    ikeId: sa.id,
    summary: summarizeV1(message.header, payloads),
  });
}

function report(world: World, sa: IsakmpSa, header: V1Header, payloads: readonly V1Payload[]): void {
  world.ctx.event({
    kind: 'message',
    direction: 'out',
    peer: sa.remote,
    ...(sa.connection === undefined ? {} : { connection: sa.connection.id }),
    ikeId: sa.id,
    summary: summarizeV1(header, payloads),
  });
}
