import { copyOf } from '../../util/bytes.js';
import type { ConnectionId } from '../../util/ids.js';
import type { ByteCount } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import { type FirstRequest, scanFirstRequest } from '../../wire/ike/first-request.js';
import { encodeMessage } from '../../wire/ike/message.js';
import type { KePayload, Payload } from '../../wire/ike/payloads.js';
import { NotifyType } from '../../wire/ike/registry.js';
import type { CookieSubject } from '../admission/cookies.js';
import type { Failure } from '../events.js';
import { detectNat, type HeaderSpis, type NatFinding, natDetectionNotifies } from '../path/nat-detection.js';
import { exactlyOne } from '../payloads.js';
import { type Candidates, firstMatch } from '../policy/candidates.js';
import { findIke, type IkeSelection, ikeMismatch } from '../policy/proposals.js';
import { noteQuirk } from '../quirks.js';
import { enterTables } from '../sa/books.js';
import { nobodyKnown } from '../sa/failures.js';
import { drop, firstRequestKey } from '../sa/world.js';
import { vendorNames } from '../vendors.js';
import { IkeSa } from './ike-sa.js';
import { freshIkeSpi } from './init-initiator.js';
import { findNotify, invalidKe, notify, takesIntermediate } from './payloads.js';
import { firstLink, IKE_SA_STATES } from './phases.js';
import { noteProposalQuirks } from './proposal-quirks.js';
import { headerOf, reply, replyStateless, sendAnswer } from './send.js';
import { RequestWindow } from './window.js';
import type { Inbound, World } from './world.js';

/** What a half-open SA has beside the request, about: answer, DH values, nonces. */
const ANSWER_BYTES: ByteCount = 2048;

/** What is known of a request before it is decoded. */
type Bare = Pick<Inbound, 'header' | 'datagram'>;

/** A request for a new IKE SA: from anyone, so the cheap checks come first and the DH value last (RFC 7296 §2.6). */
export function initRequested(world: World, message: Inbound): void {
  const { ctx } = world;
  const { header, payloads, datagram } = message;
  const source = datagram.remote.address;
  const key = firstRequestKey(header.initiatorSpi, source);
  const known = world.byFirstRequest.get(key);
  if (known !== undefined) {
    world.table.touch(known);
    // Its answer is as long as the request: no more of them than cookies.
    if (!world.load.crowded || world.crowdedCookies.take(ctx.now)) repeat(world, known, message);
    return;
  }
  if (ctx.shuttingDown) {
    drop(world, datagram, 'unexpected', 'the engine is shutting down');
    return;
  }
  if (header.messageId !== 0 || header.initiatorSpi.every((octet) => octet === 0)) {
    drop(world, datagram, 'malformed', 'IKE_SA_INIT with a wrong message id or without initiator SPI');
    return;
  }
  const offer = exactlyOne(payloads, 'sa', 'ke', 'nonce');
  if (offer === undefined) {
    refuse(world, message, notify(NotifyType.INVALID_SYNTAX), () => ({
      cause: 'invalid_syntax',
      message: 'the peer sent IKE_SA_INIT without exactly one SA, KE and nonce payload',
    }));
    return;
  }
  if (!admit(world, message, offer.nonce.data)) return;
  const arrival = { local: datagram.local.address, remote: source, version: 2 } as const;
  const candidates = ctx.peers.candidates(arrival);
  const mismatch = candidates.isEmpty ? ctx.peers.versionMismatch(arrival) : undefined;
  if (mismatch !== undefined) {
    const why = notify(NotifyType.INVALID_MAJOR_VERSION);
    refuse(world, message, why, () => mismatch.failure, mismatch.connection);
    return;
  }
  const { proposals } = offer.sa;
  // The first list with a proposal in common decides the suite; IKE_AUTH then shows which connection is meant.
  const selection = firstMatch(candidates, (specs) => findIke(specs, proposals));
  if (selection === undefined) {
    const { first } = candidates;
    const why = (): Failure =>
      first === undefined ? nobodyKnown(2) : ikeMismatch(first.ikeProposals, proposals);
    refuse(world, message, notify(NotifyType.NO_PROPOSAL_CHOSEN), why, first?.id);
    return;
  }
  // RFC 9370 §2.2.1: who offers additional key exchanges has to offer the exchange that carries them.
  if (selection.suite.additional !== undefined && !takesIntermediate(payloads)) {
    refuse(world, message, notify(NotifyType.INVALID_SYNTAX), () => ({
      cause: 'invalid_syntax',
      message: 'the peer offered additional key exchanges and does not say that it takes IKE_INTERMEDIATE',
    }));
    return;
  }
  const { ke } = offer;
  if (!fitsGroup(world, message, ke, selection.suite.dh)) return;
  answer(world, message, { ke, nonce: offer.nonce.data, key, candidates, selection });
}

/** Whether the request has a public value of the group that is chosen; else it is answered. */
function fitsGroup(world: World, message: Inbound, ke: KePayload, dh: number): boolean {
  if (ke.group !== dh) {
    replyStateless(world, message, [invalidKe(dh)]);
    return false;
  }
  const { publicLength } = world.ctx.crypto.dh(dh);
  if (ke.data.length === publicLength) return true;
  refuse(world, message, notify(NotifyType.INVALID_SYNTAX), () => ({
    cause: 'invalid_syntax',
    message: `the peer's public value has ${ke.data.length} octets, group ${dh} takes ${publicLength}`,
  }));
  return false;
}

/** The answer was lost, or the request was copied on its way. */
function repeat(world: World, sa: IkeSa, message: Inbound): void {
  const bytes = sa.inbound.answerTo(message.datagram.bytes);
  if (bytes !== undefined) {
    if (sa.phase.at === 'init-answered') sa.phase.negotiation.repeats++;
    reply(world, message.datagram, bytes);
    return;
  }
  drop(world, message.datagram, 'outside_window', 'an IKE_SA_INIT request of an SA that has gone on');
}

function admit(world: World, message: Inbound, nonce: Uint8Array): boolean {
  const { ctx, halfOpen, table } = world;
  const { datagram } = message;
  const cookie = findNotify(message.payloads, NotifyType.COOKIE)?.data;
  const valid = hasValidCookie(world, message, { nonce, cookie });
  if (!withinRates(world, message, { nonce, cookie }, valid)) return false;
  const source = datagram.remote.address;
  const admission = halfOpen.admission(source, valid, () => ctx.peers.isConfiguredPeer(source));
  const established = table.count(['established']);
  if (admission === 'refuse' || established >= ctx.limits.ikeSas) {
    const detail = `${halfOpen.total} half-open and ${established} established IKE SAs in all`;
    drop(world, datagram, 'half_open_limit', detail);
    return false;
  }
  if (admission === 'admit') return !isCrowded(world, datagram);
  demandCookie(world, message, nonce);
  return false;
}

/**
 * RFC 7296 §2.6: while more requests come than there should, in all or from one address, those go on only whose
 * cookie shows that their source is real, and of one source so many a second.
 */
function withinRates(world: World, message: Bare, request: FirstRequest, valid: boolean): boolean {
  const { ctx, load } = world;
  const source = message.datagram.remote.address;
  if (!load.busy && !load.crowded) return true;
  if (valid && (!load.crowded || world.proven.take(source, ctx.now))) return true;
  if (!valid && (!load.crowded || world.crowdedCookies.take(ctx.now)))
    demandCookie(world, message, request.nonce);
  else drop(world, message.datagram, 'rate_limited', 'too many requests for new IKE SAs from this address');
  return false;
}

/**
 * The same from the octets alone, so that a flood is not even decoded. True for what may go on: `initRequested`
 * looks at it again with all its payloads.
 */
export function mayBeDecoded(world: World, message: Bare): boolean {
  const { header, datagram } = message;
  if (world.byFirstRequest.has(firstRequestKey(header.initiatorSpi, datagram.remote.address))) return true;
  const request = scanFirstRequest(message.datagram.bytes);
  if (request === undefined) {
    drop(world, message.datagram, 'malformed', 'IKE_SA_INIT without a chain of payloads that has a nonce');
    return false;
  }
  // What is continued is counted when it is decoded.
  if (hasValidCookie(world, message, request)) return true;
  withinRates(world, message, request, false);
  return false;
}

/** Whether the request carries a cookie of ours for just this request (RFC 7296 §2.6). */
function hasValidCookie({ cookies, ctx }: World, message: Bare, { nonce, cookie }: FirstRequest): boolean {
  return cookie !== undefined && cookies.verify(cookie, subjectOf(message, nonce), ctx.now);
}

function subjectOf({ header, datagram }: Bare, nonce: Uint8Array): CookieSubject {
  return { nonce, sourceAddress: datagram.remote.address, initiatorSpi: header.initiatorSpi };
}

function demandCookie(world: World, message: Bare, nonce: Uint8Array): void {
  const { ctx, cookies, halfOpen } = world;
  ctx.event({ kind: 'cookie-demanded', peer: message.datagram.remote, halfOpen: halfOpen.total });
  const cookie = cookies.issue(subjectOf(message, nonce), ctx.now);
  replyStateless(world, message, [notify(NotifyType.COOKIE, cookie)]);
}

/** Whether this peer address has as many IKE SAs as it may have. */
function isCrowded(world: World, datagram: Inbound['datagram']): boolean {
  const count = world.table.count(IKE_SA_STATES, datagram.remote.address);
  if (count < world.ctx.limits.ikeSasPerPeer) return false;
  drop(world, datagram, 'half_open_limit', `${count} IKE SAs with this peer, which is the limit`);
  return true;
}

/**
 * An answer to someone who has proved nothing: given and reported only so often, and only then is the reason worked
 * out.
 */
function refuse(
  world: World,
  message: Inbound,
  why: Payload,
  reason: () => Failure,
  connection?: ConnectionId,
): void {
  const { datagram } = message;
  if (!world.unauthenticated.take(world.ctx.now)) {
    drop(world, datagram, 'rate_limited', 'a request that is refused, as many are a second');
    return;
  }
  world.ctx.event({
    kind: 'ike-failed',
    ...(connection === undefined ? {} : { connection }),
    role: 'responder',
    peer: datagram.remote,
    failure: reason(),
  });
  replyStateless(world, message, [why]);
}

/** A request that is granted. */
interface Granted {
  readonly ke: KePayload;
  readonly nonce: Uint8Array;
  /** See `IkeSa.firstRequestKey`. */
  readonly key: string;
  readonly candidates: Candidates;
  readonly selection: IkeSelection;
}

function answer(world: World, message: Inbound, granted: Granted): void {
  const { ctx } = world;
  const { payloads, datagram } = message;
  const { candidates, selection, nonce, key } = granted;
  const held = datagram.bytes.length + ANSWER_BYTES;
  if (!world.halfOpen.hold(held)) {
    drop(world, datagram, 'half_open_limit', `half-open IKE SAs hold ${world.halfOpen.bytes} octets`);
    return;
  }
  const id = ctx.nextId();
  ctx.event({ kind: 'ike-responding', ikeId: id, version: 2, peer: datagram.remote });
  const { spis, finding, dh, responderNonce, fragmentation, answered } = makeAnswer(world, message, granted);
  const response = encodeMessage(answered.header, answered.payloads);
  const inbound = new RequestWindow();
  const cookie = findNotify(payloads, NotifyType.COOKIE)?.data;
  const proven = hasValidCookie(world, message, { nonce, cookie });
  const sa = new IkeSa({
    id,
    role: 'responder',
    phase: {
      at: 'init-answered',
      link: linkOf(message, spis.responderSpi, finding, fragmentation),
      negotiation: {
        suite: selection.suite,
        dh,
        peerPublic: copyOf(granted.ke.data),
        initiatorNonce: copyOf(nonce),
        responderNonce,
        // The copy that repetitions are recognised by: there is no second one.
        request: inbound.answered(datagram.bytes, [response]),
        response,
        candidates,
        source: datagram.remote.address,
        held,
        proven,
        repeats: 0,
      },
      keyed: undefined,
      left: selection.suite.additional ?? [],
      intAuth: undefined,
      forgetAt: ctx.now + ctx.limits.halfOpenTimeout,
    },
    initiatorSpi: spis.initiatorSpi,
    createdAt: ctx.now,
    inbound,
    firstRequestKey: key,
  });
  if (message.padded) noteQuirk(world.ctx, sa, 'trailing_zeros');
  noteProposalQuirks(world, sa, payloads, true);
  enterTables(world, sa);
  world.halfOpen.opened(datagram.remote.address, proven);
  sendAnswer(world, sa, message, { ...answered, datagrams: [response] });
}

/** HDR, SAr1, KEr, Nr (RFC 7296 §1.2), and what it is made of. */
function makeAnswer(world: World, { header, payloads, datagram }: Inbound, granted: Granted) {
  const { ctx } = world;
  const { candidates, selection } = granted;
  const spis = { initiatorSpi: copyOf(header.initiatorSpi), responderSpi: freshIkeSpi(world) };
  const finding = detectNat(ctx.crypto, header, payloads, datagram);
  const dh = ctx.crypto.dh(selection.suite.dh).generate(ctx.random);
  const responderNonce = ctx.random.bytes(NONCE_LENGTH);
  const nat = finding.supported ? natNotifies(world, datagram, spis, candidates) : [];
  // RFC 7383 §2.3: said only to those who said it.
  const fragmentation = findNotify(payloads, NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) !== undefined;
  const answered = {
    header: headerOf({ role: 'responder', ...spis }, header.exchangeType, header.messageId, true),
    payloads: [
      { kind: 'sa', proposals: [selection.answer] },
      { kind: 'ke', group: dh.group, data: dh.publicValue },
      { kind: 'nonce', data: responderNonce },
      ...nat,
      ...(fragmentation ? [notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)] : []),
      // RFC 6023 §4.
      notify(NotifyType.CHILDLESS_IKEV2_SUPPORTED),
      ...(selection.suite.additional === undefined
        ? []
        : [notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED)]),
    ] satisfies Payload[],
  };
  return { spis, finding, dh, responderNonce, fragmentation, answered };
}

function natNotifies(
  { ctx }: World,
  { local, remote }: Inbound['datagram'],
  spis: HeaderSpis,
  candidates: Candidates,
): Payload[] {
  const force = candidates.forcesEncapsulation;
  return natDetectionNotifies(ctx.crypto, ctx.random, spis, { local, remote, force });
}

/** The way to the peer, by its first message. */
function linkOf({ datagram, payloads }: Inbound, spi: Uint8Array, nat: NatFinding, fragmentation: boolean) {
  return {
    ...firstLink(datagram, spi),
    natTraversal: nat.supported,
    nat: { local: nat.local, peer: nat.peer },
    fragmentation,
    peerVendors: vendorNames(payloads),
  };
}
