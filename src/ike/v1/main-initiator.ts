import { equalConstantTime } from '../../crypto/compare.js';
import { hashI, hashR } from '../../crypto/keymat-v1.js';
import { copyOf } from '../../util/bytes.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import { encodeV1Body } from '../../wire/ike/v1/message.js';
import type { V1DataPayload, V1Payload, V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Notify } from '../../wire/ike/v1/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { espForm, natTraversalUnsupported } from '../path/carriage.js';
import { firstPath, floatToNatTraversalPort } from '../path/first-path.js';
import { find, only } from '../payloads.js';
import { checkPeerIdentity } from '../policy/lookup.js';
import { acceptIkeAnswerV1, ikeOfferV1 } from '../policy/proposals-v1.js';
import { MAX_ANSWERS, REFUSAL_GRACE } from '../sa/branches.js';
import { addressInTurn, drop } from '../sa/world.js';
import { forkAnswer, isKnownResponder } from './answers.js';
import { announceIsakmpDelete, failSa, isFarewell } from './close.js';
import { establish } from './established.js';
import { mainFailure, pskLikely, pskMismatch } from './failures.js';
import { begin, enter, type IsakmpSa, type IsakmpSaIn, isStarting, type StartingSa } from './isakmp-sa.js';
import { hashOf, protectionOf } from './keys.js';
import { detectNatV1, natDPayloads } from './nat.js';
import type { Attempt, NatFacts, Transcript } from './phases.js';
import {
  clearMain,
  isakmpSpi,
  notify,
  reportOpened,
  sealedMain,
  sendInformational,
  sendPending,
} from './send.js';
import { keptFor, termsOf, withVendors } from './terms.js';
import { offeredVendorIds, readVendorIds } from './vendor-ids.js';
import { childrenOf, freshCookie, type Inbound, upSasOf, type World } from './world.js';

/**
 * How long a real answer may still overtake a refusal that cannot even be read: the real answer may have been lost
 * before it.
 */
const RUBBISH_GRACE: Millis = 3000;

/** What a main mode of ours is for, where it is not only to have an SA. */
export interface Purpose {
  /** The SA to be rekeyed, whose path is used again. */
  readonly replaces?: IsakmpSa;
  /** All ESP SAs are to be re-established. */
  readonly renewing?: boolean;
  /** Inbound SPIs of ESP SAs that were removed here silently: their DELETE is all that the SA is made for. */
  readonly farewell?: readonly number[];
}

/** Begins main mode. */
export function initiate(world: World, connection: ConnectionConfig, purpose: Purpose = {}): void {
  const { ctx } = world;
  const { replaces, renewing = false, farewell } = purpose;
  const address = replaces?.remote.address ?? addressInTurn(world, connection);
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
  const init = {
    id: ctx.nextId(),
    role: 'initiator',
    initiatorCookie: freshCookie(world),
    createdAt: ctx.now,
    connection,
  } as const;
  const { local, remote, natTraversalPort } = path;
  const attempt: Attempt = {
    saBody: encodeV1Body(payload),
    nonce: ctx.random.bytes(NONCE_LENGTH),
    replaces: replaces?.id,
    renewing,
    farewell,
    refusal: undefined,
    answers: 0,
    portProbe: undefined,
  };
  const sa = begin(init, {
    at: 'sa-sent',
    link: { local, remote, natTraversalPort, responderCookie: new Uint8Array(8) },
    attempt,
    pending: undefined,
    addressesLeft: replaces === undefined ? connection.peer.addresses.length - 1 : 0,
  });
  world.table.add(sa);
  reportInitiating(world, sa);
  sendPending(world, sa, clearMain(world, sa, [payload, ...offeredVendorIds()]));
}

/** Raises `ike-initiating`, except for an SA made only to deliver a DELETE. */
export function reportInitiating(world: World, sa: StartingSa): void {
  if (isFarewell(sa)) return;
  const connection = sa.connection.id;
  world.ctx.event({ kind: 'ike-initiating', connection, ikeId: sa.id, version: 1, peer: sa.remote });
}

/** Message 2: HDR, SA, vendor ids. In the clear: what is worth acting upon is decided here. */
export function saAnswered(world: World, sa: IsakmpSaIn<'sa-sent'>, message: Inbound): void {
  const { ctx } = world;
  const { header, payloads, datagram } = message;
  const { connection } = sa;
  const { attempt, link } = sa.phase;
  const chosen = only(payloads, 'sa');
  if (chosen === undefined || header.responderCookie.every((octet) => octet === 0)) {
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
  const answer = acceptIkeAnswerV1(connection.ikeProposals, chosen.proposals);
  if (!answer.ok) {
    refuse(world, sa, answer.error);
    return;
  }
  attempt.answers++;
  forkAnswer(world, sa);
  const { suite, lifetimes } = answer.value;
  const dh = ctx.crypto.dh(suite.dh).generate(ctx.random);
  const initiatorPublic = copyOf(dh.publicValue);
  const next = enter(sa, {
    at: 'ke-sent',
    link: { ...link, responderCookie: copyOf(header.responderCookie) },
    attempt,
    pending: undefined,
    terms: termsOf(suite, lifetimes, readVendorIds(payloads)),
    last: { message: copyOf(datagram.bytes), answer: undefined },
    dh,
    initiatorPublic,
    agreements: 0,
    portProven: datagram.natTraversalPort,
  });
  sendPending(
    world,
    next,
    clearMain(world, next, [
      { kind: 'ke', data: initiatorPublic },
      { kind: 'nonce', data: attempt.nonce },
      ...natPayloads(world, next, connection.encapsulation === 'always'),
    ]),
  );
}

/** NAT-D payloads of message 3 or 4, in the dialect agreed on. */
export function natPayloads(
  world: World,
  sa: IsakmpSaIn<'ke-sent' | 'ke-answered'>,
  force: boolean,
): V1Payload[] {
  const { crypto, random } = world.ctx;
  const { dialect, suite } = sa.phase.terms;
  if (dialect === undefined) return [];
  const path = { local: sa.local, remote: sa.remote, force };
  return natDPayloads(crypto, random, hashOf(suite), sa.cookies, path, dialect);
}

/** Message 4: HDR, KE, Nr, NAT-D. Message 5, encrypted, goes out. */
export function keAnswered(world: World, sa: IsakmpSaIn<'ke-sent'>, message: Inbound): void {
  const { ctx } = world;
  const { payloads, datagram } = message;
  const { connection, phase: asked } = sa;
  const { suite, dialect } = asked.terms;
  const [ke, nonce] = [only(payloads, 'ke'), only(payloads, 'nonce')];
  if (ke === undefined || nonce === undefined) {
    drop(world, datagram, 'malformed', 'message 4 of main mode without exactly one KE and nonce payload');
    return;
  }
  const publicValue = ke.data;
  if (publicValue.length !== asked.dh.publicValue.length) {
    drop(
      world,
      datagram,
      'malformed',
      `a public value of ${publicValue.length} octets for group ${suite.dh}`,
    );
    return;
  }
  if (asked.agreements >= MAX_ANSWERS) {
    drop(world, datagram, 'rate_limited', `${asked.agreements} messages 4 of main mode were tried`);
    return;
  }
  const finding = detectNatV1(ctx.crypto, hashOf(suite), sa.cookies, payloads, datagram);
  const natTraversal = finding.supported && dialect !== undefined;
  const form = espForm({ natTraversal, nat: finding }, connection);
  if (form === undefined) {
    refuse(world, sa, natTraversalUnsupported('MAIN_MODE'));
    return;
  }
  const shared = asked.dh.tryAgree(publicValue);
  asked.agreements++;
  if (!shared.ok) {
    const reason = `the peer's public value is not valid: ${shared.error.message}`;
    // Anyone may have sent it: the peer's own message 4 may still come.
    refuse(world, sa, mainFailure('invalid_syntax', reason));
    return;
  }
  const facts = { natTraversal, nat: { local: finding.local, peer: finding.peer } };
  const next = keyed(world, sa, message, { ke, nonce, shared: shared.value, facts });
  shared.value.wipe();
  if (form === 'udp') floatToNatTraversalPort(next);
  sendIdentity(world, next);
}

/** What message 4 agrees on: a branch of its own, with keys. */
interface KeyAgreement {
  readonly ke: V1DataPayload;
  readonly nonce: V1DataPayload;
  readonly shared: SecretKey;
  readonly facts: NatFacts;
}

/** The Diffie-Hellman exchange stays with the branch that may use it again. */
function keyed(
  world: World,
  sa: IsakmpSaIn<'ke-sent'>,
  { payloads, datagram }: Inbound,
  { ke, nonce, shared, facts }: KeyAgreement,
): IsakmpSaIn<'id-sent'> {
  const { link, attempt, terms, initiatorPublic, portProven } = sa.phase;
  const cookies = sa.cookies;
  forkAnswer(world, sa);
  const transcript: Transcript = {
    saBody: attempt.saBody,
    initiatorPublic,
    responderPublic: copyOf(ke.data),
    initiatorNonce: attempt.nonce,
    responderNonce: copyOf(nonce.data),
  };
  const agreement = { suite: terms.suite, cookies, transcript, shared };
  return enter(sa, {
    at: 'id-sent',
    link: { ...link },
    attempt,
    pending: undefined,
    terms: withVendors(terms, payloads),
    last: { message: copyOf(datagram.bytes), answer: undefined },
    transcript,
    protection: protectionOf(world, agreement, sa.connection.psk),
    ...facts,
    portProven,
  });
}

/** Message 5: HDR*, IDii, HASH_I. */
function sendIdentity(world: World, sa: IsakmpSaIn<'id-sent'>): void {
  const { connection } = sa;
  const { transcript, protection } = sa.phase;
  const id: V1Payload = { kind: 'id', ...connection.local.identity, protocol: 0, port: 0 };
  const seen = { ...transcript, cookies: sa.cookies };
  const hash = hashI(protection.prf, protection.keys.skeyid, seen, encodeV1Body(id));
  // RFC 2407 §4.6.3.3: no other SA with the peer is known here, nor an ESP SA that one of them has left.
  const first = upSasOf(world, connection.id).length === 0 && childrenOf(world, connection.id).length === 0;
  sendPending(
    world,
    sa,
    sealedMain(world, sa, protection, [
      id,
      { kind: 'hash', data: hash },
      ...(first ? [notify(V1Notify.INITIAL_CONTACT, { spi: isakmpSpi(sa) })] : []),
    ]),
  );
}

/** Message 6: HDR*, IDir, HASH_R. */
export function idAnswered(
  world: World,
  sa: IsakmpSaIn<'id-sent'>,
  message: Inbound,
  sealed: V1Sealed,
): void {
  const { datagram } = message;
  const { protection, transcript } = sa.phase;
  const opened = protection.open(protection.phase1, sealed);
  const id = opened.ok ? find(opened.value.payloads, 'id') : undefined;
  const hash = opened.ok ? find(opened.value.payloads, 'hash') : undefined;
  if (!opened.ok || id === undefined || hash === undefined) {
    // Only a peer with our key sends message 6, so this is someone's rubbish; at most a hint.
    drop(world, datagram, 'decryption_failed', 'message 6 of main mode does not decrypt to ID and HASH');
    refuse(world, sa, pskLikely("the peer's message 6 decrypts to rubbish"), RUBBISH_GRACE);
    return;
  }
  const seen = { ...transcript, cookies: sa.cookies };
  const expected = hashR(protection.prf, protection.keys.skeyid, seen, encodeV1Body(id));
  if (!equalConstantTime(expected, hash.data)) {
    drop(world, datagram, 'decryption_failed', 'HASH_R of message 6 does not hold');
    refuse(world, sa, pskMismatch(), RUBBISH_GRACE);
    return;
  }
  reportOpened(world, sa, message, opened.value.payloads);
  protection.phase1.adopt(opened.value.nextIv);
  // The others were not the peer's.
  sa.branches.settle();
  const identity = checkPeerIdentity(sa.connection, id, sa.remote.address);
  if (!identity.ok) {
    // The responder believes the SA to be up.
    sendInformational(world, sa, [notify(V1Notify.INVALID_ID_INFORMATION, { spi: isakmpSpi(sa) })]);
    announceIsakmpDelete(world, sa);
    failSa(world, sa, identity.error);
    return;
  }
  const last = { message: copyOf(datagram.bytes), answer: undefined };
  const terms = keptFor(sa.phase.terms, opened.value.payloads);
  establish(world, sa, { peer: id, connection: sa.connection, protection, last, terms });
}

/**
 * A refusal that anyone may have sent does not end the attempt by itself: it counts when no real answer comes
 * within a grace time.
 */
export function refuse(world: World, sa: IsakmpSa, failure: Failure, grace: Millis = REFUSAL_GRACE): void {
  if (!isStarting(sa)) return;
  sa.phase.attempt.refusal ??= { failure, effectiveAt: world.ctx.now + grace };
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
