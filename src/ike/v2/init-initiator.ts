import { copyOf, equalBytes } from '../../util/bytes.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType, nameOf } from '../../wire/ike/registry.js';
import { espForm, natTraversalUnsupported } from '../carriage.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { firstPath, floatToNatTraversalPort, takePath } from '../first-path.js';
import { detectNat, natDetectionNotifies } from '../nat-detection.js';
import { acceptIkeAnswer, ikeOffer } from '../policy/proposals.js';
import { failSa } from './close.js';
import { endAbandoned } from './established.js';
import { failure, initRefused } from './failures.js';
import { IkeSa } from './ike-sa.js';
import { keyFirstSa } from './keys.js';
import { find, findError, findNotify, hasExactlyOne, notify, wantedGroup } from './payloads.js';
import { noteProposalQuirks } from './proposal-quirks.js';
import { sendRequest } from './send.js';
import { vendorNames } from './vendors.js';
import { drop, type Inbound, type World } from './world.js';

const NONCE_LENGTH = 32;
/** Different cookies that are answered before it counts as a loop: secrets change, but not so often. */
const MOST_COOKIES = 5;
/** How long a real answer may still overtake an unauthenticated refusal. */
const REFUSAL_GRACE = 1000;

/** Begins an IKE SA as initiator: the request leaves when the endpoint works off the queue. */
export function initiate(world: World, connection: ConnectionConfig): void {
  const { ctx } = world;
  const { addresses } = connection.peer;
  const turn = world.addressTurn.get(connection.name) ?? 0;
  const address = addresses[turn % Math.max(1, addresses.length)];
  const spec = connection.ikeProposals[0];
  const path = firstPath(connection, address);
  if (address === undefined || spec === undefined) {
    const reason =
      address === undefined
        ? failure('dns_failed', 'the peer has no address: its host name is not resolved')
        : failure('unsupported', 'none of the configured IKE proposals can be used here');
    const { remote: peer } = path;
    ctx.event({ kind: 'ike-failed', connection: connection.name, role: 'initiator', peer, failure: reason });
    return;
  }
  endAbandoned(world, connection);
  const sa = new IkeSa({
    id: ctx.nextId(),
    role: 'initiator',
    state: 'init-sent',
    initiatorSpi: freshIkeSpi(world),
    responderSpi: new Uint8Array(8),
    ...path,
    createdAt: ctx.now,
  });
  const group = spec.dh[0]!;
  sa.connection = connection;
  sa.initiating = {
    dh: ctx.crypto.dh(group).generate(ctx.random),
    nonce: ctx.random.bytes(NONCE_LENGTH),
    request: new Uint8Array(0),
    cookie: undefined,
    cookieChanges: 0,
    cookieRepeats: 0,
    groupsTried: new Set([group]),
    addressesLeft: addresses.length - 1,
    refusal: undefined,
    responderNonce: undefined,
    response: undefined,
    childSpi: undefined,
    proposed: undefined,
  };
  world.table.add(sa);
  sa.tasks.push({ kind: 'init' });
  ctx.event({
    kind: 'ike-initiating',
    connection: connection.name,
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

/** The IKE_SA_INIT request, also when it is sent anew with a cookie or another group (RFC 7296 §1.2, §2.6). */
export function sendInit(world: World, sa: IkeSa): void {
  const { crypto, random, limits } = world.ctx;
  const negotiation = sa.initiating!;
  const connection = sa.connection!;
  const payloads: Payload[] = [
    ...(negotiation.cookie === undefined ? [] : [notify(NotifyType.COOKIE, negotiation.cookie)]),
    { kind: 'sa', proposals: ikeOffer(connection.ikeProposals) },
    { kind: 'ke', group: negotiation.dh.group, data: negotiation.dh.publicValue },
    { kind: 'nonce', data: negotiation.nonce },
    ...natDetectionNotifies(crypto, random, sa, {
      local: sa.local,
      remote: sa.remote,
      force: connection.encapsulation === 'always',
    }),
    notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED),
  ];
  const task = { kind: 'init' } as const;
  negotiation.request = sendRequest(world, sa, task, ExchangeType.IKE_SA_INIT, payloads, limits.retransmit);
}

/** The peer's answer. It is not protected: what is worth acting upon is decided here (RFC 7296 §2.21.1). */
export function initAnswered(world: World, sa: IkeSa, message: Inbound): void {
  const { payloads, datagram } = message;
  const cookie = findNotify(payloads, NotifyType.COOKIE);
  const error = findError(payloads);
  if (hasExactlyOne(payloads, 'sa', 'ke', 'nonce')) accept(world, sa, message);
  else if (cookie !== undefined) answerCookie(world, sa, message, cookie);
  else if (error?.type === NotifyType.INVALID_KE_PAYLOAD) changeGroup(world, sa, error);
  else if (error !== undefined) refuse(world, sa, initRefused(sa.connection!, error));
  else drop(world, datagram, 'unexpected', 'an IKE_SA_INIT answer with neither an SA nor an error');
}

/**
 * An error that anyone may have sent does not end the attempt by itself: it counts only if no real answer
 * comes within a grace time. One forged packet then delays nothing, and an honest refusal is told soon.
 */
function refuse(world: World, sa: IkeSa, reason: Failure): void {
  sa.initiating!.refusal ??= { failure: reason, effectiveAt: world.ctx.now + REFUSAL_GRACE };
}

function answerCookie(world: World, sa: IkeSa, message: Inbound, cookie: NotifyPayload): void {
  const negotiation = sa.initiating!;
  // RFC 7296 §2.6: 1 to 64 octets.
  if (cookie.data.length < 1 || cookie.data.length > 64) {
    drop(world, message.datagram, 'malformed', `a cookie of ${cookie.data.length} octets`);
    return;
  }
  if (negotiation.cookie !== undefined && equalBytes(negotiation.cookie, cookie.data)) {
    // Most likely the answer to an earlier copy of the request without cookie. Retransmission goes on.
    negotiation.cookieRepeats++;
    drop(world, message.datagram, 'unexpected', 'the cookie is the one already sent');
    return;
  }
  if (++negotiation.cookieChanges > MOST_COOKIES) {
    refuse(world, sa, cookieLoop(negotiation.cookieChanges));
    return;
  }
  negotiation.cookie = copyOf(cookie.data);
  world.ctx.event({
    kind: 'cookie-answered',
    connection: sa.connection!.name,
    ikeId: sa.id,
    peer: sa.remote,
  });
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
function changeGroup(world: World, sa: IkeSa, error: NotifyPayload): void {
  const { crypto, random } = world.ctx;
  const negotiation = sa.initiating!;
  const connection = sa.connection!;
  const group = wantedGroup(error);
  if (group === negotiation.dh.group) return;
  const offered = connection.ikeProposals.some((spec) => spec.dh.includes(group ?? 0));
  if (group === undefined || !offered || negotiation.groupsTried.has(group)) {
    refuse(world, sa, initRefused(connection, error));
    return;
  }
  const from = negotiation.dh.group;
  negotiation.dh.wipe();
  negotiation.dh = crypto.dh(group).generate(random);
  negotiation.groupsTried.add(group);
  // The nonce and the cookie stay, so that a cookie already given holds for this request too (§2.6.1).
  world.ctx.event({ kind: 'ke-group-changed', connection: connection.name, ikeId: sa.id, from, to: group });
  sendInit(world, sa);
}

function accept(world: World, sa: IkeSa, message: Inbound): void {
  const { crypto } = world.ctx;
  const negotiation = sa.initiating!;
  const connection = sa.connection!;
  const { header, payloads, datagram } = message;
  const ke = find(payloads, 'ke')!;
  const suite = acceptIkeAnswer(connection.ikeProposals, find(payloads, 'sa')!.proposals);
  if (!suite.ok) {
    refuse(world, sa, suite.error);
    return;
  }
  if (suite.value.dh !== negotiation.dh.group || ke.group !== suite.value.dh) {
    const groups = `${nameOf('dh', suite.value.dh)} chosen, ${nameOf('dh', ke.group)} in its KE payload`;
    refuse(
      world,
      sa,
      failure('invalid_syntax', `the peer's answer mixes DH groups: ${groups}`, 'IKE_SA_INIT'),
    );
    return;
  }
  if (header.responderSpi.every((octet) => octet === 0)) {
    drop(world, datagram, 'malformed', 'an IKE_SA_INIT answer without responder SPI');
    return;
  }
  if (ke.data.length !== negotiation.dh.publicValue.length) {
    drop(world, datagram, 'malformed', `a public value of ${ke.data.length} octets for group ${ke.group}`);
    return;
  }
  const finding = detectNat(crypto, header, payloads, { local: datagram.local, remote: datagram.remote });
  if (espForm({ natTraversal: finding.supported, nat: finding }, connection) === undefined) {
    refuse(world, sa, natTraversalUnsupported('IKE_SA_INIT'));
    return;
  }
  const shared = negotiation.dh.tryAgree(ke.data);
  if (!shared.ok) {
    const reason = failure(
      'invalid_syntax',
      `the peer's public value is not valid: ${shared.error.message}`,
      'IKE_SA_INIT',
    );
    // Anyone may have sent it: the peer's own answer may still come.
    refuse(world, sa, reason);
    return;
  }
  sa.responderSpi = copyOf(header.responderSpi);
  negotiation.responderNonce = copyOf(find(payloads, 'nonce')!.data);
  negotiation.response = copyOf(datagram.bytes);
  negotiation.refusal = undefined;
  noteProposalQuirks(world, sa, payloads, true);
  const nonces = { initiator: negotiation.nonce, responder: negotiation.responderNonce };
  keyFirstSa(world, sa, suite.value, nonces, shared.value);
  sa.natTraversal = finding.supported;
  sa.nat = { local: finding.local, peer: finding.peer };
  sa.fragmentation = findNotify(payloads, NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) !== undefined;
  sa.peerVendors = vendorNames(payloads);
  sa.portProven = datagram.natTraversalPort;
  if (espForm(sa, connection) === 'udp') {
    floatToNatTraversalPort(sa);
  }
  sa.active = undefined;
  sa.nextMessageId = 1;
  sa.state = 'auth-sent';
  sa.tasks.push({ kind: 'auth' });
}

/**
 * Nothing came back to IKE_SA_INIT. Goes on with the peer's next address in the same SA, or fails.
 */
export function initSilent(world: World, sa: IkeSa): void {
  const negotiation = sa.initiating!;
  const connection = sa.connection!;
  const tries = sa.active?.retransmission.sent ?? 0;
  if (negotiation.cookieRepeats > 1) {
    failSa(world, sa, cookieLoop(negotiation.cookieRepeats));
    return;
  }
  const { addresses } = connection.peer;
  world.addressTurn.set(connection.name, (world.addressTurn.get(connection.name) ?? 0) + 1);
  const next = addresses[(world.addressTurn.get(connection.name) ?? 0) % addresses.length];
  if (negotiation.addressesLeft > 0 && next !== undefined) {
    negotiation.addressesLeft--;
    negotiation.cookie = undefined;
    takePath(sa, firstPath(connection, next));
    world.ctx.event({
      kind: 'ike-initiating',
      connection: connection.name,
      ikeId: sa.id,
      version: 2,
      peer: sa.remote,
    });
    sendInit(world, sa);
    return;
  }
  failSa(world, sa, {
    cause: 'peer_silent',
    message: `${addresses.join(', ')} did not answer on UDP port ${sa.remote.port}: check the address, that the peer runs, and that no firewall stands between`,
    details: { exchange: 'IKE_SA_INIT', tries, unanswered: 'message 1' },
  });
}
