import { equalConstantTime } from '../../crypto/compare.js';
import { compareBytes } from '../../util/bytes.js';
import type { SecretKey } from '../../util/secret.js';
import type { ConnectionConfig, Identity, IkeProposalSpec } from '../config.js';
import { identityKey } from './identity.js';

/** Connections with one pre-shared key. */
export interface KeyGroup {
  readonly psk: SecretKey;
  readonly connections: Candidates;
}

/** Connections in order of preference, made ready for what a stranger's message asks of them. */
export class CandidatePool {
  readonly connections: readonly ConnectionConfig[];
  /** They name the address of the peer, and do not take it from anywhere. */
  readonly named: boolean;
  /** The proposal lists of the connections, each once: `Context.configure` makes equal lists one object. */
  readonly proposals: ReadonlySet<readonly IkeProposalSpec[]>;
  readonly #names: ReadonlySet<string>;
  readonly #byPeer = new Map<string, ConnectionConfig[]>();
  #keys: readonly KeyGroup[] | undefined;

  constructor(connections: readonly ConnectionConfig[], named: boolean) {
    this.connections = connections;
    this.named = named;
    this.proposals = new Set(connections.map(({ ikeProposals }) => ikeProposals));
    this.#names = new Set(connections.map(({ id: name }) => name));
    for (const connection of connections) {
      const key = identityKey(connection.peer.identity);
      const known = this.#byPeer.get(key);
      if (known === undefined) this.#byPeer.set(key, [connection]);
      else known.push(connection);
    }
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  withPeerIdentity(key: string): readonly ConnectionConfig[] {
    return this.#byPeer.get(key) ?? [];
  }

  /** By pre-shared key, in the order of the first connection with each. Worked out once. */
  get keys(): readonly KeyGroup[] {
    this.#keys ??= groupByKey(this.connections);
    return this.#keys;
  }
}

/**
 * The connections that a negotiation may belong to while no identity is known, in order of preference. Beside
 * thousands of connections every question costs what it costs beside one.
 */
export class Candidates {
  readonly #pools: readonly CandidatePool[];
  /** Whether one of them asks for UDP encapsulation even without a NAT. */
  readonly forcesEncapsulation: boolean;

  constructor(pools: readonly CandidatePool[]) {
    this.#pools = pools.filter(({ connections }) => connections.length > 0);
    this.forcesEncapsulation = pools.some(({ connections }) =>
      connections.some(({ encapsulation }) => encapsulation === 'always'),
    );
  }

  get isEmpty(): boolean {
    return this.#pools.length === 0;
  }

  /** The most preferred one. */
  get first(): ConnectionConfig | undefined {
    return this.#pools[0]?.connections[0];
  }

  /** The most preferred one that names the peer's address. */
  get named(): ConnectionConfig | undefined {
    return this.#pools.find(({ named }) => named)?.connections[0];
  }

  /** The only one, undefined when there are none or several. */
  get only(): ConnectionConfig | undefined {
    const [first, second] = this;
    return second === undefined ? first : undefined;
  }

  has(name: string): boolean {
    return this.#pools.some((pool) => pool.has(name));
  }

  /** Those that expect this identity of their peer. */
  withPeerIdentity(identity: Identity): ConnectionConfig[] {
    const key = identityKey(identity);
    return [...new Set(this.#pools.flatMap((pool) => pool.withPeerIdentity(key)))];
  }

  /** The proposal lists, each once, in the order of the first connection with each. */
  get proposals(): ReadonlySet<readonly IkeProposalSpec[]> {
    const [only] = this.#pools;
    if (this.#pools.length === 1) return only!.proposals;
    return new Set(this.#pools.flatMap((pool) => [...pool.proposals]));
  }

  /** The pre-shared keys of those that name the peer's address, and of the others. A key may come several times. */
  get keys(): { readonly named: readonly KeyGroup[]; readonly others: readonly KeyGroup[] } {
    const of = (named: boolean) =>
      this.#pools.filter((pool) => pool.named === named).flatMap((pool) => pool.keys);
    return { named: of(true), others: of(false) };
  }

  /** Each connection once. */
  *[Symbol.iterator](): IterableIterator<ConnectionConfig> {
    for (const [i, pool] of this.#pools.entries()) {
      for (const connection of pool.connections) {
        const before = this.#pools.slice(0, i).some((one) => one.has(connection.id));
        if (!before) yield connection;
      }
    }
  }
}

/** No connection is configured for the peer. */
export const NO_CANDIDATES = new Candidates([]);

/**
 * What the first proposal list gives that gives anything: each list is asked once, however many connections share it.
 */
export function firstMatch<T>(
  candidates: Candidates,
  find: (specs: readonly IkeProposalSpec[]) => T | undefined,
): T | undefined {
  for (const specs of candidates.proposals) {
    const found = find(specs);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Candidates of one preference. */
export function candidatesOf(connections: readonly ConnectionConfig[]): Candidates {
  return new Candidates([new CandidatePool(connections, true)]);
}

function groupByKey(connections: readonly ConnectionConfig[]): KeyGroup[] {
  const sorted = connections.map((connection, order) => ({
    connection,
    order,
    key: connection.psk.expose(),
  }));
  // No peer is waiting for this: the time that the order takes reveals nothing about a key.
  sorted.sort((a, b) => compareBytes(a.key, b.key) || a.order - b.order);
  const groups: (typeof sorted)[] = [];
  for (const one of sorted) {
    const last = groups.at(-1);
    if (last !== undefined && equalConstantTime(last[0]!.key, one.key)) last.push(one);
    else groups.push([one]);
  }
  groups.sort((a, b) => a[0]!.order - b[0]!.order);
  return groups.map((group) => ({
    psk: group[0]!.connection.psk,
    connections: candidatesOf(group.map(({ connection }) => connection)),
  }));
}
