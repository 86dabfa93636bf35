import { subjectOf } from '../ike/event-subject.js';
import type { IkeEvent } from '../ike/events.js';
import type { ConnectionId } from '../util/ids.js';
import type { Endpoint } from '../util/ip.js';
import type { Millis } from '../util/units.js';
import { configuredAdvisories } from './advisors.js';
import { CarriedNetworks } from './carried.js';
import { type ConnectionNote, connectionDocument, type Documented } from './document.js';
import { entryOf, TURNED_AWAY } from './event-catalogue.js';
import type { SaChange, SaView } from './ledger.js';
import { peerAddressBesideTunnel } from './own-address.js';
import type { EventConsumer, Moment, Projection, TrackedConnection } from './projection.js';
import {
  ConnectionHistory,
  type HistoryEntry,
  mergedHistory,
  StrangersHistory,
} from './projections/history.js';
import { makeProjections, type Projections } from './projections/projections.js';
import type { ChildTraffic, TrafficSource } from './sa-status.js';
import type { Advisory, ConnectionStatus, ConnectionStatusDocument } from './status.js';

/** A connection as the tracker shows it: a live view, not to be kept. */
export interface Looked extends Documented {
  /** Its networks, and what child SAs carry of them. */
  readonly networks: Pick<CarriedNetworks, 'matrix' | 'counts' | 'pairs' | 'carries'>;
}

interface Context extends Pick<Moment, 'change'> {
  readonly begunAt: Moment['begunAt'] | undefined;
}

interface Tracked {
  connection: TrackedConnection;
  /** Of the configuration alone: looked for once, since the key is in it. */
  configured: readonly Advisory[];
  /** Likewise. */
  besideTunnel: string | undefined;
  readonly carried: CarriedNetworks;
  readonly projections: Projections;
  /** The same in the order in which they take what happens. */
  readonly inOrder: readonly Projection[];
}

/** What is at an address of a configured peer. */
interface PeerAddress {
  readonly connections: readonly Tracked[];
  /** Of what came from there without a connection: kept once, since hundreds of connections may have one peer. */
  readonly history: ConnectionHistory;
}

const NOBODY: readonly Tracked[] = [];

/**
 * Reports the status of every configured connection: passes on what happens to the projections of the connections it
 * concerns, and puts together what they made of it. Pure: points in time come with the events, on a monotonic clock.
 */
export class ConnectionTracker implements EventConsumer {
  readonly #tracked = new Map<ConnectionId, Tracked>();
  readonly #ledger: SaView;
  readonly #toUtc: (at: Millis) => string;
  /** Of IKE SAs whose connection is not known yet. */
  readonly #strangers = new StrangersHistory();
  /** By the addresses of peers. */
  #peers: ReadonlyMap<string, PeerAddress> = new Map();
  /** The configuration has changed since `#peers` was made. */
  #peersOutdated = false;
  #revision = 0;

  /**
   * @param ledger has taken every event before it comes here
   * @param toUtc gives the RFC 3339 form, in UTC, of a point on the monotonic clock
   */
  constructor(ledger: SaView, toUtc: (at: Millis) => string) {
    this.#ledger = ledger;
    this.#toUtc = toUtc;
  }

  /** Changes whenever a status other than its counters may have changed. */
  get revision(): number {
    return this.#revision;
  }

  /** Replaces the configured connections; what is known of those that stay is kept. */
  configure(connections: readonly TrackedConnection[]): void {
    this.#peersOutdated = true;
    const ids = new Set(connections.map((one) => one.config.id));
    for (const id of this.#tracked.keys()) if (!ids.has(id)) this.#tracked.delete(id);
    for (const connection of connections) {
      const { config } = connection;
      const known = this.#tracked.get(config.id);
      const before = known?.connection.config;
      const one = known ?? this.#begin(connection);
      one.connection = connection;
      one.configured = configuredAdvisories(config);
      one.besideTunnel = peerAddressBesideTunnel(config);
      one.carried.configure(config, this.#ledger.of(config.id));
      for (const projection of one.inOrder) projection.configure?.(config, before);
    }
    this.#revision++;
  }

  on(event: IkeEvent, now: Millis, change: SaChange): void {
    const { connection, ikeId } = subjectOf(event);
    if (connection !== undefined) {
      const one = this.#tracked.get(connection);
      if (one === undefined) return;
      const before = ikeId === undefined ? [] : this.#strangers.take(ikeId);
      one.projections.history.take(before);
      const began = before.find(({ kind }) => kind === 'attempt');
      const begunAt = began && { ikeId: ikeId!, at: began.firstAt };
      this.#deliver(one, event, now, { change, begunAt });
      return;
    }
    if (!('peer' in event)) return;
    if (ikeId !== undefined) this.#strangers.add(event, ikeId, now);
    // Messages come often; those of an IKE SA are of no use before it is known whose that is.
    if (event.kind !== 'message' || ikeId === undefined)
      this.#fromPeer(event, event.peer.address, now, change);
  }

  /** Watches the counters of all child SAs; call it every second or so. */
  traffic(counters: ReadonlyMap<number, ChildTraffic>, now: Millis): void {
    for (const { connection, inOrder } of this.#tracked.values()) {
      const { children } = this.#ledger.of(connection.config.id);
      const own = [...children.keys()].flatMap((id) => counters.get(id) ?? []);
      for (const projection of inOrder) projection.traffic?.(own, now);
    }
  }

  /** Nothing ran here for this long, in milliseconds, until now: the machine was suspended, or the process stopped. */
  stoodStill(length: Millis, now: Millis): void {
    for (const { inOrder } of this.#tracked.values())
      for (const projection of inOrder) projection.stoodStill?.(length, now);
  }

  /** The kernel refused to send an IKE message. */
  sendFailed(to: Endpoint, code: string, message: string, now: Millis): void {
    for (const { inOrder } of this.#peer(to.address)?.connections ?? NOBODY)
      for (const projection of inOrder) projection.sendFailed?.(code, message, now);
  }

  /** How much of a connection its child SAs carry; undefined when it is not configured. */
  carried(connection: ConnectionId): ConnectionStatus | undefined {
    return this.#tracked.get(connection)?.carried.status;
  }

  /** What happened to a connection lately, oldest first. */
  history(connection: ConnectionId): readonly HistoryEntry[] {
    const one = this.#tracked.get(connection);
    if (one === undefined) return [];
    const ofPeer = one.connection.config.peer.addresses.flatMap(
      (address) => this.#peer(address)?.history ?? [],
    );
    return mergedHistory([...ofPeer, one.projections.history]);
  }

  /**
   * The status of every configured connection, in the order of the configuration.
   * @param now for what depends on the time: flaps and unanswered traffic
   */
  status(
    traffic: TrafficSource = new Map(),
    notes: ReadonlyMap<ConnectionId, ConnectionNote> = new Map(),
    now: Millis = 0,
  ): ConnectionStatusDocument[] {
    return [...this.#tracked].map(([id, one]) => this.#document(one, traffic, notes.get(id), now));
  }

  /** The status of one connection; undefined when it is not configured. */
  statusOf(
    connection: ConnectionId,
    traffic: TrafficSource,
    note: ConnectionNote | undefined,
    now: Millis,
  ): ConnectionStatusDocument | undefined {
    const one = this.#tracked.get(connection);
    return one === undefined ? undefined : this.#document(one, traffic, note, now);
  }

  /** Shows each configured connection with all that is known of it, in the order of the configuration. */
  look<T>(at: (one: Looked) => T): T[] {
    return [...this.#tracked.values()].map((one) => at(this.#looked(one)));
  }

  #looked({ connection, carried: networks, projections, configured, besideTunnel }: Tracked): Looked {
    const sas = this.#ledger.of(connection.config.id);
    return { connection, networks, projections, configured, besideTunnel, sas, carried: networks.status };
  }

  #begin(connection: TrackedConnection): Tracked {
    const projections = makeProjections(this.#toUtc);
    const inOrder: readonly Projection[] = Object.values(projections);
    const one: Tracked = {
      connection,
      configured: [],
      besideTunnel: undefined,
      carried: new CarriedNetworks(),
      projections,
      inOrder,
    };
    this.#tracked.set(connection.config.id, one);
    return one;
  }

  #document(
    one: Tracked,
    traffic: TrafficSource,
    note: ConnectionNote | undefined,
    now: Millis,
  ): ConnectionStatusDocument {
    return connectionDocument(this.#looked(one), { note, traffic, now, toUtc: this.#toUtc });
  }

  #deliver(one: Tracked, event: IkeEvent, now: Millis, { change, begunAt }: Context): void {
    const before = one.carried.status;
    one.carried.take(event, change, this.#ledger.of(one.connection.config.id));
    const moment = this.#moment(one, before, now, change);
    const known: Moment = begunAt === undefined ? moment : { begunAt, ...moment };
    for (const projection of one.inOrder) projection.on?.(event, known);
    if (changesStatus(event, change)) this.#revision++;
  }

  /**
   * An event without a connection: the address may be that of many connections' peer, and a stranger can forge it, so
   * few projections take it, and none does much.
   */
  #fromPeer(event: IkeEvent, address: string, now: Millis, change: SaChange): void {
    const at = this.#peer(address);
    if (at === undefined) return;
    at.history.takeFromAddress(event, now);
    if (!concernsItsConnections(event)) return;
    for (const one of at.connections) {
      const moment = this.#moment(one, one.carried.status, now, change);
      for (const projection of one.inOrder) projection.onPeer?.(event, moment);
    }
    if (changesStatus(event, change)) this.#revision++;
  }

  #moment(one: Tracked, before: ConnectionStatus, now: Millis, change: SaChange): Moment {
    const { config, peer } = one.connection;
    return { config, peer, now, change, sas: this.#ledger.of(config.id), before, after: one.carried.status };
  }

  #peer(address: string): PeerAddress | undefined {
    if (this.#peersOutdated) this.#peers = this.#indexPeers(this.#peers);
    this.#peersOutdated = false;
    return this.#peers.get(address);
  }

  #indexPeers(before: ReadonlyMap<string, PeerAddress>): Map<string, PeerAddress> {
    const out = new Map<string, PeerAddress & { readonly connections: Tracked[] }>();
    for (const one of this.#tracked.values()) {
      for (const address of new Set(one.connection.config.peer.addresses)) {
        const known = out.get(address);
        const history = before.get(address)?.history ?? new ConnectionHistory();
        if (known === undefined) out.set(address, { connections: [one], history });
        else known.connections.push(one);
      }
    }
    return out;
  }
}

/** Whether the status of a peer's connections may say something else after an event without a connection. */
function concernsItsConnections(event: IkeEvent): boolean {
  switch (event.kind) {
    case 'ike-responding':
    case 'ike-failed':
      return true;
    case 'datagram-dropped':
      return TURNED_AWAY.includes(event.reason);
    default:
      return false;
  }
}

/** Whether a status may say something else after the event. */
function changesStatus(event: IkeEvent, { attempt }: SaChange): boolean {
  // The first one says that the peer is slow; the number of the others is not worth a change.
  if (event.kind === 'retransmit') return attempt?.retransmits === 0;
  const { status } = entryOf(event);
  return typeof status === 'function' ? status(event) : status === true;
}
