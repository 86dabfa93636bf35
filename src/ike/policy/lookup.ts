import { equalBytes } from '../../util/bytes.js';
import { parseIp } from '../../util/ip.js';
import { err, ok, type Result } from '../../util/result.js';
import { IdType } from '../../wire/ike/registry.js';
import { type ConnectionConfig, connectionName, type Identity } from '../config.js';
import type { Failure } from '../events.js';
import { type Candidates, candidatesOf, type KeyGroup } from './candidates.js';
import { addressOfIdentity, formatIdentity, identityOfAddress, sameIdentity } from './identity.js';
import { haveCommon, type SelectorLists } from './selectors.js';

/** Identities named in one message. */
const MAX_NAMED = 8;

/**
 * The candidate that the peer means by its identity and, when given, by the one of ours it asks for (IDi
 * and IDr of the IKE_AUTH request, RFC 7296 §1.2). Several connections to one peer may share both identities
 * and differ in their networks: `proposed`, the selectors of the first child seen from here, decides among
 * them. `source` is the address the peer's packets come from, for a better explanation.
 */
export function chooseByIdentity(
  candidates: Candidates,
  idi: Identity,
  idr?: Identity,
  source?: string,
  proposed?: SelectorLists,
): Result<ConnectionConfig, Failure> {
  const byPeer = candidates.withPeerIdentity(idi);
  const chosen = byPeer.filter((connection) => asksFor(connection, idr));
  const sharing = proposed === undefined ? [] : chosen.filter((one) => shares(one, proposed));
  const fitting = sharing.length > 0 ? sharing : chosen;
  const connection = fitting.find((one) => one.adminUp) ?? fitting[0];
  if (connection !== undefined) {
    if (connection.adminUp) return ok(connection);
    const message = `connection ${connectionName(connection)} is administratively down: set admin_state_up to true`;
    return err({ cause: 'admin_down', message });
  }
  if (byPeer.length > 0) return err(localMismatch(byPeer, idr!));
  return err(peerMismatch(candidates, idi, source));
}

/** The candidates with these identities, by their pre-shared keys. */
export function keysNamedBy(candidates: Candidates, idi: Identity, idr?: Identity): readonly KeyGroup[] {
  const named = candidates.withPeerIdentity(idi).filter((connection) => asksFor(connection, idr));
  return candidatesOf(named).keys.named;
}

function asksFor({ local }: ConnectionConfig, idr: Identity | undefined): boolean {
  return idr === undefined || sameIdentity(local.identity, idr);
}

/** As initiator: whether the identity the responder proved (IDr) is the one the connection expects. */
export function checkPeerIdentity(
  connection: ConnectionConfig,
  received: Identity,
  source?: string,
): Result<ConnectionConfig, Failure> {
  return sameIdentity(connection.peer.identity, received)
    ? ok(connection)
    : err(peerMismatch(candidatesOf([connection]), received, source));
}

/**
 * Whether a peer seems to sit behind a NAT and to name itself by its private address: it sends an IPv4
 * identity that is not the address its packets come from, where that address is the identity expected.
 */
function isIdentityOfPrivateAddress(expected: Identity, received: Identity, source: string): boolean {
  const from = parseIp(source);
  return (
    from !== undefined &&
    received.idType === IdType.IPV4_ADDR &&
    expected.idType === IdType.IPV4_ADDR &&
    equalBytes(expected.data, from) &&
    !equalBytes(received.data, from)
  );
}

function shares(connection: ConnectionConfig, proposed: SelectorLists): boolean {
  return (
    haveCommon(connection.local.selectors, proposed.localTs) &&
    haveCommon(connection.peer.selectors, proposed.peerTs)
  );
}

function peerMismatch(candidates: Candidates, received: Identity, source: string | undefined): Failure {
  const got = formatIdentity(received);
  const shown = few(candidates);
  const expected = named(shown.map((connection) => formatIdentity(connection.peer.identity)));
  const details = { expectedIdentity: expected, receivedIdentity: got };
  const behindNat =
    source === undefined
      ? undefined
      : candidates
          .withPeerIdentity(identityOfAddress(source))
          .find((one) => isIdentityOfPrivateAddress(one.peer.identity, received, source));
  if (behindNat !== undefined) {
    const message =
      `the peer says it is ${got}, but its packets come from ${source}, which connection ${connectionName(behindNat)} expects ` +
      `as its identity: a peer behind NAT sends its private address. Set peer.ike_identity to ` +
      `{ type: ipv4_address, value: ${addressOfIdentity(received)} }, or give the peer ${formatIdentity(behindNat.peer.identity)} as its own identity`;
    return { cause: 'identity_mismatch', message, details };
  }
  return {
    cause: 'identity_mismatch',
    message: `the peer says it is ${got}; ${namesOf(shown)} ${expects(shown)} ${expected || 'no peer'}`,
    details,
  };
}

function localMismatch(candidates: readonly ConnectionConfig[], wanted: Identity): Failure {
  const got = formatIdentity(wanted);
  const own = named(candidates.map((connection) => formatIdentity(connection.local.identity)));
  const message =
    `the peer asks for ${got}; ${namesOf(candidates)} ${candidates.length === 1 ? 'has' : 'have'} the local identity ${own}: ` +
    'make the identity the peer expects and local.ike_identities the same';
  return { cause: 'identity_mismatch', message, details: { expectedIdentity: own, receivedIdentity: got } };
}

/** As many as a message names, and one more to show that there are more. */
function few(candidates: Candidates): ConnectionConfig[] {
  const out: ConnectionConfig[] = [];
  for (const connection of candidates) if (out.push(connection) > MAX_NAMED) break;
  return out;
}

function namesOf(candidates: readonly ConnectionConfig[]): string {
  if (candidates.length === 0) return 'no connection';
  return `${candidates.length === 1 ? 'connection' : 'connections'} ${named(candidates.map(connectionName))}`;
}

function expects(candidates: readonly ConnectionConfig[]): string {
  return candidates.length > 1 ? 'expect' : 'expects';
}

function named(names: readonly string[]): string {
  const all = [...new Set(names)];
  const more = all.length - MAX_NAMED;
  return more > 0 ? `${all.slice(0, MAX_NAMED).join(', ')} and more` : all.join(', ');
}
