import { hashR } from '../../crypto/keymat-v1.js';
import { copyOf } from '../../util/bytes.js';
import { err, type Result } from '../../util/result.js';
import { decodeV1Message, encodeV1Body } from '../../wire/ike/v1/message.js';
import type { V1IdPayload, V1Payload, V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Notify } from '../../wire/ike/v1/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { espForm, natTraversalUnsupported } from '../path/carriage.js';
import { type Candidates, firstMatch } from '../policy/candidates.js';
import { chooseByIdentity } from '../policy/lookup.js';
import { acceptIkeAnswerV1, findIkeV1 } from '../policy/proposals-v1.js';
import { dropForgotten, failSa, reportFailure } from './close.js';
import { establish } from './established.js';
import { mainFailure } from './failures.js';
import type { IsakmpSa } from './isakmp-sa.js';
import { beginTrial, type FoundKey, tryKeys } from './key-trial.js';
import { hashOf, transcriptOf } from './keys.js';
import { natPayloads } from './main-initiator.js';
import { admit, respondingSa, taken } from './main-offered.js';
import { detectNatV1 } from './nat.js';
import { encodeLifetime } from './responder-lifetime.js';
import {
  clearMain,
  isakmpSpi,
  notify,
  refuseInClear,
  reportOpened,
  sealedMain,
  sendInformational,
} from './send.js';
import { readVendorIds } from './vendor-ids.js';
import { drop, find, hasExactlyOne, type Inbound, type World } from './world.js';
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
  const candidates = ctx.peers.candidates({ local: local.address, remote: remote.address, version: 1 });
  const proposals = find(first.value.payloads, 'sa')?.proposals ?? [];
  const selection = firstMatch(candidates, (specs) => findIkeV1(specs, proposals));
  if (selection === undefined) {
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
  const sa = respondingSa(world, began, candidates, selection, copyOf(responderCookie));
  if (sa === undefined) return;
  sa.peerFragmentation = readVendorIds(began.payloads).fragmentation;
  keOffered(world, sa, message);
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
  const force = negotiation.candidates.forcesEncapsulation;
  const out = clearMain(world, sa, [
    { kind: 'ke', data: negotiation.responderPublic },
    { kind: 'nonce', data: negotiation.responderNonce },
    ...(sa.natTraversal ? natPayloads(world, sa, force) : []),
  ]);
  taken(world, sa, message, out);
}

/**
 * Message 5: HDR*, IDii, HASH_I, [INITIAL-CONTACT]. The key stands in the encryption, so those of all connections
 * that may be meant are tried, in turns, until one opens the message and its HASH_I holds. Rubbish changes nothing: it
 * may not even be the peer's.
 */
export function idOffered(world: World, sa: IsakmpSa, message: Inbound, sealed: V1Sealed): void {
  if (!beginTrial(world, sa, message, sealed)) return;
  if (agree(world, sa)) goOnTrying(world, sa);
}

/** The next turn of a trial: the peer is identified, its message is rubbish, or there are more keys to try. */
export function goOnTrying(world: World, sa: IsakmpSa): void {
  const negotiation = sa.negotiation!;
  const found = tryKeys(world, sa);
  if (found === undefined) return;
  const { message, failure } = negotiation.trial!;
  negotiation.trial = undefined;
  if (found !== 'rubbish') {
    identified(world, sa, message, found);
    return;
  }
  drop(
    world,
    message.datagram,
    'decryption_failed',
    'message 5 of main mode is not made with a pre-shared key of ours',
  );
  if (negotiation.reported) return;
  negotiation.reported = true;
  reportFailure(world, sa, failure);
  refuseInClear(world, message, V1Notify.PAYLOAD_MALFORMED);
}

/** The peer has one of our keys. Which connection it means is decided by its identity. */
function identified(world: World, sa: IsakmpSa, message: Inbound, found: FoundKey): void {
  const { datagram } = message;
  const { opened, id, connections } = found;
  sa.local = datagram.local;
  sa.remote = datagram.remote;
  sa.natTraversalPort = datagram.natTraversalPort;
  reportOpened(world, sa, message, opened.payloads);
  sa.protection!.phase1.adopt(opened.nextIv);
  const chosen = choose(sa, connections, id);
  if (!chosen.ok) {
    const type =
      chosen.error.cause === 'identity_mismatch'
        ? V1Notify.INVALID_ID_INFORMATION
        : chosen.error.cause === 'ike_proposal_mismatch' || chosen.error.cause === 'nat_traversal_unsupported'
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
  world.offers.keep(connection.id, sa.negotiation!.messageOne!);
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

/** The connection that key and identity mean, and that allows the suite agreed on. */
function choose(sa: IsakmpSa, withKey: Candidates, id: V1IdPayload): Result<ConnectionConfig, Failure> {
  const { answer: taken } = sa.negotiation!;
  const chosen = chooseByIdentity(withKey, id, undefined, sa.remote.address);
  if (!chosen.ok) {
    sa.connection = withKey.withPeerIdentity(id)[0] ?? withKey.only;
    return chosen;
  }
  const allowed = acceptIkeAnswerV1(chosen.value.ikeProposals, [taken!]);
  const carried = espForm(sa, chosen.value) !== undefined;
  if (allowed.ok && carried) return chosen;
  sa.connection = chosen.value;
  return allowed.ok ? err(natTraversalUnsupported('MAIN_MODE')) : allowed;
}
