import { summarize } from '../../wire/ike/dissect.js';
import { encodeMessage } from '../../wire/ike/message.js';
import type { IkeHeader, Payload } from '../../wire/ike/payloads.js';
import { ExchangeType, nameOf } from '../../wire/ike/registry.js';
import type { DatagramInput } from '../inputs.js';
import type { RetransmitPolicy } from '../limits.js';
import { Retransmission } from '../retransmission.js';
import type { IkeSa } from './ike-sa.js';
import type { Task } from './tasks.js';
import type { Inbound, World } from './world.js';

/** Header of a message that this end sends on an SA. */
export function headerOf(sa: IkeSa, exchangeType: number, messageId: number, response: boolean): IkeHeader {
  return {
    initiatorSpi: sa.initiatorSpi,
    responderSpi: sa.responderSpi,
    majorVersion: 2,
    minorVersion: 0,
    exchangeType,
    fromInitiator: sa.role === 'initiator',
    higherVersion: false,
    response,
    messageId,
  };
}

/** Header of an answer that is given without an SA. */
export function statelessAnswerHeader(request: IkeHeader): IkeHeader {
  return {
    ...request,
    majorVersion: 2,
    minorVersion: 0,
    fromInitiator: false,
    higherVersion: false,
    response: true,
  };
}

/** Sends a request for the first time and keeps it until it is answered. */
export function sendRequest(
  world: World,
  sa: IkeSa,
  task: Task,
  exchangeType: number,
  payloads: readonly Payload[],
  policy: RetransmitPolicy,
): Uint8Array {
  const header = headerOf(sa, exchangeType, sa.nextMessageId, false);
  const bytes = encode(sa, header, payloads);
  sa.active = {
    task,
    exchangeType,
    messageId: sa.nextMessageId,
    bytes,
    sentAt: world.ctx.now,
    retransmission: new Retransmission(policy, world.ctx.now),
  };
  report(world, sa, header, payloads);
  transmit(world, sa, bytes);
  return bytes;
}

/**
 * Answers a request and keeps the answer for its repetitions. It goes where the request came from
 * (RFC 7296 §2.11), which need not be where our own requests go.
 */
export function respond(world: World, sa: IkeSa, request: Inbound, payloads: readonly Payload[]): Uint8Array {
  const header = headerOf(sa, request.header.exchangeType, request.header.messageId, true);
  const bytes = encode(sa, header, payloads);
  sa.inbound.answered(request.datagram.bytes, bytes);
  report(world, sa, header, payloads);
  reply(world, request.datagram, bytes);
  return bytes;
}

/** Sends the request under way once more. */
export function resend(world: World, sa: IkeSa): void {
  const active = sa.active!;
  world.ctx.event({
    kind: 'retransmit',
    ...(sa.connection === undefined ? {} : { connection: sa.connection.name }),
    ikeId: sa.id,
    exchange: nameOf('exchange', active.exchangeType),
    attempt: active.retransmission.sent,
    peer: sa.remote,
  });
  transmit(world, sa, active.bytes);
}

/** Sends octets back to where a datagram came from. */
export function reply(world: World, datagram: DatagramInput, bytes: Uint8Array): void {
  const { local, remote, natTraversalPort } = datagram;
  world.ctx.emit({ kind: 'send', local, remote, natTraversalPort, bytes });
}

/** An answer without an SA and without protection: for a request that makes no state. */
export function replyStateless(world: World, request: Inbound, payloads: readonly Payload[]): void {
  const header = statelessAnswerHeader(request.header);
  const summary = summarize(header, payloads);
  world.ctx.event({ kind: 'message', direction: 'out', peer: request.datagram.remote, summary });
  reply(world, request.datagram, encodeMessage(header, payloads));
}

function encode(sa: IkeSa, header: IkeHeader, payloads: readonly Payload[]): Uint8Array {
  if (header.exchangeType === ExchangeType.IKE_SA_INIT) return encodeMessage(header, payloads);
  if (sa.protection === undefined) throw new Error('a protected message needs the keys of its SA');
  return sa.protection.seal(header, payloads);
}

function transmit(world: World, sa: IkeSa, bytes: Uint8Array): void {
  const { local, remote, natTraversalPort } = sa;
  world.ctx.emit({ kind: 'send', local, remote, natTraversalPort, bytes });
}

function report(world: World, sa: IkeSa, header: IkeHeader, payloads: readonly Payload[]): void {
  world.ctx.event({
    kind: 'message',
    direction: 'out',
    peer: sa.remote,
    ...(sa.connection === undefined ? {} : { connection: sa.connection.name }),
    ikeId: sa.id,
    summary: summarize(header, payloads),
  });
}
