import type { IkeSuite } from '../../crypto/types.js';
import { err, ok, type Result } from '../../util/result.js';
import type { IdPayload, Payload } from '../../wire/ike/payloads.js';
import { AuthMethod, NotifyType } from '../../wire/ike/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { espForm, natTraversalUnsupported } from '../path/carriage.js';
import { exactlyOne, find } from '../payloads.js';
import { chooseByIdentity, keysNamedBy } from '../policy/lookup.js';
import { acceptIkeAnswer, ikeOffer } from '../policy/proposals.js';
import { tooManyChildren } from '../sa/child-limit.js';
import { reserveSpi, spiBytes } from '../sa/esp-spi.js';
import { failure } from '../sa/failures.js';
import { sasOf } from '../sa/world.js';
import type { AgreedChild } from './agreed.js';
import { basisOfResponder, ownAuth, verifiesPeerAuth } from './auth.js';
import { installChild, isCarriedElsewhere } from './child.js';
import { type ChildRefusal, type GrantedChild, grantChild } from './child-answer.js';
import { closeSa, failSa } from './close.js';
import { clusterAnswer, clusterSupport } from './cluster.js';
import { settleDuplicates } from './duplicates.js';
import { contactKey, establish } from './established.js';
import { pskMismatch, wrongMethod } from './failures.js';
import { type IkeSa, type IkeSaIn, isServing } from './ike-sa.js';
import { keysOfFirst } from './keys.js';
import { findNotify, notify } from './payloads.js';
import { notePfsUnverified } from './pfs.js';
import type { Keyed, ResponderNegotiation } from './phases.js';
import { noteProposalQuirks } from './proposal-quirks.js';
import { respond } from './send.js';
import type { Inbound, World } from './world.js';

/** Keys that one IKE_AUTH is held against, where connections with the same identities have several. */
const MAX_KEYS = 8;

/**
 * Completes the Diffie-Hellman exchange of a half-open SA, once, when the first protected message arrives:
 * a sender of first requests alone costs half of the arithmetic. Undefined when the SA is given up.
 */
export function completeKeys(world: World, sa: IkeSaIn<'init-answered'>): Keyed | undefined {
  const { phase } = sa;
  if (phase.keyed !== undefined) return phase.keyed;
  const { dh, peerPublic, suite, initiatorNonce, responderNonce } = phase.negotiation;
  const shared = dh.agree(peerPublic);
  if (!shared.ok) {
    const why = `the peer's public value is not valid: ${shared.error.message}`;
    failSa(world, sa, failure('invalid_syntax', why, 'IKE_SA_INIT'));
    return undefined;
  }
  const nonces = { initiator: initiatorNonce, responder: responderNonce };
  phase.keyed = keysOfFirst(world, sa, suite, nonces, shared.value);
  return phase.keyed;
}

/** HDR, SK {IDi, [CERT,] [IDr,] AUTH, SAi2, TSi, TSr}: the initiator says who it is (RFC 7296 §1.2). */
export function authRequested(world: World, sa: IkeSaIn<'init-answered'>, message: Inbound): void {
  const { payloads } = message;
  const keyed = completeKeys(world, sa);
  if (keyed === undefined) return;
  const authenticated = authenticate(world, sa, keyed, payloads);
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
  const { connection, idi } = authenticated.value;
  const { negotiation } = sa.phase;
  const { identity } = connection.local;
  const auth = ownAuth(world, basisOfResponder(sa, keyed), identity, connection.psk);
  if (findNotify(payloads, NotifyType.INITIAL_CONTACT) !== undefined) dropForgotten(world, sa, connection);
  const established = establish(world, sa, keyed, idi);
  negotiation.dh.wipe();
  answerAuth(world, established, message, { auth, negotiation });
  established.phase.service.unconfirmed = true;
  settleDuplicates(world, established);
}

/** HDR, SK {IDr, AUTH, SAr2, TSi, TSr}, with an error in place of the child SA when it is not granted. */
function answerAuth(
  world: World,
  sa: IkeSaIn<'established'>,
  message: Inbound,
  proved: { readonly auth: Uint8Array; readonly negotiation: ResponderNegotiation },
): void {
  const { connection } = sa;
  const { payloads } = message;
  const { auth, negotiation } = proved;
  sa.phase.service.cluster = clusterSupport(payloads);
  const nonces = { initiator: negotiation.initiatorNonce, responder: negotiation.responderNonce };
  const answer: Payload[] = [
    { kind: 'idr', ...connection.local.identity },
    { kind: 'auth', method: AuthMethod.SHARED_KEY_MIC, data: auth },
  ];
  if (isChildless(payloads)) {
    respond(world, sa, message, [...answer, ...clusterAnswer(payloads)]);
    return;
  }
  const granted = grantFirstChild(world, connection, payloads);
  if (!granted.ok) {
    // The IKE SA is established without a child SA (RFC 7296 §1.2).
    respond(world, sa, message, [...answer, granted.error.answer, ...clusterAnswer(payloads)]);
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
      standby: isCarriedElsewhere(world, sa, connection.id),
    };
    notePfsUnverified(world, sa, installChild(world, sa, child));
    respond(world, sa, message, [
      ...answer,
      { kind: 'sa', proposals: [{ ...selection.answer, spi: spiBytes(spiIn) }] },
      { kind: 'tsi', selectors: peerTs },
      { kind: 'tsr', selectors: localTs },
      ...clusterAnswer(payloads),
    ]);
  }
}

/** The initiator asks for no child SA yet: it follows by CREATE_CHILD_SA, with key exchanges of its own (RFC 6023 §4). */
function isChildless(payloads: readonly Payload[]): boolean {
  return !payloads.some(({ kind }) => kind === 'sa' || kind === 'tsi' || kind === 'tsr');
}

function grantFirstChild(
  world: World,
  connection: ConnectionConfig,
  payloads: readonly Payload[],
): Result<GrantedChild, ChildRefusal> {
  if (world.ctx.budget.hasPlace(connection.id)) return grantChild(connection, payloads, false);
  return err({
    answer: notify(NotifyType.NO_ADDITIONAL_SAS),
    failure: tooManyChildren(world.ctx.budget.childLimit(connection.id)),
  });
}

/**
 * Finds the connections that the identities name and checks AUTH. Only what a key has proved is looked at further:
 * the networks of the first child SA, which distinguish connections with the same identities, and the proposal.
 * Sets `sa.connection` as soon as it is known.
 */
function authenticate(
  world: World,
  sa: IkeSaIn<'init-answered'>,
  keyed: Keyed,
  payloads: readonly Payload[],
): Result<{ readonly connection: ConnectionConfig; readonly idi: IdPayload }, Failure> {
  const { candidates } = sa.phase.negotiation;
  const idi = exactlyOne(payloads, 'idi')?.idi;
  if (idi === undefined) {
    return err(failure('invalid_syntax', 'the peer sent IKE_AUTH without exactly one IDi', 'IKE_AUTH'));
  }
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
    return err(
      failure('unsupported', 'the peer wants EAP; only pre-shared keys are supported here', 'IKE_AUTH'),
    );
  }
  if (auth.method !== AuthMethod.SHARED_KEY_MIC) return err(wrongMethod(auth.method));
  const basis = basisOfResponder(sa, keyed);
  const proved = keysNamedBy(candidates, idi, idr)
    .slice(0, MAX_KEYS)
    .find(({ psk }) => verifiesPeerAuth(world, basis, idi, auth.data, psk));
  if (proved === undefined) return err(pskMismatch());
  const proposed = {
    localTs: find(payloads, 'tsr')?.selectors ?? [],
    peerTs: find(payloads, 'tsi')?.selectors ?? [],
  };
  const networks = isChildless(payloads) ? undefined : proposed;
  const chosen = chooseByIdentity(proved.connections, idi, idr, sa.remote.address, networks);
  if (!chosen.ok) return chosen;
  sa.connection = chosen.value;
  const allowed = allowsSuite(chosen.value, keyed.suite);
  if (!allowed.ok) return allowed;
  if (espForm(sa.link, chosen.value) === undefined) return err(natTraversalUnsupported('IKE_AUTH'));
  return ok({ connection: chosen.value, idi });
}

/** The suite of IKE_SA_INIT may be another candidate's. */
function allowsSuite({ ikeProposals }: ConnectionConfig, suite: IkeSuite): Result<unknown, Failure> {
  const spec = {
    encryption: [suite.encryption],
    integrity: suite.integrity === 0 ? [] : [suite.integrity],
    prf: [suite.prf],
    dh: [suite.dh],
    ...(suite.additional === undefined ? {} : { additional: suite.additional.map((method) => [method]) }),
  };
  return acceptIkeAnswer(ikeProposals, ikeOffer([spec]));
}

/**
 * INITIAL_CONTACT: the peer knows no other SA with these identities (RFC 7296 §2.4). Those of this connection
 * that were established when the peer began are gone at its end, so they go here without a DELETE. One that came to be
 * while this exchange was under way is not meant, nor is one of other identities, which the configuration had
 * before: that one is replaced without a gap.
 */
function dropForgotten(world: World, sa: IkeSa, connection: ConnectionConfig): void {
  const meant = contactKey(connection);
  for (const other of sasOf(world, connection.id)) {
    if (other.identities !== meant) continue;
    if (!isServing(other) || other.phase.service.establishedOrder > sa.id) continue;
    closeSa(world, other, 'replaced');
  }
}
