import { copyOf, readU32 } from '../../util/bytes.js';
import { err, ok, type Result } from '../../util/result.js';
import { describeSelector } from '../../wire/ike/describe.js';
import { Dh } from '../../wire/ike/registry.js';
import type { V1Payload } from '../../wire/ike/v1/payloads.js';
import { V1Notify } from '../../wire/ike/v1/registry.js';
import { type ConnectionConfig, connectionName } from '../config.js';
import type { Failure } from '../events.js';
import { natTraversalUnsupported } from '../path/carriage.js';
import { find, only } from '../payloads.js';
import type { NetworkPair } from '../policy/carried-pairs.js';
import { sameIdentity } from '../policy/identity.js';
import { selectEspV1, type V1EspSelection } from '../policy/proposals-v1.js';
import { allowsPair, hostSelector, pairMismatch, selectorOfIdentity } from '../policy/quick-identities-v1.js';
import { isUdpTunnel } from '../policy/transforms-v1.js';
import { tooManyChildren } from '../sa/child-limit.js';
import { isPeerSpiInUse } from './children.js';
import { quickFailure } from './failures.js';
import type { UpSa } from './isakmp-sa.js';
import type { World } from './world.js';

/** Why a quick mode is refused, and the notification that says so. */
export interface QuickRefusal {
  readonly type: number;
  readonly failure: Failure;
}

/** What the peer asks for and may have. */
export interface Granted {
  readonly pair: NetworkPair;
  readonly selection: V1EspSelection;
  /** The peer's. */
  readonly nonce: Uint8Array;
  /** The peer's public value, with PFS. */
  readonly ke: Uint8Array | undefined;
}

/** Whether the connection allows what message 1 of quick mode asks for. Changes nothing. */
export function grant(world: World, sa: UpSa, payloads: readonly V1Payload[]): Result<Granted, QuickRefusal> {
  const { connection } = sa;
  const [offered, nonce] = [only(payloads, 'sa'), only(payloads, 'nonce')];
  if (offered === undefined || nonce === undefined) {
    const failure = quickFailure(
      'invalid_syntax',
      'message 1 of quick mode has not exactly one SA and nonce payload',
    );
    return err({ type: V1Notify.PAYLOAD_MALFORMED, failure });
  }
  const { budget } = world.ctx;
  if (!budget.hasPlace(connection.id)) {
    // No notification of IKEv1 says that there are too many; this one ends the attempt.
    const failure = tooManyChildren(budget.childLimit(connection.id));
    return err({ type: V1Notify.NO_PROPOSAL_CHOSEN, failure });
  }
  const pair = proposedPair(sa, payloads);
  if (!pair.ok) return err({ type: V1Notify.INVALID_ID_INFORMATION, failure: pair.error });
  if (!allowsPair(connection, pair.value)) {
    const [local, peer] = [describeSelector(pair.value.local), describeSelector(pair.value.peer)];
    const asked = `the peer asks for ${peer} at its side and ${local} at ours`;
    const meant = twinWith(world, connection, pair.value);
    const message =
      meant === undefined
        ? `${asked}, which is not configured here: its local and remote CIDRs must mirror ours`
        : `${asked}, which connection ${connectionName(meant)} has; but its IKE identities are those of connection ${connectionName(connection)}, to which an ISAKMP SA belongs as a whole (RFC 2409 §5.4): let the peer use IKEv2, put all networks into one connection, or give one of the two other IKE identities`;
    const failure = pairMismatch(connection, { local, peer }, message);
    return err({ type: V1Notify.INVALID_ID_INFORMATION, failure });
  }
  const selection = selectEspV1(connection.espProposals, offered.proposals);
  if (!selection.ok) return err({ type: V1Notify.NO_PROPOSAL_CHOSEN, failure: selection.error });
  if (connection.encapsulation === 'always' && !isUdpTunnel(selection.value.mode)) {
    return err({ type: V1Notify.NO_PROPOSAL_CHOSEN, failure: natTraversalUnsupported('QUICK_MODE') });
  }
  if (isPeerSpiInUse(world, connection.id, readU32(selection.value.peerSpi, 0))) {
    const failure = quickFailure('invalid_syntax', 'the peer offers the SPI of an ESP SA that stands');
    return err({ type: V1Notify.INVALID_SPI, failure });
  }
  const { dh } = selection.value.suite;
  const granted = { pair: pair.value, selection: selection.value, nonce: copyOf(nonce.data) };
  if (dh === Dh.NONE) return ok({ ...granted, ke: undefined });
  const ke = find(payloads, 'ke')?.data;
  if (ke?.length !== world.ctx.crypto.dh(dh).publicLength) {
    const failure = quickFailure(
      'invalid_syntax',
      'the peer offers PFS without a public value of that group',
    );
    return err({ type: V1Notify.INVALID_KEY_INFORMATION, failure });
  }
  return ok({ ...granted, ke });
}

/**
 * Another connection that allows the pair and that main mode could not distinguish from this one. IKEv2 learns the
 * networks together with the identities and chooses by them; version 1 learns them when the choice is made.
 */
function twinWith(
  world: World,
  { id, local, peer }: ConnectionConfig,
  pair: NetworkPair,
): ConnectionConfig | undefined {
  return world.ctx.config.connections.find(
    (one) =>
      one.id !== id &&
      one.adminUp &&
      one.acceptVersions.includes(1) &&
      sameIdentity(one.local.identity, local.identity) &&
      sameIdentity(one.peer.identity, peer.identity) &&
      allowsPair(one, pair),
  );
}

/** IDci is the initiator's network, IDcr ours; without them the two gateways are meant (RFC 2409 §5.5). */
export function proposedPair(sa: UpSa, payloads: readonly V1Payload[]): Result<NetworkPair, Failure> {
  const ids = payloads.flatMap((one) => (one.kind === 'id' ? [one] : []));
  if (ids.length === 0) {
    return ok({ local: hostSelector(sa.local.address), peer: hostSelector(sa.remote.address) });
  }
  const [peer, local] = ids.map(selectorOfIdentity);
  if (ids.length === 2 && peer?.ok && local?.ok) return ok({ local: local.value, peer: peer.value });
  const refused = [peer, local].find((one) => one?.ok === false);
  const words = refused?.ok === false ? refused.error : `${ids.length} identities`;
  return err(pairMismatch(sa.connection, undefined, `the peer proposes ${words} for quick mode`));
}
