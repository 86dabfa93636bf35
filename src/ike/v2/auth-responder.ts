import type { IkeSuite } from '../../crypto/types.js';
import { err, type Result } from '../../util/result.js';
import type { Payload } from '../../wire/ike/payloads.js';
import { AuthMethod, NotifyType } from '../../wire/ike/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { espForm, natTraversalUnsupported } from '../path/carriage.js';
import { chooseByIdentity, keysNamedBy } from '../policy/lookup.js';
import { acceptIkeAnswer, ikeOffer } from '../policy/proposals.js';
import { tooManyChildren } from '../sa/child-limit.js';
import { reserveSpi, spiBytes } from '../sa/esp-spi.js';
import { ownAuth, peerAuthHolds } from './auth.js';
import { pskMismatch, wrongMethod } from './auth-initiator.js';
import { type AgreedChild, installChild, isCarriedElsewhere } from './child.js';
import { type GrantedChild, grantChild, type Refusal } from './child-answer.js';
import { closeSa, failSa } from './close.js';
import { contactKey, establish, settleDuplicates } from './established.js';
import { failure } from './failures.js';
import type { IkeSa } from './ike-sa.js';
import { find, findNotify, hasExactlyOne, notify } from './payloads.js';
import { notePfsUnverified } from './pfs.js';
import { noteProposalQuirks } from './proposal-quirks.js';
import { respond } from './send.js';
import { type Inbound, sasOf, type World } from './world.js';

/** Keys that one IKE_AUTH is held against, where connections with the same identities have several. */
const MAX_KEYS = 8;

/** HDR, SK {IDi, [CERT,] [IDr,] AUTH, SAi2, TSi, TSr}: the initiator says who it is (RFC 7296 §1.2). */
export function authRequested(world: World, sa: IkeSa, message: Inbound): void {
  const { payloads } = message;
  const authenticated = authenticate(world, sa, payloads);
  if (!authenticated.ok) {
    // One notification for every cause: the peer is not told whether it was the key or the identity. The proposal
    // comes into it only after both have proved right.
    const type =
      authenticated.error.cause === 'invalid_syntax'
        ? NotifyType.INVALID_SYNTAX
        : authenticated.error.cause === 'ike_proposal_mismatch' ||
            authenticated.error.cause === 'nat_traversal_unsupported'
          ? NotifyType.NO_PROPOSAL_CHOSEN
          : NotifyType.AUTHENTICATION_FAILED;
    respond(world, sa, message, [notify(type)]);
    failSa(world, sa, authenticated.error, 'answer-repetitions');
    return;
  }
  const connection = sa.connection!;
  const idi = find(payloads, 'idi')!;
  const auth = ownAuth(world, sa, connection.local.identity);
  const nonces = { initiator: sa.responding!.initiatorNonce, responder: sa.responding!.responderNonce };
  if (findNotify(payloads, NotifyType.INITIAL_CONTACT) !== undefined) dropForgotten(world, sa);
  establish(world, sa, idi);
  sa.responding?.dh.wipe();
  sa.responding = undefined;

  const granted = grantFirstChild(world, connection, payloads);
  const answer: Payload[] = [
    { kind: 'idr', ...connection.local.identity },
    { kind: 'auth', method: AuthMethod.SHARED_KEY_MIC, data: auth },
  ];
  if (!granted.ok) {
    // The IKE SA stands without a child SA (RFC 7296 §1.2).
    respond(world, sa, message, [...answer, granted.error.answer]);
    world.ctx.event({
      kind: 'child-failed',
      connection: connection.id,
      ikeId: sa.id,
      role: 'responder',
      failure: granted.error.failure,
    });
  } else {
    noteProposalQuirks(world, sa, payloads);
    const { selection, spiOut, localTs, peerTs } = granted.value;
    const spiIn = reserveSpi(world, connection.id);
    const child: AgreedChild = {
      spiIn,
      spiOut,
      suite: selection.suite,
      localTs,
      peerTs,
      nonces,
      initiated: false,
      standby: isCarriedElsewhere(world, sa),
    };
    notePfsUnverified(world, sa, installChild(world, sa, child));
    respond(world, sa, message, [
      ...answer,
      { kind: 'sa', proposals: [{ ...selection.answer, spi: spiBytes(spiIn) }] },
      { kind: 'tsi', selectors: peerTs },
      { kind: 'tsr', selectors: localTs },
    ]);
  }
  sa.unconfirmed = true;
  settleDuplicates(world, sa);
}

function grantFirstChild(
  world: World,
  connection: ConnectionConfig,
  payloads: readonly Payload[],
): Result<GrantedChild, Refusal> {
  if (world.ctx.budget.hasPlace(connection.id)) return grantChild(connection, payloads, false);
  return err({
    answer: notify(NotifyType.NO_ADDITIONAL_SAS),
    failure: tooManyChildren(world.ctx.budget.childLimit(connection.id)),
  });
}

/**
 * Finds the connections that the identities name and checks AUTH. Only what a key has proved is looked at further:
 * the networks of the first child SA, which tell connections with the same identities apart, and the proposal.
 * Sets `sa.connection` as soon as it is known.
 */
function authenticate(
  world: World,
  sa: IkeSa,
  payloads: readonly Payload[],
): Result<ConnectionConfig, Failure> {
  const { candidates } = sa.responding!;
  if (!hasExactlyOne(payloads, 'idi')) {
    return err(failure('invalid_syntax', 'the peer sent IKE_AUTH without exactly one IDi', 'IKE_AUTH'));
  }
  const idi = find(payloads, 'idi')!;
  const idr = find(payloads, 'idr');
  const auth = find(payloads, 'auth');
  const first = chooseByIdentity(candidates, idi, idr, sa.remote.address);
  if (!first.ok) {
    sa.connection = candidates.withPeerIdentity(idi)[0] ?? candidates.only;
    return first;
  }
  sa.connection = first.value;
  // Without AUTH the initiator asks for EAP (RFC 7296 §2.16).
  if (auth === undefined) {
    return err(failure('unsupported', 'the peer wants EAP; only pre-shared keys are known here', 'IKE_AUTH'));
  }
  if (auth.method !== AuthMethod.SHARED_KEY_MIC) return err(wrongMethod(auth.method));
  const proved = keysNamedBy(candidates, idi, idr)
    .slice(0, MAX_KEYS)
    .find(({ psk }) => peerAuthHolds(world, sa, idi, auth.data, psk));
  if (proved === undefined) return err(pskMismatch());
  const proposed = {
    local: find(payloads, 'tsr')?.selectors ?? [],
    peer: find(payloads, 'tsi')?.selectors ?? [],
  };
  const chosen = chooseByIdentity(proved.connections, idi, idr, sa.remote.address, proposed);
  if (!chosen.ok) return chosen;
  sa.connection = chosen.value;
  const allowed = allowsSuite(chosen.value, sa.suite!);
  if (!allowed.ok) return allowed;
  return espForm(sa, chosen.value) === undefined ? err(natTraversalUnsupported('IKE_AUTH')) : chosen;
}

/** The suite of IKE_SA_INIT may be another candidate's. */
function allowsSuite({ ikeProposals }: ConnectionConfig, suite: IkeSuite): Result<unknown, Failure> {
  const spec = {
    encryption: [suite.encryption],
    integrity: suite.integrity === 0 ? [] : [suite.integrity],
    prf: [suite.prf],
    dh: [suite.dh],
  };
  return acceptIkeAnswer(ikeProposals, ikeOffer([spec]));
}

/**
 * INITIAL_CONTACT: the peer knows no other SA with these identities (RFC 7296 §2.4). Those of this connection
 * that stood when the peer began are gone at its end, so they go here without a DELETE. One that came to be
 * while this exchange was under way is not meant, nor is one of other identities, which the configuration had
 * before: that one is replaced without a gap.
 */
function dropForgotten(world: World, sa: IkeSa): void {
  const meant = contactKey(sa);
  for (const other of sasOf(world, sa.connection!.id)) {
    if (other.identities !== meant) continue;
    if (other === sa || other.establishedOrder === 0 || other.establishedOrder > sa.id) continue;
    if (other.state === 'established' || other.state === 'rekeyed') closeSa(world, other, 'replaced');
  }
}
