import { equalBytes, toHex } from '../../util/bytes.js';
import type { ConnectionId } from '../../util/ids.js';
import { parseIp } from '../../util/ip.js';
import { type ConnectionConfig, connectionName } from '../config.js';
import type { Failure } from '../events.js';
import { CandidatePool, Candidates, NO_CANDIDATES } from './candidates.js';
import { addressOfIdentity } from './identity.js';

/** The two addresses of a datagram, as text, and the version of IKE it speaks. */
export interface Arrival {
  readonly local: string;
  readonly remote: string;
  readonly version: 1 | 2;
}

interface Known {
  readonly connection: ConnectionConfig;
  readonly local: Uint8Array | undefined;
}

/**
 * The connections of one configuration by the addresses of their peers. Built once a configuration; what a first
 * message asks is answered from maps, however many connections there are.
 */
export class PeerIndex {
  /** By each of the peer's addresses, in hexadecimal. */
  readonly #byPeer = new Map<string, Known[]>();
  readonly #fromAnywhere: Known[] = [];
  /** By version and local address. */
  readonly #anywhere = new Map<string, readonly [CandidatePool, CandidatePool]>();
  /** By version, local address, and address of the peer where a connection names it. */
  readonly #candidates = new Map<string, Candidates>();

  constructor(connections: readonly ConnectionConfig[]) {
    for (const connection of connections) {
      const known = { connection, local: parseIp(connection.local.address) };
      const peers = connection.peer.addresses.flatMap((text) => parseIp(text) ?? []);
      for (const key of new Set(peers.map(toHex))) {
        const list = this.#byPeer.get(key);
        if (list === undefined) this.#byPeer.set(key, [known]);
        else list.push(known);
      }
      if (isFromAnywhere(connection, peers)) this.#fromAnywhere.push(known);
    }
  }

  /** Whether a connection of this gateway names the address as its peer's. */
  isConfiguredPeer(remote: string): boolean {
    const address = parseIp(remote);
    return address !== undefined && this.#byPeer.has(toHex(address));
  }

  /**
   * The connections that a request from the peer may belong to, before any identity is known. Those whose peer has
   * the address come first, then those that take their peer from anywhere (`peer_only` with an identity of its own).
   * Connections that are administratively down come after all others: they are there so that their request can be
   * refused by name (`chooseByIdentity`).
   */
  candidates({ local, remote, version }: Arrival): Candidates {
    const here = parseIp(local);
    const peer = parseIp(remote);
    if (here === undefined || peer === undefined) return NO_CANDIDATES;
    const named = this.#byPeer.get(toHex(peer));
    // All addresses that no connection names have the same candidates: what is kept does not grow with sources.
    const key = `${version} ${toHex(here)} ${named === undefined ? '' : toHex(peer)}`;
    const known = this.#candidates.get(key);
    if (known !== undefined) return known;
    const [nearUp, nearDown] = poolsOf(named ?? [], here, version, true);
    const [up, down] = this.#poolsFromAnywhere(here, version);
    const made = new Candidates([nearUp, up, nearDown, down]);
    this.#candidates.set(key, made);
    return made;
  }

  /**
   * Why no connection takes the peer's request in this version: one that is configured for the peer takes the other
   * version only. Undefined when the peer is not known in that one either.
   */
  versionMismatch({
    local,
    remote,
    version,
  }: Arrival): { readonly failure: Failure; readonly connection: ConnectionId } | undefined {
    const other = version === 1 ? 2 : 1;
    // A connection that takes its peer from anywhere says nothing about this address.
    const connection = this.candidates({ local, remote, version: other }).named;
    if (connection === undefined) return undefined;
    return {
      connection: connection.id,
      failure: {
        cause: 'ike_version_mismatch',
        message: `the peer starts with IKEv${version}; connection ${connectionName(connection)} accepts IKEv${other} only`,
        details: { ours: [`IKEv${other}`], theirs: [`IKEv${version}`] },
      },
    };
  }

  #poolsFromAnywhere(here: Uint8Array, version: 1 | 2): readonly [CandidatePool, CandidatePool] {
    const key = `${version} ${toHex(here)}`;
    const known = this.#anywhere.get(key);
    if (known !== undefined) return known;
    const made = poolsOf(this.#fromAnywhere, here, version, false);
    this.#anywhere.set(key, made);
    return made;
  }
}

/** Those that take the version at this local address: up, and administratively down. */
function poolsOf(
  list: readonly Known[],
  here: Uint8Array,
  version: 1 | 2,
  named: boolean,
): readonly [CandidatePool, CandidatePool] {
  const fitting = list
    .filter(({ connection, local }) => connection.acceptVersions.includes(version) && isLocal(local, here))
    .map(({ connection }) => connection);
  return [
    new CandidatePool(
      fitting.filter(({ adminUp }) => adminUp),
      named,
    ),
    new CandidatePool(
      fitting.filter(({ adminUp }) => !adminUp),
      named,
    ),
  ];
}

/** An unspecified local address (0.0.0.0, ::) means any of its family. */
function isLocal(local: Uint8Array | undefined, here: Uint8Array): boolean {
  if (local?.length !== here.length) return false;
  return equalBytes(local, here) || local.every((octet) => octet === 0);
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
