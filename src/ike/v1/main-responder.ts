import { equalConstantTime } from '../../crypto/compare.js';
import { hashI, hashR, wipeV1Keys } from '../../crypto/keymat-v1.js';
import { compareBytes, copyOf, equalBytes, toHex } from '../../util/bytes.js';
import { err, ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { decodeV1Message, encodeV1Body } from '../../wire/ike/v1/message.js';
import type { V1IdPayload, V1Payload, V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Notify } from '../../wire/ike/v1/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import type { Admission } from '../half-open.js';
import { sameIdentity } from '../policy/identity.js';
import {
  candidatesByAddress,
  chooseByIdentity,
  isConfiguredPeer,
  versionMismatch,
} from '../policy/lookup.js';
import { acceptIkeAnswerV1, selectIkeV1, type V1IkeSelection } from '../policy/proposals-v1.js';
import { closeSa, failSa, forgetSa, reportFailure } from './close.js';
import { establish } from './established.js';
import { mainFailure, pskLikely, pskMismatch } from './failures.js';
import { IsakmpSa } from './isakmp-sa.js';
import { hashOf, keySa, transcriptOf } from './keys.js';
import { natPayloads } from './main-initiator.js';
import { detectNatV1 } from './nat.js';
import type { OpenedV1 } from './protect.js';
import { encodeLifetime } from './responder-lifetime.js';
import {
  clearMain,
  isakmpSpi,
  notify,
  refuseInClear,
  reportOpened,
  routeOf,
  sealedMain,
  sendInClear,
  sendInformational,
  transmit,
} from './send.js';
import { answeredVendorIds, readVendorIds } from './vendor-ids.js';
import {
  attemptOf,
  drop,
  find,
  freshCookie,
  hasExactlyOne,
  type Inbound,
  sasOf,
  type World,
} from './world.js';

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

/** Message 3 that answers a message 2 which had left no SA behind: its cookie proves that the source is real. */
export function keOfferedAnew(world: World, message: Inbound): void {
  const { ctx } = world;
  const { header, datagram } = message;
  const offer = world.offers.recall(datagram, header.responderCookie, ctx.now);
  const first = offer === undefined ? undefined : decodeV1Message(offer);
  if (first?.ok !== true || ctx.shuttingDown) {
    drop(world, datagram, 'unknown_spi', 'no ISAKMP SA has these cookies');
    return;
  }
  const { local, remote } = datagram;
  const candidates = candidatesByAddress(ctx.config, local.address, remote.address, 1, 'responder');
  const selection = select(candidates, find(first.value.payloads, 'sa')?.proposals ?? []);
  if (!selection.ok) {
    drop(world, datagram, 'unexpected', 'message 3 of a main mode that the configuration no longer allows');
    return;
  }
  if (!world.proven.take(remote.address, ctx.now)) {
    drop(world, datagram, 'rate_limited', 'too many new IKE SAs from this address');
    return;
  }
  if (admit(world, message, true) !== 'admit') return;
  const { initiatorCookie, responderCookie } = header;
  const original = { ...first.value.header, initiatorCookie, responderCookie };
  const began: Inbound = { ...first.value, header: original, datagram: { ...datagram, bytes: offer! } };
  const sa = respondingSa(world, began, candidates, selection.value, copyOf(responderCookie));
  sa.peerFragmentation = readVendorIds(began.payloads).fragmentation;
  keOffered(world, sa, message);
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
function admit(world: World, { datagram }: Inbound, proven: boolean): Admission {
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
    const unproven = table.all().find((sa) => sa.state === 'sa-answered');
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
function select(
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
function respondingSa(
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
function taken(world: World, sa: IsakmpSa, message: Inbound, out: Uint8Array): void {
  sa.lastIn = copyOf(message.datagram.bytes);
  sa.lastOut = out;
  transmit(world, sa, out, routeOf(message.datagram));
}

/** Message 3: HDR, KE, Ni, NAT-D. Answered by message 4, the same of ours. */
export function keOffered(world: World, sa: IsakmpSa, message: Inbound): void {
  const { ctx } = world;
  const { payloads, datagram } = message;
  const negotiation = sa.negotiation!;
  if (!hasExactlyOne(payloads, 'ke', 'nonce')) {
    drop(world, datagram, 'malformed', 'message 3 of main mode without exactly one KE and nonce payload');
    return;
  }
  const publicValue = find(payloads, 'ke')!.data;
  const group = ctx.crypto.dh(sa.suite!.dh);
  if (publicValue.length !== group.publicLength) {
    refuseInClear(world, message, V1Notify.INVALID_KEY_INFORMATION);
    drop(
      world,
      datagram,
      'malformed',
      `a public value of ${publicValue.length} octets for group ${group.id}`,
    );
    return;
  }
  if (!sa.halfOpenProven && !world.halfOpen.prove(sa.halfOpenSource!)) {
    drop(world, datagram, 'half_open_limit', 'as many half-open SAs of this address as there may be');
    return;
  }
  sa.halfOpenProven = true;
  const finding = detectNatV1(ctx.crypto, hashOf(sa), sa.cookies, payloads, datagram);
  sa.natTraversal = finding.supported && sa.dialect !== undefined;
  sa.nat = { local: finding.local, peer: finding.peer };
  const later = readVendorIds(payloads);
  sa.peerDpd ||= later.dpd;
  sa.peerFragmentation ||= later.fragmentation;
  sa.local = datagram.local;
  sa.remote = datagram.remote;
  sa.natTraversalPort = datagram.natTraversalPort;
  negotiation.dh = group.generate(ctx.random);
  negotiation.initiatorPublic = copyOf(publicValue);
  negotiation.responderPublic = copyOf(negotiation.dh.publicValue);
  negotiation.initiatorNonce = copyOf(find(payloads, 'nonce')!.data);
  sa.state = 'ke-answered';
  const force = negotiation.candidates.some((one) => one.encapsulation === 'always');
  const out = clearMain(world, sa, [
    { kind: 'ke', data: negotiation.responderPublic },
    { kind: 'nonce', data: negotiation.responderNonce },
    ...(sa.natTraversal ? natPayloads(world, sa, force) : []),
  ]);
  taken(world, sa, message, out);
}

interface Readable {
  readonly opened: OpenedV1;
  readonly id: V1IdPayload;
  readonly hash: Uint8Array;
}

/**
 * Message 5: HDR*, IDii, HASH_I, [INITIAL-CONTACT]. The key stands in the encryption, so that of every
 * connection with the peer's address is tried until one opens the message and its HASH_I holds. Rubbish
 * changes nothing: it may not even be the peer's.
 */
export function idOffered(world: World, sa: IsakmpSa, message: Inbound, sealed: V1Sealed): void {
  const { datagram } = message;
  if (!agree(world, sa)) return;
  const found = tryKeys(world, sa, sealed);
  if (!found.ok) {
    drop(
      world,
      datagram,
      'decryption_failed',
      'message 5 of main mode is not made with a pre-shared key of ours',
    );
    if (!sa.negotiation!.reported) {
      sa.negotiation!.reported = true;
      reportFailure(world, sa, found.error);
      refuseInClear(world, message, V1Notify.PAYLOAD_MALFORMED);
    }
    return;
  }
  const { opened, id, psk } = found.value;
  sa.local = datagram.local;
  sa.remote = datagram.remote;
  sa.natTraversalPort = datagram.natTraversalPort;
  reportOpened(world, sa, message, opened.payloads);
  sa.protection!.phase1.adopt(opened.nextIv);
  const chosen = choose(sa, psk, id);
  if (!chosen.ok) {
    const type =
      chosen.error.cause === 'identity_mismatch'
        ? V1Notify.INVALID_ID_INFORMATION
        : chosen.error.cause === 'ike_proposal_mismatch'
          ? V1Notify.NO_PROPOSAL_CHOSEN
          : V1Notify.AUTHENTICATION_FAILED;
    sendInformational(world, sa, [notify(type, { spi: isakmpSpi(sa) })]);
    failSa(world, sa, chosen.error);
    return;
  }
  const connection = chosen.value;
  sa.connection = connection;
  const contact = opened.payloads.some(
    (one) => one.kind === 'notify' && one.type === V1Notify.INITIAL_CONTACT,
  );
  if (contact) dropForgotten(world, sa);
  const own: V1Payload = { kind: 'id', ...connection.local.identity, protocol: 0, port: 0 };
  const prf = world.ctx.crypto.prf(sa.suite!.prf);
  const hash = hashR(prf, sa.keys!.skeyid, transcriptOf(sa), encodeV1Body(own));
  const shorterLife = (sa.lifetimes.seconds ?? Number.POSITIVE_INFINITY) > connection.ikeLifetime;
  const out = sealedMain(world, sa, [
    own,
    { kind: 'hash', data: hash },
    ...(shorterLife
      ? [
          notify(V1Notify.RESPONDER_LIFETIME, {
            spi: isakmpSpi(sa),
            data: encodeLifetime('isakmp', connection.ikeLifetime),
          }),
        ]
      : []),
  ]);
  taken(world, sa, message, out);
  world.offers.keep(connection.name, sa.negotiation!.messageOne!);
  establish(world, sa, id);
}

/** g^xy, computed when message 5 comes in: who only sends first messages costs half of the arithmetic. */
function agree(world: World, sa: IsakmpSa): boolean {
  const negotiation = sa.negotiation!;
  if (negotiation.shared !== undefined) return true;
  const shared = negotiation.dh!.agree(negotiation.initiatorPublic);
  negotiation.dh!.wipe();
  if (!shared.ok) {
    const reason = `the peer's public value is not valid: ${shared.error.message}`;
    failSa(world, sa, mainFailure('invalid_syntax', reason));
    return false;
  }
  negotiation.shared = shared.value;
  return true;
}

/** Leaves the SA with the keys of the pre-shared key that fits. */
function tryKeys(
  world: World,
  sa: IsakmpSa,
  sealed: V1Sealed,
): Result<Readable & { readonly psk: SecretKey }, Failure> {
  let failure = pskLikely('message 5 of main mode decrypts to rubbish');
  const prf = world.ctx.crypto.prf(sa.suite!.prf);
  for (const psk of distinctKeys(sa.negotiation!.candidates)) {
    keySa(world, sa, psk, sa.negotiation!.shared!);
    const protection = sa.protection!;
    const opened = protection.open(protection.phase1, sealed);
    const id = opened.ok ? find(opened.value.payloads, 'id') : undefined;
    const hash = opened.ok ? find(opened.value.payloads, 'hash')?.data : undefined;
    if (opened.ok && id !== undefined && hash !== undefined) {
      const expected = hashI(prf, sa.keys!.skeyid, transcriptOf(sa), encodeV1Body(id));
      if (equalConstantTime(expected, hash)) return ok({ opened: opened.value, id, hash, psk });
      failure = pskMismatch();
    }
    wipeV1Keys(sa.keys!);
    sa.keys = undefined;
    sa.protection = undefined;
  }
  return err(failure);
}

function distinctKeys(candidates: readonly ConnectionConfig[]): SecretKey[] {
  const keys: SecretKey[] = [];
  for (const { psk } of candidates) {
    if (!keys.some((one) => equalConstantTime(one.expose(), psk.expose()))) keys.push(psk);
  }
  return keys;
}

/** The connection that key and identity mean, and that allows the suite agreed on. */
function choose(sa: IsakmpSa, psk: SecretKey, id: V1IdPayload): Result<ConnectionConfig, Failure> {
  const { candidates, answer: taken } = sa.negotiation!;
  const withKey = candidates.filter((one) => equalConstantTime(one.psk.expose(), psk.expose()));
  const chosen = chooseByIdentity(withKey, id, undefined, sa.remote.address);
  if (!chosen.ok) {
    sa.connection = withKey.find((one) => sameIdentity(one.peer.identity, id)) ?? only(withKey);
    return chosen;
  }
  const allowed = acceptIkeAnswerV1(chosen.value.ikeProposals, [taken!]);
  if (allowed.ok) return chosen;
  sa.connection = chosen.value;
  return allowed;
}

function only<T>(items: readonly T[]): T | undefined {
  return items.length === 1 ? items[0] : undefined;
}

/**
 * INITIAL-CONTACT: the peer knows no other SA (RFC 2407 §4.6.3.3). Those of this connection that stood when it
 * began are gone at its end, so they go here without a word; later ones are not meant.
 */
function dropForgotten(world: World, sa: IsakmpSa): void {
  for (const other of sasOf(world, sa.connection!.name)) {
    if (other !== sa && other.isUp && other.establishedOrder < sa.id) closeSa(world, other, 'replaced');
  }
}
