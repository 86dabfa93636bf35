import { equalConstantTime } from '../../crypto/compare.js';
import { hashI, hashR } from '../../crypto/keymat-v1.js';
import { copyOf } from '../../util/bytes.js';
import type { Millis } from '../../util/units.js';
import { IKE_PORT, NAT_TRAVERSAL_PORT, NONCE_LENGTH } from '../../wire/ike/constants.js';
import { encodeV1Body } from '../../wire/ike/v1/message.js';
import type { V1Payload, V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Exchange, V1Notify } from '../../wire/ike/v1/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { espForm, natTraversalUnsupported } from '../path/carriage.js';
import { firstPath, floatToNatTraversalPort, takePath } from '../path/first-path.js';
import { NO_CANDIDATES } from '../policy/candidates.js';
import { checkPeerIdentity } from '../policy/lookup.js';
import { acceptIkeAnswerV1, ikeOfferV1 } from '../policy/proposals-v1.js';
import { MAX_ANSWERS, REFUSAL_GRACE } from '../sa/branches.js';
import { forkAnswer, isKnownResponder, leaveSilent, onDue } from './answers.js';
import { announceIsakmpDelete, failSa } from './close.js';
import { establish } from './established.js';
import { mainFailure, pskLikely, pskMismatch } from './failures.js';
import { IsakmpSa } from './isakmp-sa.js';
import { hashOf, keySa, transcriptOf } from './keys.js';
import { detectNatV1, natDPayloads } from './nat.js';
import { probePort } from './port-probe.js';
import {
  clearMain,
  isakmpSpi,
  notify,
  reportOpened,
  reportRetransmission,
  sealedMain,
  sendInformational,
  sendPending,
  transmit,
} from './send.js';
import { offeredVendorIds, readVendorIds } from './vendor-ids.js';
import {
  childrenOf,
  drop,
  find,
  freshCookie,
  hasExactlyOne,
  type Inbound,
  sasOf,
  type World,
} from './world.js';

/** How long a real answer may still overtake a refusal that cannot even be read: the real answer may have been lost before it. */
const RUBBISH_GRACE: Millis = 3000;

/** What a main mode of ours is for, where it is not only to have an SA. */
export interface Purpose {
  /** The SA to be rekeyed, whose path is used again. */
  readonly replaces?: IsakmpSa;
  /** All ESP SAs are to be re-established. */
  readonly renewing?: boolean;
  /** Inbound SPIs of ESP SAs that are gone here without a word: their DELETE is all that the SA is made for. */
  readonly farewell?: readonly number[];
}

/** Begins main mode. */
export function initiate(world: World, connection: ConnectionConfig, purpose: Purpose = {}): void {
  const { ctx } = world;
  const { replaces, renewing = false, farewell } = purpose;
  const { addresses } = connection.peer;
  const turn = world.addressTurn.get(connection.id) ?? 0;
  const address = replaces?.remote.address ?? addresses[turn % Math.max(1, addresses.length)];
  const proposals = ikeOfferV1(connection.ikeProposals, connection.ikeLifetime);
  const path = replaces ?? firstPath(connection, address);
  if (address === undefined || proposals.length === 0) {
    const reason =
      address === undefined
        ? mainFailure('dns_failed', 'the peer has no address: its host name is not resolved')
        : mainFailure(
            'unsupported',
            'none of the configured IKE proposals exists in IKEv1: it has no AEAD ciphers',
          );
    const { remote: peer } = path;
    ctx.event({ kind: 'ike-failed', connection: connection.id, role: 'initiator', peer, failure: reason });
    return;
  }
  const payload: V1Payload = { kind: 'sa', proposals };
  const sa = new IsakmpSa({
    id: ctx.nextId(),
    role: 'initiator',
    state: 'sa-sent',
    initiatorCookie: freshCookie(world),
    responderCookie: new Uint8Array(8),
    local: path.local,
    remote: path.remote,
    natTraversalPort: path.natTraversalPort,
    createdAt: ctx.now,
    negotiation: {
      dh: undefined,
      saBody: encodeV1Body(payload),
      initiatorPublic: new Uint8Array(0),
      responderPublic: new Uint8Array(0),
      initiatorNonce: ctx.random.bytes(NONCE_LENGTH),
      responderNonce: new Uint8Array(0),
      messageOne: undefined,
      candidates: NO_CANDIDATES,
      answer: undefined,
      shared: undefined,
      trial: undefined,
      trials: 0,
      addressesLeft: replaces === undefined ? addresses.length - 1 : 0,
      reported: false,
      replaces: replaces?.id,
      renewing,
      farewell,
      attempt: { refusal: undefined, answers: 0, portProbe: undefined },
      agreements: 0,
    },
  });
  sa.connection = connection;
  world.table.add(sa);
  reportInitiating(world, sa);
  sendPending(world, sa, clearMain(world, sa, [payload, ...offeredVendorIds()]));
}

function reportInitiating(world: World, sa: IsakmpSa): void {
  if (sa.negotiation?.farewell !== undefined) return;
  const connection = sa.connection!.id;
  world.ctx.event({ kind: 'ike-initiating', connection, ikeId: sa.id, version: 1, peer: sa.remote });
}

/** Message 2: HDR, SA, vendor ids. In the clear: what is worth acting upon is decided here. */
export function saAnswered(world: World, sa: IsakmpSa, message: Inbound): void {
  const { ctx } = world;
  const { header, payloads, datagram } = message;
  const connection = sa.connection!;
  const { attempt } = sa.negotiation!;
  if (!hasExactlyOne(payloads, 'sa') || header.responderCookie.every((octet) => octet === 0)) {
    drop(
      world,
      datagram,
      'malformed',
      'message 2 of main mode without one SA payload and a responder cookie',
    );
    return;
  }
  if (attempt.answers >= MAX_ANSWERS || isKnownResponder(sa, header.responderCookie)) {
    drop(world, datagram, 'rate_limited', `${attempt.answers} messages 2 of main mode were taken`);
    return;
  }
  const answer = acceptIkeAnswerV1(connection.ikeProposals, find(payloads, 'sa')!.proposals);
  if (!answer.ok) {
    refuse(world, sa, answer.error);
    return;
  }
  const vendors = readVendorIds(payloads);
  attempt.answers++;
  forkAnswer(world, sa);
  const negotiation = sa.negotiation!;
  sa.responderCookie = copyOf(header.responderCookie);
  sa.suite = answer.value.suite;
  sa.lifetimes = answer.value.lifetimes;
  sa.dialect = vendors.dialect;
  sa.peerDpd = vendors.dpd;
  sa.peerFragmentation = vendors.fragmentation;
  sa.peerVendors = vendors.names;
  sa.lastIn = copyOf(datagram.bytes);
  sa.portProven = datagram.natTraversalPort;
  negotiation.dh = ctx.crypto.dh(sa.suite.dh).generate(ctx.random);
  negotiation.initiatorPublic = copyOf(negotiation.dh.publicValue);
  sa.state = 'ke-sent';
  sendPending(
    world,
    sa,
    clearMain(world, sa, [
      { kind: 'ke', data: negotiation.initiatorPublic },
      { kind: 'nonce', data: negotiation.initiatorNonce },
      ...natPayloads(world, sa, connection.encapsulation === 'always'),
    ]),
  );
}

/** NAT-D payloads of message 3 or 4, in the dialect agreed on. */
export function natPayloads(world: World, sa: IsakmpSa, force: boolean): V1Payload[] {
  const { crypto, random } = world.ctx;
  if (sa.dialect === undefined) return [];
  const path = { local: sa.local, remote: sa.remote, force };
  return natDPayloads(crypto, random, hashOf(sa), sa.cookies, path, sa.dialect);
}

/** Message 4: HDR, KE, Nr, NAT-D. Message 5, encrypted, goes out. */
export function keAnswered(world: World, sa: IsakmpSa, message: Inbound): void {
  const { ctx } = world;
  const { payloads, datagram } = message;
  const connection = sa.connection!;
  const asked = sa.negotiation!;
  if (!hasExactlyOne(payloads, 'ke', 'nonce')) {
    drop(world, datagram, 'malformed', 'message 4 of main mode without exactly one KE and nonce payload');
    return;
  }
  const publicValue = find(payloads, 'ke')!.data;
  if (publicValue.length !== asked.dh!.publicValue.length) {
    drop(
      world,
      datagram,
      'malformed',
      `a public value of ${publicValue.length} octets for group ${sa.suite!.dh}`,
    );
    return;
  }
  if (asked.agreements >= MAX_ANSWERS) {
    drop(world, datagram, 'rate_limited', `${asked.agreements} messages 4 of main mode were tried`);
    return;
  }
  const finding = detectNatV1(ctx.crypto, hashOf(sa), sa.cookies, payloads, datagram);
  const natTraversal = finding.supported && sa.dialect !== undefined;
  if (espForm({ natTraversal, nat: finding }, connection) === undefined) {
    refuse(world, sa, natTraversalUnsupported('MAIN_MODE'));
    return;
  }
  const shared = asked.dh!.tryAgree(publicValue);
  asked.agreements++;
  if (!shared.ok) {
    const reason = `the peer's public value is not valid: ${shared.error.message}`;
    // Anyone may have sent it: the peer's own message 4 may still come.
    refuse(world, sa, mainFailure('invalid_syntax', reason));
    return;
  }
  forkAnswer(world, sa);
  const negotiation = sa.negotiation!;
  negotiation.responderPublic = copyOf(publicValue);
  negotiation.responderNonce = copyOf(find(payloads, 'nonce')!.data);
  keySa(world, sa, connection.psk, shared.value);
  shared.value.wipe();
  noteVendors(sa, payloads);
  sa.natTraversal = natTraversal;
  sa.nat = { local: finding.local, peer: finding.peer };
  if (espForm(sa, connection) === 'udp') {
    floatToNatTraversalPort(sa);
  }
  sa.lastIn = copyOf(datagram.bytes);
  sendIdentity(world, sa);
}

/** Message 5: HDR*, IDii, HASH_I. */
function sendIdentity(world: World, sa: IsakmpSa): void {
  const { ctx } = world;
  const connection = sa.connection!;
  sa.state = 'id-sent';
  const id: V1Payload = { kind: 'id', ...connection.local.identity, protocol: 0, port: 0 };
  const prf = ctx.crypto.prf(sa.suite!.prf);
  const hash = hashI(prf, sa.keys!.skeyid, transcriptOf(sa), encodeV1Body(id));
  // RFC 2407 §4.6.3.3: no other SA with the peer is known here, nor an ESP SA that one of them has left.
  const first =
    !sasOf(world, connection.id).some((other) => other.isUp) && childrenOf(world, connection.id).length === 0;
  sendPending(
    world,
    sa,
    sealedMain(world, sa, [
      id,
      { kind: 'hash', data: hash },
      ...(first ? [notify(V1Notify.INITIAL_CONTACT, { spi: isakmpSpi(sa) })] : []),
    ]),
  );
}

/** Some peers send their vendor ids only with message 4. */
function noteVendors(sa: IsakmpSa, payloads: readonly V1Payload[]): void {
  const later = readVendorIds(payloads);
  sa.peerDpd ||= later.dpd;
  sa.peerFragmentation ||= later.fragmentation;
  sa.peerVendors = [...new Set([...sa.peerVendors, ...later.names])];
}

/** Message 6: HDR*, IDir, HASH_R. */
export function idAnswered(world: World, sa: IsakmpSa, message: Inbound, sealed: V1Sealed): void {
  const { ctx } = world;
  const { datagram } = message;
  const protection = sa.protection!;
  const opened = protection.open(protection.phase1, sealed);
  const id = opened.ok ? find(opened.value.payloads, 'id') : undefined;
  const hash = opened.ok ? find(opened.value.payloads, 'hash') : undefined;
  if (!opened.ok || id === undefined || hash === undefined) {
    // Only a peer with our key sends message 6, so this is someone's rubbish; at most a hint.
    drop(world, datagram, 'decryption_failed', 'message 6 of main mode does not decrypt to ID and HASH');
    refuse(world, sa, pskLikely("the peer's message 6 decrypts to rubbish"), RUBBISH_GRACE);
    return;
  }
  const prf = ctx.crypto.prf(sa.suite!.prf);
  const expected = hashR(prf, sa.keys!.skeyid, transcriptOf(sa), encodeV1Body(id));
  if (!equalConstantTime(expected, hash.data)) {
    drop(world, datagram, 'decryption_failed', 'HASH_R of message 6 does not hold');
    refuse(world, sa, pskMismatch(), RUBBISH_GRACE);
    return;
  }
  reportOpened(world, sa, message, opened.value.payloads);
  protection.phase1.adopt(opened.value.nextIv);
  sa.lastIn = copyOf(datagram.bytes);
  // The others were not the peer's.
  sa.branches.settle();
  const identity = checkPeerIdentity(sa.connection!, id, sa.remote.address);
  if (!identity.ok) {
    // The responder believes the SA to be up.
    sendInformational(world, sa, [notify(V1Notify.INVALID_ID_INFORMATION, { spi: isakmpSpi(sa) })]);
    announceIsakmpDelete(world, sa);
    failSa(world, sa, identity.error);
    return;
  }
  establish(world, sa, id);
}

/**
 * A refusal that anyone may have sent does not end the attempt by itself: it counts when no real answer comes
 * within a grace time.
 */
export function refuse(world: World, sa: IsakmpSa, failure: Failure, grace: Millis = REFUSAL_GRACE): void {
  if (sa.negotiation === undefined) return;
  sa.negotiation.attempt.refusal ??= { failure, effectiveAt: world.ctx.now + grace };
}

/** An encrypted message that we cannot read while the peer should answer message 5: it has another key. */
export function unreadable(world: World, sa: IsakmpSa): void {
  refuse(
    world,
    sa,
    pskLikely('the peer answers our authentication with a message that our key does not open', sa.connection),
    RUBBISH_GRACE,
  );
}

/** Repeats our messages, goes on with the peer's next address, or gives up. */
export function mainOverdue(world: World, sa: IsakmpSa): void {
  onDue(sa, world.ctx.now, () => repeat(world, sa));
}

function repeat(world: World, sa: IsakmpSa): void {
  const pending = sa.pending!;
  if (pending.retransmission.expire(world.ctx.now) === 'send') {
    reportRetransmission(world, sa, V1Exchange.MAIN_MODE, pending.retransmission.sent);
    transmit(world, sa, pending.bytes);
    if (sa.state === 'id-sent' && sa.natTraversalPort && !sa.portProven) probePort(world, sa);
    return;
  }
  if (leaveSilent(sa)) return;
  const tries = pending.retransmission.sent;
  const { addresses } = sa.connection!.peer;
  const name = sa.connection!.id;
  const turn = (world.addressTurn.get(name) ?? 0) + 1;
  world.addressTurn.set(name, turn);
  const next = addresses[turn % Math.max(1, addresses.length)];
  if (sa.state === 'sa-sent' && sa.negotiation!.addressesLeft > 0 && next !== undefined) {
    sa.negotiation!.addressesLeft--;
    takePath(sa, firstPath(sa.connection!, next));
    reportInitiating(world, sa);
    sendPending(world, sa, pending.bytes);
    return;
  }
  failSa(world, sa, silent(sa, tries));
}

function silent(sa: IsakmpSa, tries: number): Failure {
  const details = { exchange: 'MAIN_MODE', tries };
  if (sa.state === 'sa-sent') {
    const addresses = sa.connection!.peer.addresses.join(', ');
    return {
      cause: 'peer_silent',
      message: `${addresses} did not answer on UDP port ${sa.remote.port}: check the address, that the peer runs and takes IKEv1, and that no firewall stands between`,
      details: { ...details, unanswered: 'message 1' },
    };
  }
  if (sa.state === 'ke-sent') {
    return {
      cause: 'peer_silent',
      message:
        'the peer answered message 1 of main mode but not message 3: larger packets may be lost on the way',
      details,
    };
  }
  if (sa.natTraversalPort && !sa.portProven) {
    return {
      cause: 'port_4500_blocked',
      message: `the peer answered on UDP port ${IKE_PORT} but not on ${NAT_TRAVERSAL_PORT}: let both through every firewall on the way; or its pre-shared key differs, or the identity it expects, at which IKEv1 peers stay silent`,
      details,
    };
  }
  const evidence = sa.natTraversalPort
    ? `the peer answers on UDP port ${NAT_TRAVERSAL_PORT}, but not our authentication`
    : 'the peer does not answer our authentication';
  return { ...pskLikely(evidence, sa.connection), details };
}
