import { copyOf, equalBytes, toHex } from '../../util/bytes.js';
import { describeWireError } from '../../wire/ike/dissect.js';
import { trailingZeros } from '../../wire/ike/message.js';
import { summarizeV1 } from '../../wire/ike/v1/dissect.js';
import { decodeV1Message } from '../../wire/ike/v1/message.js';
import type { V1FragmentPayload, V1Message } from '../../wire/ike/v1/payloads.js';
import { V1Exchange, V1Notify, V1PayloadType } from '../../wire/ike/v1/registry.js';
import type { DatagramInput } from '../inputs.js';
import { find } from '../payloads.js';
import { noteQuirk } from '../quirks.js';
import { nobodyKnown } from '../sa/failures.js';
import { drop } from '../sa/world.js';
import { enterFarthest, enterFor, isKnownAnswer, knowsResponder } from './answers.js';
import { mainFailure } from './failures.js';
import { FragmentBuffer } from './fragments.js';
import { type IsakmpSa, isHalfOpen, isUp } from './isakmp-sa.js';
import { refuse, saOffered } from './main-offered.js';
import { keOfferedAnew } from './main-responder.js';
import { provesPort } from './port-probe.js';
import { dispatch } from './transitions.js';
import type { Inbound, World } from './world.js';

/** RFC 2408 §3.1. */
const FLAGS_AT = 19;
const ENCRYPTED = 1;

/** A datagram of major version 1. */
export function receive(world: World, datagram: DatagramInput): void {
  const decoded = decodeV1Message(datagram.bytes);
  if (!decoded.ok) {
    drop(world, datagram, 'malformed', describeWireError(decoded.error));
    return;
  }
  const message: Inbound & V1Message = { ...decoded.value, datagram };
  const sa = findSa(world, message);
  // No encrypted chain begins with a fragment: racoon sets the flag on fragments of what is encrypted.
  if (message.sealed?.first === V1PayloadType.FRAGMENT) {
    if (sa !== undefined) noteQuirk(world.ctx, sa, 'encrypted_fragments');
    const bytes = copyOf(datagram.bytes);
    bytes[FLAGS_AT] = (bytes[FLAGS_AT] ?? 0) & ~ENCRYPTED;
    receive(world, { ...datagram, bytes });
    return;
  }
  if (sa === undefined && provesPort(world, message)) return;
  const fragment = find(message.payloads, 'fragment');
  if (fragment !== undefined) {
    reassemble(world, sa, message, fragment);
    return;
  }
  if (message.sealed === undefined) report(world, sa, message);
  if (sa === undefined) {
    withoutSa(world, message);
    return;
  }
  if (!withinPath(sa, datagram)) {
    drop(world, datagram, 'unexpected', 'a message of a main mode from another address than it began with');
    return;
  }
  if (message.padded === true || trailingZeros(datagram.bytes) > 0)
    noteQuirk(world.ctx, sa, 'trailing_zeros');
  if (isKnownAnswer(sa, datagram.bytes) && sa.role === 'initiator') return;
  if (!enterFor(sa, message, message.sealed)) {
    drop(world, datagram, 'unexpected', 'a message that none of the answers to our main mode leads to');
    return;
  }
  dispatch(world, sa, message);
  enterFarthest(sa);
}

/** The SA of a message by the cookie this end chose; the other cookie must be the peer's. */
function findSa(world: World, { header }: Inbound): IsakmpSa | undefined {
  const { initiatorCookie, responderCookie } = header;
  const begun = world.table.find(toHex(initiatorCookie));
  if (begun?.role === 'initiator') {
    return knowsResponder(begun, responderCookie) ? begun : undefined;
  }
  const answered = world.table.find(toHex(responderCookie));
  if (answered?.role !== 'responder') return undefined;
  return equalBytes(answered.initiatorCookie, initiatorCookie) ? answered : undefined;
}

/** Unauthenticated messages count only from the address that main mode runs with; the port may change. */
function withinPath(sa: IsakmpSa, { remote }: DatagramInput): boolean {
  return isUp(sa) || sa.remote.address === remote.address;
}

function withoutSa(world: World, message: Inbound): void {
  const { header, datagram } = message;
  const first = header.responderCookie.every((octet) => octet === 0);
  if (first && !header.encrypted && header.exchangeType === V1Exchange.MAIN_MODE) {
    saOffered(world, message);
    return;
  }
  if (!first && !header.encrypted && header.exchangeType === V1Exchange.MAIN_MODE) {
    keOfferedAnew(world, message);
    return;
  }
  if (first && header.exchangeType === V1Exchange.AGGRESSIVE_MODE) {
    refuseAggressive(world, message);
    return;
  }
  drop(world, datagram, 'unknown_spi', 'no ISAKMP SA has these cookies');
}

/**
 * Aggressive mode lets everyone on the way try keys at leisure, since HASH_R goes in the clear. It is refused
 * by name, so that both ends' operators see why.
 */
function refuseAggressive(world: World, message: Inbound): void {
  const { local, remote } = message.datagram;
  const arrival = { local: local.address, remote: remote.address, version: 1 } as const;
  const connection = world.ctx.peers.candidates(arrival).first;
  const reason = 'the peer wants aggressive mode, which gives its key away to guessing: set it to main mode';
  if (connection === undefined) {
    refuse(world, message, V1Notify.UNSUPPORTED_EXCHANGE_TYPE, () => nobodyKnown(1));
    return;
  }
  refuse(
    world,
    message,
    V1Notify.UNSUPPORTED_EXCHANGE_TYPE,
    () => ({ cause: 'unsupported', message: reason, details: { exchange: 'AGGRESSIVE_MODE' } }),
    connection.id,
  );
}

function reassemble(
  world: World,
  sa: IsakmpSa | undefined,
  message: Inbound,
  fragment: V1FragmentPayload,
): void {
  const { datagram } = message;
  if (sa === undefined) {
    if (message.header.responderCookie.every((octet) => octet === 0)) refuseFragmentOfFirst(world, message);
    else drop(world, datagram, 'unknown_spi', 'a fragment of no known ISAKMP SA');
    return;
  }
  // Nothing protects a fragment by itself: that it comes from where the peer is, is all there is to see.
  if (datagram.remote.address !== sa.remote.address) {
    drop(world, datagram, 'unexpected', 'a fragment from another address than that of the peer');
    return;
  }
  const whole = keepFragment(world, sa, datagram, fragment);
  if (whole === undefined) return;
  const inner = decodeV1Message(whole);
  const why = !inner.ok
    ? 'fragments that make no message of version 1'
    : inner.value.payloads.some((one) => one.kind === 'fragment')
      ? 'fragments inside of fragments'
      : findSa(world, { ...inner.value, datagram }) !== sa
        ? 'fragments that make a message of another ISAKMP SA'
        : undefined;
  if (why !== undefined) {
    drop(world, datagram, 'malformed', why);
    return;
  }
  receive(world, { ...datagram, bytes: whole });
}

/** The whole message once its last part is there. A half-open SA's parts take up the room of half-open SAs. */
function keepFragment(
  world: World,
  sa: IsakmpSa,
  datagram: DatagramInput,
  fragment: V1FragmentPayload,
): Uint8Array | undefined {
  const { halfOpen, ctx } = world;
  const { firstMessageBytes, messageBytes } = ctx.limits;
  sa.fragments ??= new FragmentBuffer(isHalfOpen(sa) ? firstMessageBytes : messageBytes);
  if (!isHalfOpen(sa)) return sa.fragments.add(fragment);
  const { length } = fragment.data;
  if (!halfOpen.hold(length)) {
    drop(world, datagram, 'half_open_limit', `half-open ISAKMP SAs hold ${halfOpen.bytes} octets`);
    return undefined;
  }
  const before = sa.fragments.size;
  const whole = sa.fragments.add(fragment);
  const more = sa.fragments.size - before;
  halfOpen.release(length - more);
  sa.phase.halfOpen.held += more;
  return whole;
}

/** Nothing is kept for someone who has not even shown one whole message. */
function refuseFragmentOfFirst(world: World, { datagram }: Inbound): void {
  drop(world, datagram, 'unexpected', 'a fragment of the first message of main mode, which is to come whole');
  const { local, remote } = datagram;
  const arrival = { local: local.address, remote: remote.address, version: 1 } as const;
  const connection = world.ctx.peers.candidates(arrival).first;
  if (connection === undefined || !world.unauthenticated.take(world.ctx.now)) return;
  const words =
    'the peer sends the first message of main mode in fragments, for which nothing is kept before it has answered: let it offer fewer proposals, or cut messages at a larger size';
  world.ctx.event({
    kind: 'ike-failed',
    connection: connection.id,
    role: 'responder',
    peer: remote,
    failure: mainFailure('unsupported', words),
  });
}

function report(world: World, sa: IsakmpSa | undefined, message: V1Message & Inbound): void {
  world.ctx.event({
    kind: 'message',
    direction: 'in',
    peer: message.datagram.remote,
    ...(sa?.connection === undefined ? {} : { connection: sa.connection.id }),
    ...(sa === undefined ? {} : { ikeId: sa.id }),
    summary: summarizeV1(message),
  });
}
