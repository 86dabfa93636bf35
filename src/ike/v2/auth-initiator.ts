import type { NoncePair } from '../../crypto/keymat.js';
import type { ConnectionId } from '../../util/ids.js';
import { IKE_PORT, NAT_TRAVERSAL_PORT } from '../../wire/ike/constants.js';
import type { AuthPayload, IdPayload, Payload } from '../../wire/ike/payloads.js';
import { AuthMethod, ExchangeType, NotifyType, ProtocolId } from '../../wire/ike/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { find } from '../payloads.js';
import { networkPairs } from '../policy/carried-pairs.js';
import { checkPeerIdentity } from '../policy/lookup.js';
import { espOffer } from '../policy/proposals.js';
import type { SelectorLists } from '../policy/selectors.js';
import { expectSpi, releaseSpi, reserveSpi, spiBytes } from '../sa/esp-spi.js';
import { failure } from '../sa/failures.js';
import { nextInTurn } from '../sa/world.js';
import { refuseAnswer } from './answers.js';
import { basisOfInitiator, ownAuth, verifiesPeerAuth } from './auth.js';
import { installChild } from './child.js';
import { acceptChild } from './child-answer.js';
import { failSa, withdraw } from './close.js';
import { clusterOffer, clusterSupport } from './cluster.js';
import { notePerPair } from './create-child-initiator.js';
import { settleDuplicates } from './duplicates.js';
import { contactKey, establish, isOnlyContact } from './established.js';
import { authRefused, pskMismatch, wrongMethod } from './failures.js';
import { type AnsweredSa, type IkeSaIn, isIn, wipeNegotiation } from './ike-sa.js';
import { advisePlain } from './offer.js';
import { findError, notify } from './payloads.js';
import { notePfsUnverified } from './pfs.js';
import { noteProposalQuirks } from './proposal-quirks.js';
import { noteAuthLifetime } from './reauthentication.js';
import { sendRequest } from './send.js';
import { wholeOffer } from './tasks.js';
import type { Inbound, World } from './world.js';

/** HDR, SK {IDi, [N(INITIAL_CONTACT),] IDr, AUTH, SAi2, TSi, TSr}, RFC 7296 §1.2. */
export function sendAuth(world: World, sa: IkeSaIn<'auth-sent'>): void {
  const { connection } = sa;
  const { local, peer } = connection;
  const { negotiation } = sa.phase;
  // Every answer to IKE_SA_INIT is asked for the same child SA: one of them is the peer's.
  negotiation.child ??= {
    proposed: firstOffer(world, connection),
    spi: expectedSpi(world, connection.id),
  };
  const { proposed, spi } = negotiation.child;
  const firstContact = isOnlyContact(world, sa);
  sa.identities = contactKey(connection);
  const auth = ownAuth(world, basisOfInitiator(sa), local.identity, connection.psk);
  const payloads: Payload[] = [
    { kind: 'idi', ...local.identity },
    ...(firstContact ? [notify(NotifyType.INITIAL_CONTACT)] : []),
    { kind: 'idr', ...peer.identity },
    { kind: 'auth', method: AuthMethod.SHARED_KEY_MIC, data: auth },
    { kind: 'sa', proposals: espOffer(connection.espProposals, spiBytes(spi), false) },
    { kind: 'tsi', selectors: proposed.localTs },
    { kind: 'tsr', selectors: proposed.peerTs },
    ...clusterOffer(),
  ];
  sendRequest(world, sa, { kind: 'auth' }, ExchangeType.IKE_AUTH, payloads, world.ctx.limits.retransmit);
}

function expectedSpi(world: World, connection: ConnectionId): number {
  const spi = reserveSpi(world, connection);
  expectSpi(world, spi);
  return spi;
}

/** HDR, SK {IDr, AUTH, SAr2, TSi, TSr}, or an error in place of all or of the child SA. */
export function authAnswered(world: World, sa: IkeSaIn<'auth-sent'>, message: Inbound): void {
  const { payloads } = message;
  const idr = find(payloads, 'idr');
  const auth = find(payloads, 'auth');
  if (idr === undefined || auth === undefined) {
    const error = findError(payloads);
    if (error !== undefined) {
      refuseAnswer(world, sa, authRefused(sa.connection, error), false);
      return;
    }
    const why = failure('invalid_syntax', 'the answer to IKE_AUTH has no IDr or no AUTH', 'IKE_AUTH');
    refuseAnswer(world, sa, why, true);
    return;
  }
  const reason = whyNotPeer(world, sa, idr, auth);
  if (reason !== undefined) {
    refuseAnswer(world, sa, reason, true);
    return;
  }
  // The others were not the peer's.
  sa.branches.settle();
  const { negotiation, init, keyed } = sa.phase;
  const established = establish(world, sa, keyed, idr);
  advisePlain(world, established);
  noteAuthLifetime(world, established, payloads);
  established.phase.service.cluster = clusterSupport(payloads);
  const nonces = { initiator: negotiation.nonce, responder: init.responderNonce };
  if (negotiation.child !== undefined)
    takeFirstChild(world, established, payloads, nonces, negotiation.child);
  wipeNegotiation(negotiation);
  settleDuplicates(world, established);
}

function whyNotPeer(
  world: World,
  sa: IkeSaIn<'auth-sent'>,
  idr: IdPayload,
  auth: AuthPayload,
): Failure | undefined {
  const identity = checkPeerIdentity(sa.connection, idr, sa.remote.address);
  if (!identity.ok) return identity.error;
  if (auth.method !== AuthMethod.SHARED_KEY_MIC) return wrongMethod(auth.method);
  const basis = basisOfInitiator(sa);
  return verifiesPeerAuth(world, basis, idr, auth.data, sa.connection.psk) ? undefined : pskMismatch();
}

function takeFirstChild(
  world: World,
  sa: IkeSaIn<'established'>,
  payloads: readonly Payload[],
  nonces: NoncePair,
  offered: { readonly spi: number; readonly proposed: SelectorLists },
): void {
  const { connection } = sa;
  const { spi: spiIn, proposed } = offered;
  const request = { spiIn, proposed, withDh: false, nonces, exchange: 'IKE_AUTH' } as const;
  const child = acceptChild(connection, payloads, request);
  if (child.ok) {
    noteProposalQuirks(world, sa, payloads);
    notePfsUnverified(world, sa, installChild(world, sa, child.value));
    return;
  }
  releaseSpi(world, spiIn);
  world.ctx.event({
    kind: 'child-failed',
    connection: connection.id,
    ikeId: sa.id,
    role: 'initiator',
    failure: child.error,
  });
  // A peer that made a child SA we cannot take must not keep it (RFC 7296 §1.4.1).
  if (find(payloads, 'sa') !== undefined) sa.tasks.push({ kind: 'delete-children', spis: [spiIn] });
  notePerPair(world, sa, child.error);
}

/** All networks, or the first pair of them for a peer known to take only one pair per child SA. */
function firstOffer(world: World, connection: ConnectionConfig): SelectorLists {
  const first = world.perPair.has(connection.id) ? networkPairs(connection)[0] : undefined;
  if (first !== undefined) return { localTs: [first.local], peerTs: [first.peer] };
  return wholeOffer(connection);
}

/**
 * The responder believes the SA to be established. An exchange of its own informs it that it is not
 * (RFC 7296 §2.21.2).
 */
export function refusePeer(world: World, sa: IkeSaIn<'auth-sent'>, reason: Failure): void {
  world.ctx.event({
    kind: 'ike-failed',
    connection: sa.connection.id,
    ikeId: sa.id,
    role: 'initiator',
    peer: sa.remote,
    failure: reason,
  });
  withdraw(world, sa);
  sa.tasks.push({ kind: 'refuse-auth' });
}

/** No answer to IKE_INTERMEDIATE or IKE_AUTH although IKE_SA_INIT had one. */
export function authSilent(world: World, sa: AnsweredSa): void {
  const tries = sa.active?.retransmission.sent ?? 0;
  const exchange = isIn(sa, 'auth-sent') ? 'IKE_AUTH' : 'IKE_INTERMEDIATE';
  const details = { exchange, tries };
  nextInTurn(world, sa.connection);
  failSa(
    world,
    sa,
    sa.natTraversalPort && !sa.phase.portProven
      ? {
          cause: 'port_4500_blocked',
          message: `the peer answered on UDP port ${IKE_PORT} but not on ${NAT_TRAVERSAL_PORT}: let both through every firewall on the way`,
          details,
        }
      : {
          cause: 'peer_silent',
          message: `the peer answered IKE_SA_INIT but not ${exchange}: larger packets may be lost on the way`,
          details,
        },
  );
}

/**
 * INFORMATIONAL with AUTHENTICATION_FAILED, usually with no other payloads (RFC 7296 §2.21.2): some peers keep the IKE
 * SA, and send into it, unless a DELETE comes with it.
 */
export function sendAuthRefusal(world: World, sa: IkeSaIn<'deleting'>): void {
  const payloads: Payload[] = [
    notify(NotifyType.AUTHENTICATION_FAILED),
    { kind: 'delete', protocol: ProtocolId.IKE, spis: [] },
  ];
  const { retransmit } = world.ctx.limits;
  sendRequest(world, sa, { kind: 'refuse-auth' }, ExchangeType.INFORMATIONAL, payloads, retransmit);
}
