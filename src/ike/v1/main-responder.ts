import { hashR } from '../../crypto/keymat-v1.js';
import { copyOf } from '../../util/bytes.js';
import { err, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import { decodeV1Message, encodeV1Body } from '../../wire/ike/v1/message.js';
import type { V1IdPayload, V1Payload, V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Notify } from '../../wire/ike/v1/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { espForm, natTraversalUnsupported } from '../path/carriage.js';
import { takePath } from '../path/first-path.js';
import { find, only } from '../payloads.js';
import { type Candidates, firstMatch } from '../policy/candidates.js';
import { chooseByIdentity } from '../policy/lookup.js';
import { acceptIkeAnswerV1, findIkeV1 } from '../policy/proposals-v1.js';
import { drop } from '../sa/world.js';
import { dropForgotten, failSa, reportFailure } from './close.js';
import { establish } from './established.js';
import { mainFailure } from './failures.js';
import { enter, type IsakmpSaIn } from './isakmp-sa.js';
import { beginTrial, type FoundKey, mayTry, tryKeys } from './key-trial.js';
import { hashOf } from './keys.js';
import { natPayloads } from './main-initiator.js';
import { admit, respondingSa } from './main-offered.js';
import { detectNatV1 } from './nat.js';
import type { Transcript } from './phases.js';
import { encodeLifetime } from './responder-lifetime.js';
import {
  clearMain,
  isakmpSpi,
  notify,
  refuseInClear,
  reportOpened,
  routeOf,
  sealedMain,
  sendUnder,
  transmit,
} from './send.js';
import { withVendors } from './terms.js';
import type { Inbound, World } from './world.js';

/** Message 3 that answers a message 2 which had left no SA behind: its cookie proves that the source is real. */
export function keOfferedAnew(world: World, message: Inbound): void {
  const { ctx } = world;
  const { header, datagram } = message;
  const offer = world.offers.recall(datagram, header.responderCookie, ctx.now);
  const first = offer === undefined ? undefined : decodeV1Message(offer);
  if (offer === undefined || first?.ok !== true || ctx.shuttingDown) {
    drop(world, datagram, 'unknown_spi', 'no ISAKMP SA has these cookies');
    return;
  }
  const { local, remote } = datagram;
  const candidates = ctx.peers.candidates({ local: local.address, remote: remote.address, version: 1 });
  const offered = find(first.value.payloads, 'sa');
  const selection =
    offered === undefined
      ? undefined
      : firstMatch(candidates, (specs) => findIkeV1(specs, offered.proposals));
  if (offered === undefined || selection === undefined) {
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
  const began: Inbound = { ...first.value, header: original, datagram: { ...datagram, bytes: offer } };
  const sa = respondingSa(world, began, offered, { candidates, selection }, copyOf(responderCookie));
  if (sa !== undefined) keOffered(world, sa, message);
}

/** Message 3: HDR, KE, Ni, NAT-D. Answered by message 4, the same of ours. */
export function keOffered(world: World, sa: IsakmpSaIn<'sa-answered'>, message: Inbound): void {
  const { ctx } = world;
  const { payloads, datagram } = message;
  const { halfOpen, offer, terms, link } = sa.phase;
  const [ke, nonce] = [only(payloads, 'ke'), only(payloads, 'nonce')];
  if (ke === undefined || nonce === undefined) {
    drop(world, datagram, 'malformed', 'message 3 of main mode without exactly one KE and nonce payload');
    return;
  }
  const group = ctx.crypto.dh(terms.suite.dh);
  if (ke.data.length !== group.publicLength) {
    refuseInClear(world, message, V1Notify.INVALID_KEY_INFORMATION);
    drop(world, datagram, 'malformed', `a public value of ${ke.data.length} octets for group ${group.id}`);
    return;
  }
  if (!halfOpen.proven && !world.halfOpen.prove(halfOpen.source)) {
    drop(world, datagram, 'half_open_limit', 'as many half-open SAs of this address as there may be');
    return;
  }
  halfOpen.proven = true;
  const finding = detectNatV1(ctx.crypto, hashOf(terms.suite), sa.cookies, payloads, datagram);
  const natTraversal = finding.supported && terms.dialect !== undefined;
  takePath(sa, datagram);
  const dh = group.generate(ctx.random);
  const transcript: Transcript = {
    saBody: offer.saBody,
    initiatorPublic: copyOf(ke.data),
    responderPublic: copyOf(dh.publicValue),
    initiatorNonce: copyOf(nonce.data),
    responderNonce: offer.nonce,
  };
  const next = enter(sa, {
    at: 'ke-answered',
    link,
    halfOpen,
    offer,
    // The vendors reported are those of message 1.
    terms: { ...withVendors(terms, payloads), vendors: terms.vendors },
    last: undefined,
    natTraversal,
    nat: { local: finding.local, peer: finding.peer },
    transcript,
    dh,
    shared: undefined,
    trial: undefined,
    trials: 0,
    reported: false,
  });
  const answer = clearMain(world, next, [
    { kind: 'ke', data: transcript.responderPublic },
    { kind: 'nonce', data: transcript.responderNonce },
    ...(natTraversal ? natPayloads(world, next, offer.candidates.forcesEncapsulation) : []),
  ]);
  next.phase.last = { message: copyOf(datagram.bytes), answer };
  transmit(world, sa, answer, routeOf(datagram));
}

/**
 * Message 5: HDR*, IDii, HASH_I, [INITIAL-CONTACT]. Only the encryption shows the key, so those of all connections that
 * may be meant are tried, in turns, until one opens the message and its HASH_I verifies. Rubbish changes nothing: it
 * may not even be the peer's.
 */
export function idOffered(
  world: World,
  sa: IsakmpSaIn<'ke-answered'>,
  message: Inbound,
  sealed: V1Sealed,
): void {
  if (!mayTry(world, sa, message)) return;
  const shared = agree(world, sa);
  if (shared === undefined) return;
  sa.phase.trial = beginTrial(world, sa, message, sealed, shared);
  goOnTrying(world, sa);
}

/** The next turn of a trial: the peer is identified, its message is rubbish, or there are more keys to try. */
export function goOnTrying(world: World, sa: IsakmpSaIn<'ke-answered'>): void {
  const { phase } = sa;
  const { trial } = phase;
  if (trial === undefined) return;
  const found = tryKeys(world, sa, trial);
  if (found === undefined) return;
  const { message, failure } = trial;
  phase.trial = undefined;
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
  if (phase.reported) return;
  phase.reported = true;
  reportFailure(world, sa, failure);
  refuseInClear(world, message, V1Notify.PAYLOAD_MALFORMED);
}

/** The peer has one of our keys. Which connection it means is decided by its identity. */
function identified(world: World, sa: IsakmpSaIn<'ke-answered'>, message: Inbound, found: FoundKey): void {
  const { opened, protection } = found;
  takePath(sa, message.datagram);
  reportOpened(world, sa, message, opened.payloads);
  protection.phase1.adopt(opened.nextIv);
  const chosen = choose(sa, found.connections, found.id);
  sa.connection = chosen.ok ? chosen.value : chosen.error.meant;
  if (!chosen.ok) {
    sendUnder(world, sa, protection, [notify(refusalOf(chosen.error.failure), { spi: isakmpSpi(sa) })]);
    protection.wipe();
    failSa(world, sa, chosen.error.failure);
    return;
  }
  authenticate(world, sa, message, { ...found, connection: chosen.value });
}

/** Message 6: HDR*, IDir, HASH_R. */
function authenticate(
  world: World,
  sa: IsakmpSaIn<'ke-answered'>,
  { datagram }: Inbound,
  { opened, protection, id, connection }: FoundKey & { readonly connection: ConnectionConfig },
): void {
  const { terms, transcript, offer } = sa.phase;
  const contact = opened.payloads.some(
    (one) => one.kind === 'notify' && one.type === V1Notify.INITIAL_CONTACT,
  );
  if (contact) dropForgotten(world, sa, connection);
  const own: V1Payload = { kind: 'id', ...connection.local.identity, protocol: 0, port: 0 };
  const seen = { ...transcript, cookies: sa.cookies };
  const hash = hashR(protection.prf, protection.keys.skeyid, seen, encodeV1Body(own));
  const shorterLife = (terms.lifetimes.seconds ?? Number.POSITIVE_INFINITY) > connection.ikeLifetime;
  const answer = sealedMain(world, sa, protection, [
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
  transmit(world, sa, answer, routeOf(datagram));
  world.offers.keep(connection.id, offer.messageOne);
  const last = { message: copyOf(datagram.bytes), answer };
  establish(world, sa, { peer: id, connection, protection, last });
}

/** g^xy, computed when message 5 comes in: who only sends first messages costs half of the arithmetic. */
function agree(world: World, sa: IsakmpSaIn<'ke-answered'>): SecretKey | undefined {
  const { phase } = sa;
  if (phase.shared !== undefined) return phase.shared;
  const shared = phase.dh.agree(phase.transcript.initiatorPublic);
  phase.dh.wipe();
  if (!shared.ok) {
    const reason = `the peer's public value is not valid: ${shared.error.message}`;
    failSa(world, sa, mainFailure('invalid_syntax', reason));
    return undefined;
  }
  phase.shared = shared.value;
  return shared.value;
}

/** Why the peer is refused, and the connection it may have meant. */
interface Unchosen {
  readonly failure: Failure;
  readonly meant: ConnectionConfig | undefined;
}

/** The connection that key and identity mean, and that allows the suite agreed on. */
function choose(
  sa: IsakmpSaIn<'ke-answered'>,
  withKey: Candidates,
  id: V1IdPayload,
): Result<ConnectionConfig, Unchosen> {
  const chosen = chooseByIdentity(withKey, id, undefined, sa.remote.address);
  if (!chosen.ok) {
    return err({ failure: chosen.error, meant: withKey.withPeerIdentity(id)[0] ?? withKey.only });
  }
  const meant = chosen.value;
  const allowed = acceptIkeAnswerV1(meant.ikeProposals, [sa.phase.offer.proposal]);
  if (!allowed.ok) return err({ failure: allowed.error, meant });
  if (espForm(sa.phase, meant) === undefined)
    return err({ failure: natTraversalUnsupported('MAIN_MODE'), meant });
  return chosen;
}

/** The notification that says so. */
function refusalOf({ cause }: Failure): number {
  switch (cause) {
    case 'identity_mismatch':
      return V1Notify.INVALID_ID_INFORMATION;
    case 'ike_proposal_mismatch':
    case 'nat_traversal_unsupported':
      return V1Notify.NO_PROPOSAL_CHOSEN;
    default:
      return V1Notify.AUTHENTICATION_FAILED;
  }
}
