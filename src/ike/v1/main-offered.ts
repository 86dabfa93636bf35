import { compareBytes, copyOf, equalBytes } from '../../util/bytes.js';
import type { ConnectionId } from '../../util/ids.js';
import type { ByteCount, Millis } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import { encodeV1Body } from '../../wire/ike/v1/message.js';
import type { V1SaPayload } from '../../wire/ike/v1/payloads.js';
import { V1Notify } from '../../wire/ike/v1/registry.js';
import type { Admission } from '../admission/half-open.js';
import type { Failure } from '../events.js';
import type { DatagramInput } from '../inputs.js';
import { only } from '../payloads.js';
import { type Candidates, firstMatch } from '../policy/candidates.js';
import { findIkeV1, ikeMismatchV1, type V1IkeSelection } from '../policy/proposals-v1.js';
import { lacksKeyLength } from '../policy/transforms-v1.js';
import { noteQuirk } from '../quirks.js';
import { enterTables } from '../sa/books.js';
import { nobodyKnown } from '../sa/failures.js';
import { drop, firstRequestKey } from '../sa/world.js';
import { forgetSa } from './close.js';
import { mainFailure } from './failures.js';
import { begin, type IsakmpSa, type IsakmpSaIn } from './isakmp-sa.js';
import { ISAKMP_STATES } from './phases.js';
import { clearMain, refuseInClear, routeOf, sendInClear, transmit } from './send.js';
import { termsOf } from './terms.js';
import { answeredVendorIds, readVendorIds } from './vendor-ids.js';
import { freshCookie, type Inbound, type World } from './world.js';

/** What a half-open SA has beside message 1, about: messages 2 to 4, DH values, nonces. */
const ANSWER_BYTES: ByteCount = 4096;
/** How long our own main mode has priority over one that the peer began at the same time. */
const OWN_FIRST: Millis = 5_000;
/** Main modes of ours with one address that are looked at for that. */
const MAX_ATTEMPTS = 16;

/** Message 1: HDR, SA, vendor ids. From anyone: only cheap things happen here. */
export function saOffered(world: World, message: Inbound): void {
  const { ctx } = world;
  const { header, payloads, datagram } = message;
  const source = datagram.remote.address;
  const known = world.byFirstRequest.get(firstRequestKey(header.initiatorCookie, source));
  if (known !== undefined) {
    world.table.touch(known);
    if (!world.load.crowded || world.crowdedAnswers.take(ctx.now)) repeat(world, known, message);
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
  const offered = only(payloads, 'sa');
  if (offered === undefined) {
    const reason = mainFailure(
      'invalid_syntax',
      'the peer sent message 1 of main mode without exactly one SA payload',
    );
    refuse(world, message, V1Notify.PAYLOAD_MALFORMED, () => reason);
    return;
  }
  const arrival = { local: datagram.local.address, remote: source, version: 1 } as const;
  const candidates = ctx.peers.candidates(arrival);
  if (ownGoesFirst(world, message, candidates)) {
    drop(world, datagram, 'unexpected', 'our own main mode with this peer is under way and goes first');
    return;
  }
  const mismatch = candidates.isEmpty ? ctx.peers.versionMismatch(arrival) : undefined;
  if (mismatch !== undefined) {
    refuse(world, message, V1Notify.INVALID_MAJOR_VERSION, () => mismatch.failure, mismatch.connection);
    return;
  }
  const many = world.load.busy || world.load.crowded;
  if (many && !world.crowdedAnswers.take(ctx.now)) {
    drop(world, datagram, 'rate_limited', 'too many requests for new IKE SAs');
    return;
  }
  const { proposals } = offered;
  // The first list with a proposal in common decides the suite; message 5 then shows which connection is meant.
  const selection = firstMatch(candidates, (specs) => findIkeV1(specs, proposals));
  if (selection === undefined) {
    const { first } = candidates;
    const why = (): Failure =>
      first === undefined ? nobodyKnown(1) : ikeMismatchV1(first.ikeProposals, proposals);
    refuse(world, message, V1Notify.NO_PROPOSAL_CHOSEN, why, first?.id);
    return;
  }
  const admission = many ? 'demand-cookie' : admit(world, message, false);
  if (admission === 'admit') answer(world, message, offered, { candidates, selection });
  else if (admission === 'demand-cookie') answerWithoutSa(world, message, selection);
}

/** Message 2 that leaves nothing behind here but the offer, see `OfferMemory`. */
function answerWithoutSa(world: World, message: Inbound, selection: V1IkeSelection): void {
  const { ctx, offers, halfOpen } = world;
  const { datagram } = message;
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
  if (repeatAnswer(world, sa, datagram)) return;
  drop(world, datagram, 'outside_window', 'message 1 of a main mode that has gone on');
}

/**
 * RFC 2408 §5.1: a responder repeats its answer to the last message that it took. False for any other message. An
 * initiator has its own timer.
 */
export function repeatAnswer(world: World, sa: IsakmpSa, datagram: DatagramInput): boolean {
  const { phase } = sa;
  const last = 'last' in phase ? phase.last : undefined;
  if (last?.answer === undefined || !equalBytes(last.message, datagram.bytes)) return false;
  if ('halfOpen' in phase) phase.halfOpen.repeats++;
  transmit(world, sa, last.answer, routeOf(datagram));
  return true;
}

/**
 * Both ends began at once: the main mode with the higher cookie goes on, the other one is not answered. A peer
 * that knows no such rule gets its answer when ours has not come to anything soon.
 */
function ownGoesFirst(world: World, message: Inbound, candidates: Candidates): boolean {
  const source = message.datagram.remote.address;
  let looked = 0;
  for (const state of ['sa-sent', 'ke-sent', 'id-sent'] as const) {
    for (const own of world.table.oldest(state, source)) {
      if (++looked > MAX_ATTEMPTS) return false;
      const meant = own.connection !== undefined && candidates.has(own.connection.id);
      const first = compareBytes(own.initiatorCookie, message.header.initiatorCookie) > 0;
      if (meant && first && world.ctx.now < own.createdAt + OWN_FIRST) return true;
    }
  }
  return false;
}

/**
 * Holds the limits. `demand-cookie` while many come: message 1 is answered without an SA, for message 3 to show
 * whether the source is real (`proven`). One that is takes the place of the oldest that has not shown it.
 */
export function admit(world: World, { datagram }: Inbound, proven: boolean): Admission {
  const { ctx, halfOpen, table } = world;
  const source = datagram.remote.address;
  const configured = (): boolean => ctx.peers.isConfiguredPeer(source);
  const established = table.count(['established', 'superseded']);
  const withPeer = table.count(
    ISAKMP_STATES.filter((state) => state !== 'sa-answered'),
    source,
  );
  if (withPeer >= ctx.limits.ikeSasPerPeer) {
    drop(world, datagram, 'half_open_limit', `${withPeer} ISAKMP SAs with this peer, which is the limit`);
    return 'refuse';
  }
  let admission = halfOpen.admission(source, proven, configured);
  if (admission === 'refuse' && proven) {
    const [unproven] = table.oldest('sa-answered');
    if (unproven !== undefined) forgetSa(world, unproven);
    admission = halfOpen.admission(source, proven, configured);
  }
  if (admission !== 'refuse' && established < ctx.limits.ikeSas) return admission;
  drop(world, datagram, 'half_open_limit', `${halfOpen.total} half-open and ${table.size} ISAKMP SAs in all`);
  return 'refuse';
}

/**
 * An answer to someone who has proved nothing: given and reported only so often, and only then is the reason worked
 * out.
 */
export function refuse(
  world: World,
  message: Inbound,
  type: number,
  reason: () => Failure,
  connection?: ConnectionId,
): void {
  const { ctx } = world;
  const { datagram } = message;
  if (!world.unauthenticated.take(ctx.now)) {
    drop(world, datagram, 'rate_limited', 'a request that is refused, as many are a second');
    return;
  }
  const failure = reason();
  ctx.event({
    kind: 'ike-failed',
    ...(connection === undefined ? {} : { connection }),
    role: 'responder',
    peer: datagram.remote,
    failure,
  });
  // A stranger: it gets no answer that would show that there is a gateway.
  if (failure.cause !== 'no_matching_connection') refuseInClear(world, message, type);
}

/** What is chosen for a message 1. */
export interface Choice {
  readonly candidates: Candidates;
  readonly selection: V1IkeSelection;
}

/** Message 2: HDR, SA with the one transform that was taken, vendor ids. */
function answer(world: World, message: Inbound, offered: V1SaPayload, choice: Choice): void {
  const sa = respondingSa(world, message, offered, choice, freshCookie(world));
  if (sa === undefined) return;
  const { offer } = sa.phase;
  const out = clearMain(world, sa, [
    { kind: 'sa', proposals: [offer.proposal] },
    ...answeredVendorIds(readVendorIds(message.payloads)),
  ]);
  sa.phase.last = { message: offer.messageOne, answer: out };
  transmit(world, sa, out, routeOf(message.datagram));
}

/**
 * The SA that a message 1 begins, if there is room for it, under a responder cookie that the peer has or is about to
 * get.
 */
export function respondingSa(
  world: World,
  { header, payloads, datagram }: Inbound,
  offered: V1SaPayload,
  { candidates, selection }: Choice,
  responderCookie: Uint8Array,
): IsakmpSaIn<'sa-answered'> | undefined {
  const { ctx } = world;
  const held = datagram.bytes.length + ANSWER_BYTES;
  if (!world.halfOpen.hold(held)) {
    drop(world, datagram, 'half_open_limit', `half-open ISAKMP SAs hold ${world.halfOpen.bytes} octets`);
    return undefined;
  }
  const { bytes, local, remote, natTraversalPort } = datagram;
  const messageOne = copyOf(bytes);
  const source = remote.address;
  const key = firstRequestKey(header.initiatorCookie, source);
  const init = {
    id: ctx.nextId(),
    role: 'responder',
    initiatorCookie: copyOf(header.initiatorCookie),
    createdAt: ctx.now,
    firstRequestKey: key,
  } as const;
  const sa = begin(init, {
    at: 'sa-answered',
    link: { local, remote, natTraversalPort, responderCookie },
    offer: {
      messageOne,
      saBody: bodyIn(messageOne, bytes, offered),
      candidates,
      proposal: ownProposal(selection),
      nonce: ctx.random.bytes(NONCE_LENGTH),
    },
    terms: termsOf(selection.suite, selection.lifetimes, readVendorIds(payloads)),
    halfOpen: { source, held, proven: false, forgetAt: ctx.now + ctx.limits.halfOpenTimeout, repeats: 0 },
    last: undefined,
  });
  if (selection.answer.transforms.some((one) => lacksKeyLength(one, 1)))
    noteQuirk(ctx, sa, 'aes_without_key_length');
  world.halfOpen.opened(source, false);
  enterTables(world, sa);
  ctx.event({ kind: 'ike-responding', ikeId: sa.id, version: 1, peer: sa.remote });
  return sa;
}

/** The body of the SA payload as a view into the copy of message 1, which is kept once. */
function bodyIn(copy: Uint8Array, original: Uint8Array, offered: V1SaPayload): Uint8Array {
  const { body } = offered;
  if (body === undefined) return encodeV1Body(offered);
  const at = body.byteOffset - original.byteOffset;
  return copy.subarray(at, at + body.length);
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
