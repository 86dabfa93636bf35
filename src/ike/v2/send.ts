import type { ByteCount } from '../../util/units.js';
import { summarize } from '../../wire/ike/dissect.js';
import { encodeMessage } from '../../wire/ike/message.js';
import type { IkeHeader, Payload } from '../../wire/ike/payloads.js';
import { ExchangeType, nameOf } from '../../wire/ike/registry.js';
import type { DatagramInput } from '../inputs.js';
import type { RetransmitPolicy } from '../limits.js';
import { Retransmission } from '../sa/retransmission.js';
import type { IkeSa } from './ike-sa.js';
import type { Exchange } from './tasks.js';
import type { SentRequest } from './window.js';
import type { Inbound, World } from './world.js';

const IPV4_HEADER = 20;
const IPV6_HEADER = 40;
const UDP_HEADER = 8;
/** RFC 3948 §2.2. */
const NON_ESP_MARKER = 4;
const IPV6_MINIMUM_MTU = 1280;

/** Header of a message that this end sends on an SA. */
export function headerOf(
  sa: Pick<IkeSa, 'role' | 'initiatorSpi' | 'responderSpi'>,
  exchangeType: number,
  messageId: number,
  response: boolean,
): IkeHeader {
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
function statelessAnswerHeader(request: IkeHeader): IkeHeader {
  return {
    ...request,
    majorVersion: 2,
    minorVersion: 0,
    // To a request that is not a first one the peer may have either role.
    fromInitiator: !request.fromInitiator,
    higherVersion: false,
    response: true,
  };
}

/** Sends a request for the first time and keeps it until it is answered. Returns its datagrams. */
export function sendRequest(
  world: World,
  sa: IkeSa,
  task: Exchange,
  exchangeType: number,
  payloads: readonly Payload[],
  policy: RetransmitPolicy,
): readonly Uint8Array[] {
  const header = headerOf(sa, exchangeType, sa.nextMessageId, false);
  const datagrams = encode(world, sa, header, payloads);
  sa.active = {
    task,
    exchangeType,
    messageId: sa.nextMessageId,
    datagrams,
    sentAt: world.ctx.now,
    retransmission: new Retransmission(policy, world.ctx.now),
  };
  report(world, sa, header, payloads, datagrams.length);
  transmit(world, sa, datagrams);
  return datagrams;
}

/**
 * Answers a request and keeps the answer for its repetitions. It is sent to where the request came from
 * (RFC 7296 §2.11), which need not be where our own requests go. Returns its datagrams.
 */
export function respond(
  world: World,
  sa: IkeSa,
  request: Inbound,
  payloads: readonly Payload[],
): readonly Uint8Array[] {
  const datagrams = answerBeside(world, sa, request, payloads);
  sa.inbound.answered(request.datagram.bytes, datagrams);
  return datagrams;
}

/** The same for a request that has no place among the peer's others. Returns the datagrams, which the caller keeps. */
export function answerBeside(
  world: World,
  sa: IkeSa,
  request: Inbound,
  payloads: readonly Payload[],
): readonly Uint8Array[] {
  const header = headerOf(sa, request.header.exchangeType, request.header.messageId, true);
  const datagrams = encode(world, sa, header, payloads);
  sendAnswer(world, sa, request, { header, payloads, datagrams });
  return datagrams;
}

/** Sends an answer that was encoded and kept already. */
export function sendAnswer(
  world: World,
  sa: IkeSa,
  request: Inbound,
  answer: {
    readonly header: IkeHeader;
    readonly payloads: readonly Payload[];
    readonly datagrams: readonly Uint8Array[];
  },
): void {
  const { header, payloads, datagrams } = answer;
  report(world, sa, header, payloads, datagrams.length);
  reply(world, request.datagram, datagrams);
}

/** Sends the request under way once more. */
export function resend(world: World, sa: IkeSa, active: SentRequest): void {
  world.ctx.event({
    kind: 'retransmit',
    ...(sa.connection === undefined ? {} : { connection: sa.connection.id }),
    ikeId: sa.id,
    exchange: nameOf('exchange', active.exchangeType),
    attempt: active.retransmission.sent,
    peer: sa.remote,
  });
  transmit(world, sa, active.datagrams);
}

/** Sends datagrams back to where one came from. */
export function reply(world: World, datagram: DatagramInput, answers: readonly Uint8Array[]): void {
  const { local, remote, natTraversalPort } = datagram;
  for (const bytes of answers) world.ctx.emit({ kind: 'send', local, remote, natTraversalPort, bytes });
}

/** An answer without an SA and without protection: for a request that makes no state. */
export function replyStateless(
  world: World,
  request: Pick<Inbound, 'header' | 'datagram'>,
  payloads: readonly Payload[],
): void {
  const header = statelessAnswerHeader(request.header);
  const summary = summarize(header, payloads);
  world.ctx.event({ kind: 'message', direction: 'out', peer: request.datagram.remote, summary });
  reply(world, request.datagram, [encodeMessage(header, payloads)]);
}

/** IKE_SA_INIT cannot be fragmented: nothing would authenticate the fragments (RFC 7383 §2.1). */
function encode(world: World, sa: IkeSa, header: IkeHeader, payloads: readonly Payload[]): Uint8Array[] {
  if (header.exchangeType === ExchangeType.IKE_SA_INIT) return [encodeMessage(header, payloads)];
  if (sa.protection === undefined) throw new Error('a protected message needs the keys of its SA');
  if (!sa.link.fragmentation) return [sa.protection.seal(header, payloads)];
  return sa.protection.sealWithin(header, payloads, longestMessage(sa, world.ctx.limits.fragmentPacket));
}

/**
 * Octets of IKE message that fit into one IP packet of the configured length. Every IPv6 path carries 1280
 * octets (RFC 8200 §5), so smaller ones are never needed there (RFC 7383 §2.5.1).
 */
function longestMessage(sa: IkeSa, packet: ByteCount): ByteCount {
  const v6 = sa.remote.address.includes(':');
  const ip = v6 ? Math.max(packet, IPV6_MINIMUM_MTU) - IPV6_HEADER : packet - IPV4_HEADER;
  return ip - UDP_HEADER - (sa.natTraversalPort ? NON_ESP_MARKER : 0);
}

function transmit(world: World, sa: IkeSa, datagrams: readonly Uint8Array[]): void {
  const { local, remote, natTraversalPort } = sa;
  for (const bytes of datagrams) world.ctx.emit({ kind: 'send', local, remote, natTraversalPort, bytes });
}

function report(
  world: World,
  sa: IkeSa,
  header: IkeHeader,
  payloads: readonly Payload[],
  fragments: number,
): void {
  const pieces = fragments === 1 ? '' : ` in ${fragments} fragments`;
  world.ctx.event({
    kind: 'message',
    direction: 'out',
    peer: sa.remote,
    ...(sa.connection === undefined ? {} : { connection: sa.connection.id }),
    ikeId: sa.id,
    summary: `${summarize(header, payloads)}${pieces}`,
  });
}
