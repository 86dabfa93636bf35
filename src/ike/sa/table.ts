import type { ConnectionId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';
import type { IkePath } from '../path/first-path.js';
import { Agenda } from './agenda.js';

/** Who wants to know that what an SA is found by is about to change, and has changed. */
interface SaWatcher {
  leaving(sa: TabledSa): void;
  entered(sa: TabledSa): void;
}

/**
 * What an SA knows in one phase of its life, and in no other: `at` names the phase. `link` is the way to the peer,
 * which one phase hands on to the next.
 */
export interface Phase {
  readonly at: string;
  readonly link: IkePath;
}

/** An SA that is in one of these phases, until `moveTo` moves it on. */
export type InPhase<Sa extends { readonly phase: Phase }, At extends Sa['phase']['at']> = Sa & {
  readonly phase: Extract<Sa['phase'], { readonly at: At }>;
};

/**
 * What an IKE SA is found by in its table, which keeps up with every change. SPIs are 16 hexadecimal digits.
 * `P` are the phases of its version, `C` what the version knows of its connection.
 */
export class TabledSa<
  P extends Phase = Phase,
  C extends { readonly id: ConnectionId } = { readonly id: ConnectionId },
> {
  /** The SPI this end chose: unique here, and in every message the peer sends on the SA. */
  readonly localSpi: string;
  #phase: P;
  #connection: C | undefined;
  #identities = '';
  #watcher: SaWatcher | undefined;

  constructor(localSpi: string, phase: P) {
    this.localSpi = localSpi;
    this.#phase = phase;
  }

  get phase(): P {
    return this.#phase;
  }

  /** From now on it is in this phase: a reference typed as `InPhase` of another one is void. */
  moveTo(phase: P): void {
    this.#watcher?.leaving(this);
    this.#phase = phase;
    this.#watcher?.entered(this);
  }

  /** The name of the phase. */
  get state(): P['at'] {
    return this.#phase.at;
  }

  /** Where the peer is. */
  get remote(): Endpoint {
    return this.#phase.link.remote;
  }

  set remote(remote: Endpoint) {
    this.#watcher?.leaving(this);
    this.#phase.link.remote = remote;
    this.#watcher?.entered(this);
  }

  /** Where the peer is reached from. */
  get local(): Endpoint {
    return this.#phase.link.local;
  }

  set local(local: Endpoint) {
    this.#phase.link.local = local;
  }

  /** Messages leave from the UDP 4500 socket, with the non-ESP marker (RFC 3948 §2.2). */
  get natTraversalPort(): boolean {
    return this.#phase.link.natTraversalPort;
  }

  set natTraversalPort(natTraversalPort: boolean) {
    this.#phase.link.natTraversalPort = natTraversalPort;
  }

  get connection(): C | undefined {
    return this.#connection;
  }

  set connection(connection: C | undefined) {
    this.#watcher?.leaving(this);
    this.#connection = connection;
    this.#watcher?.entered(this);
  }

  /** The pair of identities that is or was authenticated, which the configuration may have changed since. */
  get identities(): string {
    return this.#identities;
  }

  set identities(identities: string) {
    this.#watcher?.leaving(this);
    this.#identities = identities;
    this.#watcher?.entered(this);
  }

  /** For the table alone. */
  watch(watcher: SaWatcher | undefined): void {
    this.#watcher = watcher;
  }
}

/**
 * IKE SAs by the SPI this end chose for them (RFC 7296 §2.6), by connection, by state, by the peer's address and by
 * identities:
 * whatever a datagram leads to is found without a walk over all. Knows which of them may have changed: an SA that is
 * got from the table, other than by `values` and `oldest`, counts as touched until `earliest` has looked at it.
 * A caller that has an SA from elsewhere and changes it says so by `touch`.
 */
export class SaTable<T extends TabledSa> {
  readonly #bySpi = new Map<string, T>();
  readonly #agenda = new Agenda<T>();
  /** By connection, state, and state with address; see `keysOf`. Each set is in the order of entering it. */
  readonly #sets = new Map<string, Set<TabledSa>>();
  readonly #watcher: SaWatcher = {
    leaving: (sa) => this.#leave(sa),
    entered: (sa) => this.#enter(sa),
  };

  get size(): number {
    return this.#bySpi.size;
  }

  find(localSpi: string): T | undefined {
    const sa = this.#bySpi.get(localSpi);
    if (sa !== undefined) this.#agenda.touch(sa);
    return sa;
  }

  has(localSpi: string): boolean {
    return this.#bySpi.has(localSpi);
  }

  add(sa: T): void {
    if (this.#bySpi.has(sa.localSpi)) throw new Error(`the IKE SPI ${sa.localSpi} is in use`);
    this.#bySpi.set(sa.localSpi, sa);
    this.#agenda.add(sa);
    this.#enter(sa);
    sa.watch(this.#watcher);
  }

  remove(sa: T): void {
    if (this.#bySpi.get(sa.localSpi) !== sa) return;
    this.#bySpi.delete(sa.localSpi);
    this.#agenda.remove(sa);
    sa.watch(undefined);
    this.#leave(sa);
  }

  /** The SA is about to change. */
  touch(sa: T): void {
    this.#agenda.touch(sa);
  }

  /** All SAs, oldest first. A copy: handlers add and remove while walking. */
  all(): T[] {
    return this.select(() => true);
  }

  /** The SAs that it is true of, oldest first. A copy. Looks at all: not for what a datagram may cause. */
  select(wanted: (sa: T) => boolean): T[] {
    return this.#handOut([...this.#bySpi.values()].filter(wanted));
  }

  /** The SAs of a connection, oldest first. A copy. */
  ofConnection(id: ConnectionId): T[] {
    const set = this.#sets.get(connectionKey(id));
    // In the order of the table, which is that of their ids; they came to the connection in another.
    return set === undefined ? [] : this.#handOut(this.#agenda.inOrder(set as Set<T>));
  }

  /** The SAs with a pair of identities, oldest first. A copy. */
  ofIdentities(identities: string): T[] {
    const set = this.#sets.get(identitiesKey(identities));
    return set === undefined ? [] : this.#handOut(this.#agenda.inOrder(set as Set<T>));
  }

  /** How many SAs are in one of the states, in all or with one peer address. */
  count(states: readonly T['state'][], address?: string): number {
    let count = 0;
    for (const state of states) count += this.#sets.get(stateKey(state, address))?.size ?? 0;
    return count;
  }

  /**
   * The SAs in a state, in all or with one peer address, to be looked at and not to be changed: those first that
   * have been in it for the longest time.
   */
  *oldest(state: T['state'], address?: string): IterableIterator<T> {
    yield* (this.#sets.get(stateKey(state, address)) ?? []) as Iterable<T>;
  }

  /** The SAs of a connection, oldest first, to be looked at and not to be changed. A copy. */
  viewOf(id: ConnectionId): T[] {
    const set = this.#sets.get(connectionKey(id));
    return set === undefined ? [] : this.#agenda.inOrder(set as Set<T>);
  }

  /** All SAs, oldest first, to be looked at and not to be changed. */
  values(): IterableIterator<T> {
    return this.#bySpi.values();
  }

  /** The SAs that may have changed, oldest first. A copy. */
  touched(): T[] {
    return this.#agenda.touched();
  }

  /** The SAs that are due by now, oldest first. @see Agenda.due */
  due(now: Millis, deadlineOf: (sa: T) => Millis): IterableIterator<T> {
    return this.#agenda.due(now, deadlineOf);
  }

  /** When the next SA is due, infinite when none is. @see Agenda.earliest */
  earliest(deadlineOf: (sa: T) => Millis): Millis {
    return this.#agenda.earliest(deadlineOf);
  }

  #handOut(sas: T[]): T[] {
    for (const sa of sas) this.#agenda.touch(sa);
    return sas;
  }

  #enter(sa: TabledSa): void {
    for (const key of keysOf(sa)) {
      const set = this.#sets.get(key);
      if (set === undefined) this.#sets.set(key, new Set([sa]));
      else set.add(sa);
    }
  }

  #leave(sa: TabledSa): void {
    for (const key of keysOf(sa)) {
      const set = this.#sets.get(key);
      set?.delete(sa);
      if (set?.size === 0) this.#sets.delete(key);
    }
  }
}

function keysOf({ state, remote, connection, identities }: TabledSa): string[] {
  const keys = [stateKey(state), stateKey(state, remote.address)];
  if (connection !== undefined) keys.push(connectionKey(connection.id));
  if (identities !== '') keys.push(identitiesKey(identities));
  return keys;
}

function identitiesKey(identities: string): string {
  return `identities ${identities}`;
}

function stateKey(state: string, address?: string): string {
  return address === undefined ? `state ${state}` : `state ${state} ${address}`;
}

function connectionKey(id: ConnectionId): string {
  return `connection ${id}`;
}
