import { equalBytes } from '../../util/bytes.js';
import { parseIp } from '../../util/ip.js';
import { err, ok, type Result } from '../../util/result.js';
import type { TrafficSelector } from '../../wire/ike/payloads.js';
import { IdType } from '../../wire/ike/registry.js';
import type { ConnectionConfig, EngineConfig, Identity } from '../config.js';
import type { Failure, Role } from '../events.js';
import { addressOfIdentity, formatIdentity, sameIdentity } from './identity.js';
import { narrow } from './selectors.js';

/** Identities named in one message; the rest is counted. */
const MOST_NAMED = 8;

/** Selectors as a peer proposes them, from this gateway's point of view: as responder `local` is TSr. */
export interface ProposedSelectors {
  readonly local: readonly TrafficSelector[];
  readonly peer: readonly TrafficSelector[];
}

/**
 * The connections that an IKE SA between the two addresses may belong to, before any identity is known. As
 * responder those whose peer has the address come first, then those that take their peer from anywhere
 * (`peer_only` with an identity of its own). Connections that are administratively down come after all others:
 * they are there so that their request can be refused by name (`chooseByIdentity`).
 */
export function candidatesByAddress(
  config: EngineConfig,
  localAddress: string,
  remoteAddress: string,
  version: 1 | 2,
  role: Role,
): ConnectionConfig[] {
  const local = parseIp(localAddress);
  const remote = parseIp(remoteAddress);
  if (local === undefined || remote === undefined) return [];
  const fits = (connection: ConnectionConfig): boolean =>
    (role === 'initiator'
      ? connection.initiateVersion === version
      : connection.acceptVersions.includes(version)) && isLocalAddress(connection, local);
  const byAddress = config.connections.filter((one) => hasPeerAddress(one, remote) && fits(one));
  const known = new Set(byAddress);
  const fromAnywhere =
    role === 'initiator'
      ? []
      : config.connections.filter((one) => takesAnyAddress(one) && !known.has(one) && fits(one));
  const ordered = [...byAddress, ...fromAnywhere];
  return [...ordered.filter((c) => c.adminUp), ...ordered.filter((c) => !c.adminUp)];
}

/**
 * Why no connection takes the peer's request in this version: one that is configured for the peer takes the other
 * version only. Undefined when the peer is not known in that one either.
 */
export function versionMismatch(
  config: EngineConfig,
  localAddress: string,
  remoteAddress: string,
  version: 1 | 2,
): { readonly failure: Failure; readonly connection: string } | undefined {
  const other = version === 1 ? 2 : 1;
  const known = candidatesByAddress(config, localAddress, remoteAddress, other, 'responder');
  // A connection that takes its peer from anywhere says nothing about this address.
  const remote = parseIp(remoteAddress);
  const connection = known.find((one) => remote !== undefined && hasPeerAddress(one, remote));
  if (connection === undefined) return undefined;
  return {
    connection: connection.name,
    failure: {
      cause: 'ike_version_mismatch',
      message: `the peer begins with IKEv${version}; connection ${connection.name} takes IKEv${other} only`,
      details: { ours: [`IKEv${other}`], theirs: [`IKEv${version}`] },
    },
  };
}

/**
 * The candidate that the peer means by its identity and, when given, by the one of ours it asks for (IDi
 * and IDr of the IKE_AUTH request, RFC 7296 §1.2). Several connections to one peer may share both identities
 * and differ in their networks: `proposed`, the selectors of the first child seen from here, decides among
 * them. `source` is the address the peer's packets come from, for a better explanation.
 */
export function chooseByIdentity(
  candidates: readonly ConnectionConfig[],
  idi: Identity,
  idr?: Identity,
  source?: string,
  proposed?: ProposedSelectors,
): Result<ConnectionConfig, Failure> {
  const byPeer = candidates.filter((connection) => sameIdentity(connection.peer.identity, idi));
  const chosen = byPeer.filter(
    (connection) => idr === undefined || sameIdentity(connection.local.identity, idr),
  );
  const sharing = proposed === undefined ? [] : chosen.filter((one) => shares(one, proposed));
  const fitting = sharing.length > 0 ? sharing : chosen;
  const connection = fitting.find((one) => one.adminUp) ?? fitting[0];
  if (connection !== undefined) {
    if (connection.adminUp) return ok(connection);
    const message = `connection ${connection.name} is administratively down: set admin_state_up to true`;
    return err({ cause: 'admin_down', message });
  }
  if (byPeer.length > 0) return err(localMismatch(byPeer, idr!));
  return err(peerMismatch(candidates, idi, source));
}

/** As initiator: whether the identity the responder proved (IDr) is the one the connection expects. */
export function checkPeerIdentity(
  connection: ConnectionConfig,
  received: Identity,
  source?: string,
): Result<ConnectionConfig, Failure> {
  return sameIdentity(connection.peer.identity, received)
    ? ok(connection)
    : err(peerMismatch([connection], received, source));
}

/**
 * Whether a peer seems to sit behind a NAT and to name itself by its private address: it sends an IPv4
 * identity that is not the address its packets come from, where that address is the identity expected.
 */
export function isIdentityOfPrivateAddress(expected: Identity, received: Identity, source: string): boolean {
  const from = parseIp(source);
  return (
    from !== undefined &&
    received.idType === IdType.IPV4_ADDR &&
    expected.idType === IdType.IPV4_ADDR &&
    equalBytes(expected.data, from) &&
    !equalBytes(received.data, from)
  );
}

function shares(connection: ConnectionConfig, proposed: ProposedSelectors): boolean {
  return (
    narrow(connection.local.selectors, proposed.local).length > 0 &&
    narrow(connection.peer.selectors, proposed.peer).length > 0
  );
}

function peerMismatch(
  candidates: readonly ConnectionConfig[],
  received: Identity,
  source: string | undefined,
): Failure {
  const got = formatIdentity(received);
  const expected = named(candidates.map((connection) => formatIdentity(connection.peer.identity)));
  const details = { expectedIdentity: expected, receivedIdentity: got };
  const behindNat =
    source === undefined
      ? undefined
      : candidates.find((one) => isIdentityOfPrivateAddress(one.peer.identity, received, source));
  if (behindNat !== undefined) {
    const message =
      `the peer says it is ${got}, but its packets come from ${source}, which connection ${behindNat.name} expects ` +
      `as its identity: a peer behind NAT sends its private address. Set peer.ike_identity to ` +
      `{ type: ipv4_address, value: ${addressOfIdentity(received)} }, or give the peer ${formatIdentity(behindNat.peer.identity)} as its own identity`;
    return { cause: 'identity_mismatch', message, details };
  }
  return {
    cause: 'identity_mismatch',
    message: `the peer says it is ${got}; ${namesOf(candidates)} ${expects(candidates)} ${expected || 'no peer'}`,
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

function namesOf(candidates: readonly ConnectionConfig[]): string {
  if (candidates.length === 0) return 'no connection';
  return `${candidates.length === 1 ? 'connection' : 'connections'} ${named(candidates.map(({ name }) => name))}`;
}

function expects(candidates: readonly ConnectionConfig[]): string {
  return candidates.length > 1 ? 'expect' : 'expects';
}

function named(names: readonly string[]): string {
  const all = [...new Set(names)];
  const more = all.length - MOST_NAMED;
  return more > 0 ? `${all.slice(0, MOST_NAMED).join(', ')} and ${more} more` : all.join(', ');
}

/** What is looked at in every connection for every first message: read once, not thousands of times. */
interface Addresses {
  readonly local: Uint8Array | undefined;
  readonly peers: readonly Uint8Array[];
  readonly fromAnywhere: boolean;
}

const ADDRESSES = new WeakMap<ConnectionConfig, Addresses>();

function addressesOf(connection: ConnectionConfig): Addresses {
  const known = ADDRESSES.get(connection);
  if (known !== undefined) return known;
  const peers = connection.peer.addresses.flatMap((text) => parseIp(text) ?? []);
  const local = parseIp(connection.local.address);
  const made = { local, peers, fromAnywhere: isFromAnywhere(connection, peers) };
  ADDRESSES.set(connection, made);
  return made;
}

/** An unspecified local address (0.0.0.0, ::) stands for any of its family. */
function isLocalAddress(connection: ConnectionConfig, actual: Uint8Array): boolean {
  const { local } = addressesOf(connection);
  if (local?.length !== actual.length) return false;
  return equalBytes(local, actual) || local.every((octet) => octet === 0);
}

/** Whether a connection of this gateway names the address as its peer's. */
export function isConfiguredPeer({ connections }: EngineConfig, remoteAddress: string): boolean {
  const remote = parseIp(remoteAddress);
  return remote !== undefined && connections.some((connection) => hasPeerAddress(connection, remote));
}

function hasPeerAddress(connection: ConnectionConfig, remote: Uint8Array): boolean {
  return addressesOf(connection).peers.some((one) => equalBytes(one, remote));
}

function takesAnyAddress(connection: ConnectionConfig): boolean {
  return addressesOf(connection).fromAnywhere;
}

/**
 * Only where the peer alone establishes, and names itself by something else than the address it is
 * configured with: a name, a key id, or the address it has behind its NAT.
 */
function isFromAnywhere(connection: ConnectionConfig, peers: readonly Uint8Array[]): boolean {
  if (connection.establishMode !== 'peer_only') return false;
  const text = addressOfIdentity(connection.peer.identity);
  const address = text === undefined ? undefined : parseIp(text);
  return address === undefined || !peers.some((one) => equalBytes(one, address));
}
