import { compareBytes, copyOf, equalBytes, toHex } from '../../util/bytes.js';
import type { Millis } from '../../util/units.js';
import { V1Notify } from '../../wire/ike/v1/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import type { Admission } from '../half-open.js';
import { candidatesByAddress, isConfiguredPeer, versionMismatch } from '../policy/lookup.js';
import { selectIkeV1, type V1IkeSelection } from '../policy/proposals-v1.js';
import { forgetSa } from './close.js';
import { mainFailure } from './failures.js';
import { IsakmpSa } from './isakmp-sa.js';
import { clearMain, refuseInClear, routeOf, sendInClear, transmit } from './send.js';
import { answeredVendorIds, readVendorIds } from './vendor-ids.js';
import { attemptOf, drop, find, freshCookie, hasExactlyOne, type Inbound, type World } from './world.js';

const NONCE_LENGTH = 32;
/** How long our own main mode goes before one that the peer began at the same time. */
const OWN_FIRST: Millis = 5_000;

/** Message 1: HDR, SA, vendor ids. From anyone: only cheap things happen here. */
export function saOffered(world: World, message: Inbound): void {
  const { ctx } = world;
  const { header, payloads, datagram } = message;
  const source = datagram.remote.address;
  const known = world.byFirstRequest.get(firstRequestKey(header.initiatorCookie, source));
  if (known !== undefined) {
    world.table.touch(known);
    if (!world.crowded || world.crowdedAnswers.take(ctx.now)) repeat(world, known, message);
    return;
  }
  if (ctx.shuttingDown) {
    drop(world, datagram, 'unexpected', 'the engine is shutting down');
    return;
  }
  if (header.messageId !== 0 || header.initiatorCookie.every((octet) => octet === 0)) {
    drop(world, datagram, 'malformed', 'main mode with a message id or without initiator cookie');
    return;
  }
  if (!hasExactlyOne(payloads, 'sa')) {
    const reason = mainFailure(
      'invalid_syntax',
      'the peer sent message 1 of main mode without exactly one SA payload',
    );
    refuse(world, message, V1Notify.PAYLOAD_MALFORMED, reason);
    return;
  }
  const candidates = candidatesByAddress(ctx.config, datagram.local.address, source, 1, 'responder');
  if (ownGoesFirst(world, message, candidates)) {
    drop(world, datagram, 'unexpected', 'our own main mode with this peer is under way and goes first');
    return;
  }
  const mismatch = versionMismatch(ctx.config, datagram.local.address, source, 1);
  if (candidates.length === 0 && mismatch !== undefined) {
    refuse(world, message, V1Notify.INVALID_MAJOR_VERSION, mismatch.failure, mismatch.connection);
    return;
  }
  const selection = select(candidates, find(payloads, 'sa')!.proposals);
  if (!selection.ok) {
    refuse(world, message, V1Notify.NO_PROPOSAL_CHOSEN, selection.error, selection.connection);
    return;
  }
  const admission = world.crowded ? 'demand-cookie' : admit(world, message, false);
  if (admission === 'admit') answer(world, message, candidates, selection.value);
  else if (admission === 'demand-cookie') answerWithoutSa(world, message, selection.value);
}

/** Message 2 that leaves nothing behind here but the offer, see `OfferMemory`. */
function answerWithoutSa(world: World, message: Inbound, selection: V1IkeSelection): void {
  const { ctx, offers, halfOpen } = world;
  const { datagram } = message;
  if (world.crowded && !world.crowdedAnswers.take(ctx.now)) {
    drop(world, datagram, 'rate_limited', 'too many requests for new IKE SAs from this address');
    return;
  }
  const responderCookie = offers.answer(datagram, ctx.now);
  if (responderCookie === undefined) {
    drop(world, datagram, 'half_open_limit', `message 1 of ${datagram.bytes.length} octets while many come`);
    return;
  }
  ctx.event({ kind: 'cookie-demanded', peer: datagram.remote, halfOpen: halfOpen.total });
  sendInClear(world, datagram, { ...message.header, responderCookie }, [
    { kind: 'sa', proposals: [selection.answer] },
    ...answeredVendorIds(readVendorIds(message.payloads)),
  ]);
}

/** The answer was lost, or the message was copied on its way. */
function repeat(world: World, sa: IsakmpSa, message: Inbound): void {
  const { datagram } = message;
  if (sa.lastIn !== undefined && sa.lastOut !== undefined && equalBytes(sa.lastIn, datagram.bytes)) {
    sa.repeats++;
    transmit(world, sa, sa.lastOut, routeOf(datagram));
    return;
  }
  drop(world, datagram, 'outside_window', 'message 1 of a main mode that has gone on');
}

/**
 * Both ends began at once: the main mode with the higher cookie goes on, the other one is not answered. A peer
 * that knows no such rule gets its answer when ours has not come to anything soon.
 */
function ownGoesFirst(world: World, message: Inbound, candidates: readonly ConnectionConfig[]): boolean {
  return candidates.some((connection) => {
    const own = attemptOf(world, connection.name);
    return (
      own !== undefined &&
      own.remote.address === message.datagram.remote.address &&
      world.ctx.now < own.createdAt + OWN_FIRST &&
      compareBytes(own.initiatorCookie, message.header.initiatorCookie) > 0
    );
  });
}

/**
 * Holds the limits. `demand-cookie` while many come: message 1 is answered without an SA, for message 3 to show
 * whether the source is real (`proven`). One that is takes the place of the oldest that has not shown it.
 */
export function admit(world: World, { datagram }: Inbound, proven: boolean): Admission {
  const { ctx, halfOpen, table } = world;
  const source = datagram.remote.address;
  const configured = (): boolean => isConfiguredPeer(ctx.config, source);
  let established = 0;
  let withPeer = 0;
  for (const sa of table.values()) {
    if (sa.isUp) established++;
    if (sa.remote.address === source && sa.state !== 'sa-answered') withPeer++;
  }
  if (withPeer >= ctx.limits.ikeSasPerPeer) {
    drop(world, datagram, 'half_open_limit', `${withPeer} ISAKMP SAs with this peer, which is the limit`);
    return 'refuse';
  }
  let admission = halfOpen.admission(source, proven, configured);
  if (admission === 'refuse' && proven) {
    const [unproven] = table.select((sa) => sa.state === 'sa-answered');
    if (unproven !== undefined) forgetSa(world, unproven);
    admission = halfOpen.admission(source, proven, configured);
  }
  if (admission !== 'refuse' && established < ctx.limits.ikeSas) return admission;
  drop(world, datagram, 'half_open_limit', `${halfOpen.total} half-open and ${table.size} ISAKMP SAs in all`);
  return 'refuse';
}

type Selected =
  | { readonly ok: true; readonly value: V1IkeSelection }
  | { readonly ok: false; readonly error: Failure; readonly connection?: string };

/** The first candidate with a proposal in common decides the suite; message 5 then tells which one is meant. */
export function select(
  candidates: readonly ConnectionConfig[],
  offered: Parameters<typeof selectIkeV1>[1],
): Selected {
  let firstMiss: { readonly error: Failure; readonly connection: string } | undefined;
  for (const connection of candidates) {
    const selection = selectIkeV1(connection.ikeProposals, offered);
    if (selection.ok) return selection;
    firstMiss ??= { error: selection.error, connection: connection.name };
  }
  if (firstMiss !== undefined) return { ok: false, ...firstMiss };
  const message = 'no connection is configured for this peer address and IKEv1';
  return { ok: false, error: mainFailure('no_matching_connection', message) };
}

/** An answer to someone who has proved nothing: given and reported only so often. */
export function refuse(
  world: World,
  message: Inbound,
  type: number,
  failure: Failure,
  connection?: string,
): void {
  const { ctx } = world;
  const { datagram } = message;
  if (!world.unauthenticated.take(ctx.now)) {
    drop(world, datagram, 'rate_limited', failure.message);
    return;
  }
  ctx.event({
    kind: 'ike-failed',
    ...(connection === undefined ? {} : { connection }),
    role: 'responder',
    peer: datagram.remote,
    failure,
  });
  // Nobody we know: not even told that there is a gateway.
  if (failure.cause !== 'no_matching_connection') refuseInClear(world, message, type);
}

/** Message 2: HDR, SA with the one transform that was taken, vendor ids. */
function answer(
  world: World,
  message: Inbound,
  candidates: readonly ConnectionConfig[],
  selection: V1IkeSelection,
): void {
  const sa = respondingSa(world, message, candidates, selection, freshCookie(world));
  const vendors = readVendorIds(message.payloads);
  const out = clearMain(world, sa, [
    { kind: 'sa', proposals: [sa.negotiation!.answer!] },
    ...answeredVendorIds(vendors),
  ]);
  // Only from here on: message 2 tells the peer that fragments are understood.
  sa.peerFragmentation = vendors.fragmentation;
  taken(world, sa, message, out);
}

/** The SA that a message 1 begins, under a responder cookie that the peer has or is about to get. */
export function respondingSa(
  world: World,
  { header, payloads, datagram }: Inbound,
  candidates: readonly ConnectionConfig[],
  selection: V1IkeSelection,
  responderCookie: Uint8Array,
): IsakmpSa {
  const { ctx } = world;
  const vendors = readVendorIds(payloads);
  const { bytes, ...copied } = datagram;
  const sa = new IsakmpSa({
    id: ctx.nextId(),
    role: 'responder',
    state: 'sa-answered',
    initiatorCookie: copyOf(header.initiatorCookie),
    responderCookie,
    ...copied,
    createdAt: ctx.now,
    negotiation: {
      dh: undefined,
      saBody: copyOf(find(payloads, 'sa')!.body!),
      initiatorPublic: new Uint8Array(0),
      responderPublic: new Uint8Array(0),
      initiatorNonce: new Uint8Array(0),
      responderNonce: ctx.random.bytes(NONCE_LENGTH),
      messageOne: copyOf(bytes),
      candidates,
      answer: ownProposal(selection),
      shared: undefined,
      addressesLeft: 0,
      refusal: undefined,
      reported: false,
      replaces: undefined,
      renewing: false,
    },
  });
  sa.suite = selection.suite;
  sa.lifetimes = selection.lifetimes;
  sa.dialect = vendors.dialect;
  sa.peerDpd = vendors.dpd;
  sa.peerVendors = vendors.names;
  sa.forgetAt = ctx.now + ctx.limits.halfOpenTimeout;
  sa.firstRequestKey = firstRequestKey(header.initiatorCookie, datagram.remote.address);
  sa.halfOpenSource = datagram.remote.address;
  world.halfOpen.opened(sa.halfOpenSource, false);
  world.table.add(sa);
  world.byFirstRequest.set(sa.firstRequestKey, sa);
  ctx.event({ kind: 'ike-responding', ikeId: sa.id, version: 1, peer: sa.remote });
  return sa;
}

function firstRequestKey(initiatorCookie: Uint8Array, source: string): string {
  return `${toHex(initiatorCookie)}@${source}`;
}

/** The selection without views into the datagram. */
function ownProposal({ answer }: V1IkeSelection) {
  return {
    ...answer,
    spi: copyOf(answer.spi),
    transforms: answer.transforms.map((transform) => ({
      ...transform,
      attributes: transform.attributes.map(({ type, value }) => ({
        type,
        value: typeof value === 'number' ? value : copyOf(value),
      })),
    })),
  };
}

/** Keeps a message and its answer for repetitions, and answers. */
export function taken(world: World, sa: IsakmpSa, message: Inbound, out: Uint8Array): void {
  sa.lastIn = copyOf(message.datagram.bytes);
  sa.lastOut = out;
  transmit(world, sa, out, routeOf(message.datagram));
}
