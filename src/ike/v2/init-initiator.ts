import type { IkeSuite } from '../../crypto/types.js';
import { copyOf, equalBytes } from '../../util/bytes.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import type { KePayload, NoncePayload, NotifyPayload, Payload, SaPayload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType, nameOf } from '../../wire/ike/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { espForm, natTraversalUnsupported } from '../path/carriage.js';
import { firstPath, floatToNatTraversalPort, takePath } from '../path/first-path.js';
import { detectNat, type NatFinding, natDetectionNotifies } from '../path/nat-detection.js';
import { exactlyOne } from '../payloads.js';
import { acceptIkeAnswer, ikeOffer } from '../policy/proposals.js';
import { noteQuirk } from '../quirks.js';
import { MAX_ANSWERS, MAX_FRUITLESS } from '../sa/branches.js';
import { failure } from '../sa/failures.js';
import { addressInTurn, drop, nextInTurn } from '../sa/world.js';
import { vendorNames } from '../vendors.js';
import { doubtOf, forkAnswer, isKnownAnswer, refuseInClear } from './answers.js';
import { failSa } from './close.js';
import { endAbandoned } from './established.js';
import { initRefused } from './failures.js';
import { IkeSa, type IkeSaIn } from './ike-sa.js';
import { keysOfFirst } from './keys.js';
import { offerOf } from './offer.js';
import { findError, findNotify, notify, takesIntermediate, wantedGroup } from './payloads.js';
import { type FirstRequest, firstLink, type InitiatorNegotiation } from './phases.js';
import { noteProposalQuirks } from './proposal-quirks.js';
import { sendRequest } from './send.js';
import type { Inbound, World } from './world.js';

/** Different cookies that are answered before it counts as a loop: secrets change, but not so often. */
const MAX_COOKIES = 5;
/**
 * How long a cookie waits for a real answer that it has overtaken: one is owed to a peer that demands none, and which
 * of two requests an answer is to, with the cookie or without, it does not say.
 */
const COOKIE_GRACE: Millis = 200;

/** An answer that has all that keys are made from. */
interface InitAnswer {
  readonly sa: SaPayload;
  readonly ke: KePayload;
  readonly nonce: NoncePayload;
}

/** Begins an IKE SA as initiator: the request leaves when the endpoint works off the queue. */
export function initiate(world: World, connection: ConnectionConfig): void {
  const { ctx } = world;
  const address = addressInTurn(world, connection);
  const proposals = offerOf(world, connection);
  const group = proposals[0]?.dh[0];
  const path = firstPath(connection, address);
  if (address === undefined || group === undefined) {
    const reason =
      address === undefined
        ? failure('dns_failed', 'the peer has no address: its host name is not resolved')
        : failure('unsupported', 'none of the configured IKE proposals can be used here');
    const { remote: peer } = path;
    ctx.event({ kind: 'ike-failed', connection: connection.id, role: 'initiator', peer, failure: reason });
    return;
  }
  endAbandoned(world, connection);
  const id = ctx.nextId();
  const initiatorSpi = freshIkeSpi(world);
  const negotiation: InitiatorNegotiation = {
    proposals,
    dh: ctx.crypto.dh(group).generate(ctx.random),
    nonce: ctx.random.bytes(NONCE_LENGTH),
    requests: [],
    cookie: undefined,
    cookieChanges: 0,
    cookieRepeats: 0,
    groupsTried: new Set([group]),
    revision: undefined,
    addressesLeft: connection.peer.addresses.length - 1,
    refusal: undefined,
    answeredAt: undefined,
    answers: 0,
    fruitless: 0,
    child: undefined,
  };
  const phase = { at: 'init-sent', link: firstLink(path, new Uint8Array(8)), negotiation } as const;
  const sa = new IkeSa({ id, role: 'initiator', phase, initiatorSpi, createdAt: ctx.now });
  sa.connection = connection;
  world.table.add(sa);
  sa.tasks.push({ kind: 'init' });
  ctx.event({
    kind: 'ike-initiating',
    connection: connection.id,
    ikeId: sa.id,
    version: 2,
    peer: path.remote,
  });
}

/** A random IKE SPI that is neither zero nor in use here (RFC 7296 §2.6). */
export function freshIkeSpi(world: World): Uint8Array {
  for (;;) {
    const spi = world.ctx.random.bytes(8);
    const hex = Array.from(spi, (octet) => octet.toString(16).padStart(2, '0')).join('');
    if (spi.some((octet) => octet !== 0) && !world.table.has(hex)) return spi;
  }
}

/** The IKE_SA_INIT request, also when it is sent again with a cookie or another group (RFC 7296 §1.2, §2.6). */
export function sendInit(world: World, sa: IkeSaIn<'init-sent'>): void {
  const { crypto, random, limits } = world.ctx;
  const { connection } = sa;
  const { negotiation } = sa.phase;
  const payloads: Payload[] = [
    ...(negotiation.cookie === undefined ? [] : [notify(NotifyType.COOKIE, negotiation.cookie)]),
    { kind: 'sa', proposals: ikeOffer(negotiation.proposals) },
    { kind: 'ke', group: negotiation.dh.group, data: negotiation.dh.publicValue },
    { kind: 'nonce', data: negotiation.nonce },
    ...natDetectionNotifies(crypto, random, sa, {
      local: sa.local,
      remote: sa.remote,
      force: connection.encapsulation === 'always',
    }),
    notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED),
    ...(negotiation.proposals.some(({ additional }) => additional !== undefined)
      ? [notify(NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED)]
      : []),
  ];
  const task = { kind: 'init' } as const;
  const [bytes] = sendRequest(world, sa, task, ExchangeType.IKE_SA_INIT, payloads, limits.retransmit);
  if (bytes !== undefined) negotiation.requests.push({ dh: negotiation.dh, bytes });
}

/**
 * An answer, the peer's or not. It is not protected: what is worth acting upon is decided here (RFC 7296 §2.21.1).
 * The present branch is that of IKE_SA_INIT.
 */
export function initAnswered(world: World, sa: IkeSaIn<'init-sent'>, message: Inbound): void {
  const { payloads, datagram } = message;
  const cookie = findNotify(payloads, NotifyType.COOKIE);
  const error = findError(payloads);
  const answer = exactlyOne(payloads, 'sa', 'ke', 'nonce');
  if (answer !== undefined) accept(world, sa, message, answer);
  else if (cookie !== undefined) answerCookie(world, sa, message, cookie);
  else if (error?.type === NotifyType.INVALID_KE_PAYLOAD) changeGroup(world, sa, message.datagram, error);
  else if (error !== undefined) refuseInClear(world, sa, initRefused(sa.connection, error));
  else drop(world, datagram, 'unexpected', 'an IKE_SA_INIT answer with neither an SA nor an error');
}

function answerCookie(world: World, sa: IkeSaIn<'init-sent'>, message: Inbound, cookie: NotifyPayload): void {
  const { negotiation } = sa.phase;
  // RFC 7296 §2.6: 1 to 64 octets.
  if (cookie.data.length < 1 || cookie.data.length > 64) {
    drop(world, message.datagram, 'malformed', `a cookie of ${cookie.data.length} octets`);
    return;
  }
  if (negotiation.cookie !== undefined && equalBytes(negotiation.cookie, cookie.data)) {
    // Most likely the answer to an earlier copy of the request without cookie. Retransmission continues.
    negotiation.cookieRepeats++;
    drop(world, message.datagram, 'unexpected', 'the cookie is the one already sent');
    return;
  }
  if (negotiation.revision !== undefined) {
    drop(world, message.datagram, 'unexpected', 'another cookie or group is about to be sent');
    return;
  }
  if (++negotiation.cookieChanges > MAX_COOKIES) {
    refuseInClear(world, sa, cookieLoop(negotiation.cookieChanges));
    return;
  }
  const at = world.ctx.now + Math.max(COOKIE_GRACE, doubtOf(sa));
  negotiation.revision = { cookie: copyOf(cookie.data), at };
}

/** Sends IKE_SA_INIT again as an answer asked for, none having authenticated meanwhile. */
export function revise(world: World, sa: IkeSaIn<'init-sent'>): void {
  const { ctx } = world;
  const { negotiation } = sa.phase;
  const { cookie, group } = negotiation.revision ?? {};
  const connection = sa.connection.id;
  negotiation.revision = undefined;
  if (cookie !== undefined) {
    negotiation.cookie = cookie;
    ctx.event({ kind: 'cookie-answered', connection, ikeId: sa.id, peer: sa.remote });
  }
  if (group !== undefined) {
    const from = negotiation.dh.group;
    // The one before stays: an answer to its request may still come, and be the peer's.
    negotiation.dh = ctx.crypto.dh(group).generate(ctx.random);
    negotiation.groupsTried.add(group);
    // The nonce and the cookie stay, so that a cookie already given is valid for this request too (§2.6.1).
    ctx.event({ kind: 'ke-group-changed', connection, ikeId: sa.id, from, to: group });
  }
  sendInit(world, sa);
}

function cookieLoop(tries: number): Failure {
  return {
    cause: 'cookie_loop',
    message:
      'the peer keeps asking for a cookie and does not take the one it gets: it is overloaded or at fault',
    details: { exchange: 'IKE_SA_INIT', tries },
  };
}

/** RFC 7296 §1.2: the same request with a KE payload of the group that the responder wants. */
function changeGroup(
  world: World,
  sa: IkeSaIn<'init-sent'>,
  datagram: Inbound['datagram'],
  error: NotifyPayload,
): void {
  const { connection } = sa;
  const { negotiation } = sa.phase;
  const group = wantedGroup(error);
  if (group === negotiation.dh.group) return;
  const offered = negotiation.proposals.some((spec) => spec.dh.includes(group ?? 0));
  if (group === undefined || !offered || negotiation.groupsTried.has(group)) {
    refuseInClear(world, sa, initRefused(connection, error));
    return;
  }
  if (negotiation.revision !== undefined) {
    drop(world, datagram, 'unexpected', 'another cookie or group is about to be sent');
    return;
  }
  const wait = doubtOf(sa);
  negotiation.revision = { group, at: world.ctx.now + wait };
  if (wait === 0) revise(world, sa);
}

/** A whole answer is gone on with, beside others that came: which of them is the peer's, IKE_AUTH shows. */
function accept(world: World, sa: IkeSaIn<'init-sent'>, message: Inbound, answer: InitAnswer): void {
  const { connection } = sa;
  const { negotiation } = sa.phase;
  const { header, payloads, datagram } = message;
  if (isKnownAnswer(sa, datagram.bytes)) {
    drop(world, datagram, 'outside_window', 'an answer to IKE_SA_INIT that came before');
    return;
  }
  if (negotiation.answers >= MAX_ANSWERS || negotiation.fruitless >= MAX_FRUITLESS) {
    const why = `${negotiation.answers} answers to one IKE_SA_INIT were taken, and ${negotiation.fruitless} were of no use`;
    drop(world, datagram, 'rate_limited', why);
    return;
  }
  const suite = acceptIkeAnswer(negotiation.proposals, answer.sa.proposals);
  if (!suite.ok) {
    refuseInClear(world, sa, suite.error);
    return;
  }
  if (suite.value.additional !== undefined && !takesIntermediate(payloads)) {
    const why = 'the peer chose additional key exchanges and does not say that it takes IKE_INTERMEDIATE';
    refuseInClear(world, sa, failure('invalid_syntax', why, 'IKE_SA_INIT'));
    return;
  }
  if (header.responderSpi.every((octet) => octet === 0)) {
    drop(world, datagram, 'malformed', 'an IKE_SA_INIT answer without responder SPI');
    return;
  }
  const request = requestOf(world, sa, message, { ke: answer.ke, group: suite.value.dh });
  if (request === undefined) return;
  const finding = detectNat(world.ctx.crypto, header, payloads, {
    local: datagram.local,
    remote: datagram.remote,
  });
  if (espForm({ natTraversal: finding.supported, nat: finding }, connection) === undefined) {
    refuseInClear(world, sa, natTraversalUnsupported('IKE_SA_INIT'));
    return;
  }
  const shared = request.dh.tryAgree(answer.ke.data);
  if (!shared.ok) {
    negotiation.fruitless++;
    const why = `the peer's public value is not valid: ${shared.error.message}`;
    refuseInClear(world, sa, failure('invalid_syntax', why, 'IKE_SA_INIT'));
    return;
  }
  const agreed = { request, nonce: answer.nonce.data, suite: suite.value, shared: shared.value, finding };
  goOn(world, sa, message, agreed);
}

/** The SA becomes the branch of this answer, and is on its way to IKE_AUTH, by IKE_INTERMEDIATE if that was agreed on. */
function goOn(
  world: World,
  sa: IkeSaIn<'init-sent'>,
  message: Inbound,
  agreed: {
    readonly request: FirstRequest;
    readonly nonce: Uint8Array;
    readonly suite: IkeSuite;
    readonly shared: SecretKey;
    readonly finding: NatFinding;
  },
): void {
  const { header, payloads, datagram } = message;
  const { request, suite, shared, finding } = agreed;
  const { connection } = sa;
  const { negotiation } = sa.phase;
  const link = {
    ...forkAnswer(world, sa),
    responderSpi: copyOf(header.responderSpi),
    natTraversal: finding.supported,
    nat: { local: finding.local, peer: finding.peer },
    fragmentation: findNotify(payloads, NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) !== undefined,
    peerVendors: vendorNames(payloads),
    nextMessageId: 1,
  };
  const responderNonce = copyOf(agreed.nonce);
  const nonces = { initiator: negotiation.nonce, responder: responderNonce };
  const owner = { role: sa.role, initiatorSpi: sa.initiatorSpi, responderSpi: link.responderSpi };
  const common = {
    link,
    negotiation,
    init: { request: request.bytes, response: copyOf(datagram.bytes), responderNonce },
    portProven: datagram.natTraversalPort,
    keyed: keysOfFirst(world, owner, suite, nonces, shared),
    intAuth: undefined,
  };
  const { additional: left } = suite;
  if (left === undefined) sa.moveTo({ at: 'auth-sent', ...common });
  else sa.moveTo({ at: 'intermediate-sent', left, ...common });
  if (message.padded) noteQuirk(world.ctx, sa, 'trailing_zeros');
  noteProposalQuirks(world, sa, payloads, true);
  if (espForm(link, connection) === 'udp') floatToNatTraversalPort(sa);
  sa.tasks.push({ kind: left === undefined ? 'auth' : 'intermediate' });
}

/** The request that an answer with this group is to, the last one with it; undefined when it is to none. */
function requestOf(
  world: World,
  sa: IkeSaIn<'init-sent'>,
  { datagram }: Inbound,
  { ke, group }: { readonly ke: InitAnswer['ke']; readonly group: number },
): FirstRequest | undefined {
  const request = sa.phase.negotiation.requests.findLast(({ dh }) => dh.group === group);
  if (request === undefined || ke.group !== group) {
    const groups = `${nameOf('dh', group)} chosen, ${nameOf('dh', ke.group)} in its KE payload`;
    const why = `the peer's answer mixes DH groups: ${groups}`;
    refuseInClear(world, sa, failure('invalid_syntax', why, 'IKE_SA_INIT'));
    return undefined;
  }
  if (ke.data.length === request.dh.publicValue.length) return request;
  drop(world, datagram, 'malformed', `a public value of ${ke.data.length} octets for group ${ke.group}`);
  return undefined;
}

/**
 * Nothing came back to IKE_SA_INIT. Goes on with the peer's next address in the same SA, or fails.
 */
export function initSilent(world: World, sa: IkeSaIn<'init-sent'>): void {
  const { connection } = sa;
  const { negotiation } = sa.phase;
  const tries = sa.active?.retransmission.sent ?? 0;
  if (negotiation.cookieRepeats > 1) {
    failSa(world, sa, cookieLoop(negotiation.cookieRepeats));
    return;
  }
  const next = nextInTurn(world, connection);
  if (negotiation.addressesLeft > 0 && next !== undefined) {
    negotiation.addressesLeft--;
    negotiation.cookie = undefined;
    negotiation.revision = undefined;
    takePath(sa, firstPath(connection, next));
    world.ctx.event({
      kind: 'ike-initiating',
      connection: connection.id,
      ikeId: sa.id,
      version: 2,
      peer: sa.remote,
    });
    sendInit(world, sa);
    return;
  }
  failSa(world, sa, {
    cause: 'peer_silent',
    message: `${connection.peer.addresses.join(', ')} did not answer on UDP port ${sa.remote.port}: check the address, that the peer runs, and that no firewall stands between`,
    details: { exchange: 'IKE_SA_INIT', tries, unanswered: 'message 1' },
  });
}
