import { type ConnectionConfig, connectionName } from '../ike/config.js';
import type { ChildSaInfo, CloseReason, Failure, IkeEvent, IkeSaInfo } from '../ike/events.js';
import { CarriedPairs } from '../ike/policy/carried-pairs.js';
import { QUIRKS, type QuirkCode } from '../ike/quirks.js';
import type { ConnectionId } from '../util/ids.js';
import type { Endpoint } from '../util/ip.js';
import type { Millis } from '../util/units.js';
import { sameNetworks } from './coverage.js';
import { historyOf } from './event-catalogue.js';
import { FailureMemory } from './failures.js';
import { FlapCounter } from './flaps.js';
import { ConnectionHistory, type HistoryEntry } from './history.js';
import { expiredUnrekeyed, LifetimeWatch, lifetimeAdvisories } from './lifetimes.js';
import { CLOSES, isIntended } from './losses.js';
import {
  configuredAdvisories,
  coverageStatus,
  familyAdvisories,
  narrowedReason,
  observedAdvisories,
  sumOfDrops,
} from './observations.js';
import { type StatusCause, type StatusFailure, statusReason } from './reasons.js';
import type { ConnectionView } from './reconcile.js';
import { expiredAfter, PairRefusals, RekeyRefusals, rekeyAdvisories, unrekeyedChild } from './refusals.js';
import { type ChildTraffic, childStatus, ikeStatus, newest } from './sa-status.js';
import { PeerContact } from './silence.js';
import type {
  Advisory,
  ConnectionStatus,
  ConnectionStatusDocument,
  CoverageStatus,
  StatusReason,
} from './status.js';
import { TrafficWatch } from './traffic-watch.js';

/** A configured connection with the peer as the operator wrote it, host name or address. */
export interface TrackedConnection {
  readonly config: ConnectionConfig;
  readonly peer: string;
}

/** What this host lacks for a connection's traffic. */
export interface ConnectionProblem {
  readonly cause: StatusCause;
  readonly message: string;
  /** When the host is asked again. */
  readonly retryAt?: Millis;
}

/** What the operator or the reconciler adds to the picture. */
export interface ConnectionNote {
  /** Stopped by an operator's `down` although it is configured up. */
  readonly stopped: boolean;
  /** What the reconciler is doing about it. */
  readonly view?: ConnectionView;
  /** What this host lacks for its traffic: a route, a device. */
  readonly problems?: readonly ConnectionProblem[];
  /** The TUN device its packets go through. */
  readonly interface?: string;
}

/** IKE SAs of unknown connection whose messages are kept until it is known, and messages of each. */
const MAX_STRANGERS = 64;
const MAX_MESSAGES = 8;
interface Tracked {
  connection: TrackedConnection;
  readonly ikes: Map<number, IkeSaInfo>;
  readonly children: Map<number, ChildSaInfo>;
  /** Which configured pairs of networks they carry. */
  readonly carried: CarriedPairs;
  /** Children that a newer one takes over from. */
  readonly replaced: Set<number>;
  /** Our negotiations under way: IKE version and requests sent again so far. */
  readonly attempts: Map<number, { readonly version: 1 | 2; readonly retransmits: number }>;
  readonly failures: FailureMemory;
  readonly advisories: Map<string, Advisory>;
  /** Of the configuration alone: looked for once, since the key is in it. */
  configured: readonly Advisory[];
  readonly quirks: Set<QuirkCode>;
  readonly history: ConnectionHistory;
  readonly flaps: FlapCounter;
  readonly traffic: TrafficWatch;
  readonly contact: PeerContact;
  readonly lifetimes: LifetimeWatch;
  readonly refusals: PairRefusals;
  readonly rekeyRefusals: RekeyRefusals;
}

/**
 * Follows the engine's events and tells the status of every configured connection. Pure: points in time come
 * with the events, on a monotonic clock.
 */
export class ConnectionTracker {
  readonly #tracked = new Map<ConnectionId, Tracked>();
  readonly #toUtc: (at: Millis) => string;
  /** Messages of IKE SAs whose connection is not known yet. */
  readonly #strangers = new Map<number, HistoryEntry[]>();
  /** Connections by the addresses of their peers; made when it is needed. */
  #byPeer: Map<string, Tracked[]> | undefined;
  #revision = 0;

  /** @param toUtc gives the RFC 3339 form, in UTC, of a point on the monotonic clock */
  constructor(toUtc: (at: Millis) => string) {
    this.#toUtc = toUtc;
  }

  /** Changes whenever a status other than its counters may have changed. */
  get revision(): number {
    return this.#revision;
  }

  /** Replaces the configured connections; what is known of those that stay is kept. */
  configure(connections: readonly TrackedConnection[]): void {
    this.#byPeer = undefined;
    const ids = new Set(connections.map((one) => one.config.id));
    for (const id of this.#tracked.keys()) if (!ids.has(id)) this.#tracked.delete(id);
    for (const connection of connections) {
      const known = this.#tracked.get(connection.config.id);
      if (known !== undefined) {
        if (!sameNetworks(known.connection.config, connection.config)) known.refusals.clear();
        known.connection = connection;
        known.configured = configuredAdvisories(connection.config);
        known.carried.configure(connection.config);
        continue;
      }
      const carried = new CarriedPairs();
      carried.configure(connection.config);
      this.#tracked.set(connection.config.id, {
        carried,
        connection,
        ikes: new Map(),
        children: new Map(),
        replaced: new Set(),
        attempts: new Map(),
        failures: new FailureMemory(),
        advisories: new Map(),
        configured: configuredAdvisories(connection.config),
        quirks: new Set(),
        history: new ConnectionHistory(),
        flaps: new FlapCounter(),
        traffic: new TrafficWatch(),
        contact: new PeerContact(),
        lifetimes: new LifetimeWatch(),
        refusals: new PairRefusals(),
        rekeyRefusals: new RekeyRefusals(),
      });
    }
    this.#revision++;
  }

  handle(event: IkeEvent, now: Millis): void {
    this.#remember(event, now);
    this.#noteContact(event, now);
    switch (event.kind) {
      case 'ike-initiating':
        this.#with(event.connection, (one) =>
          one.attempts.set(event.ikeId, { version: event.version, retransmits: 0 }),
        );
        return;
      case 'retransmit':
        if (event.connection !== undefined) this.#retransmitted(event.connection, event.ikeId, event.attempt);
        return;
      case 'ike-established':
        this.#with(event.connection, (one) => {
          one.ikes.set(event.ike.ikeId, event.ike);
          one.attempts.delete(event.ike.ikeId);
          if (event.ike.replaces === undefined) one.refusals.clear();
          else ikeRekeyed(one);
          if (coverage(one) !== 'down') one.failures.clear();
        });
        return;
      case 'ike-closed':
        this.#with(event.connection, (one) => this.#ikeClosed(one, event, now));
        return;
      case 'ike-failed':
        this.#ikeFailed(event, now);
        return;
      case 'child-established':
        this.#with(event.connection, (one) => {
          one.children.set(event.child.childId, event.child);
          one.carried.add(event.child.childId, event.child);
          if (event.child.replaces !== undefined) {
            one.replaced.add(event.child.replaces);
            one.lifetimes.rekeyed('child');
            one.rekeyRefusals.rekeyed();
          }
          one.refusals.accepted();
          if (coverage(one) !== 'down') one.failures.clear();
        });
        return;
      case 'child-closed':
        this.#with(event.connection, (one) => this.#childClosed(one, event, now));
        return;
      case 'child-failed':
        this.#with(event.connection, (one) => {
          const version = one.ikes.get(event.ikeId)?.version ?? 2;
          const { failure, retryAt, rekeys } = event;
          if (rekeys !== undefined) {
            one.rekeyRefusals.refused(rekeys, event.role, failure);
            // The peer does rekey, so its lifetime is not what ends child SAs early.
            if (event.role === 'responder') one.lifetimes.rekeyed('child');
          } else if (event.role === 'initiator')
            one.refusals.refused(event.pair, { failure, at: now, retryAt });
          this.#record(one, event.role, failure, version, now);
        });
        return;
      case 'datagram-dropped':
        if (event.reason === 'half_open_limit' || event.reason === 'rate_limited')
          this.#turnedAway(event, now);
        return;
      case 'rescheduled':
        this.#with(event.connection, (one) => reschedule(one, event));
        return;
      case 'peer-moved':
        this.#with(event.connection, (one) => {
          const ike = one.ikes.get(event.ikeId);
          if (ike !== undefined) one.ikes.set(event.ikeId, { ...ike, peer: event.to });
        });
        return;
      case 'advisory-withdrawn':
        this.#with(event.connection, (one) => {
          for (const [key, advisory] of one.advisories)
            if (advisory.code === event.code) one.advisories.delete(key);
        });
        return;
      case 'quirk':
        this.#with(event.connection, (one) => one.quirks.add(event.code));
        return;
      case 'advisory':
        this.#with(event.connection, (one) =>
          one.advisories.set(`${event.code} ${event.message}`, { code: event.code, message: event.message }),
        );
        return;
      default:
    }
  }

  /** Watches the counters of all child SAs; call it every second or so. */
  traffic(counters: ReadonlyMap<number, ChildTraffic>, now: Millis): void {
    for (const one of this.#tracked.values()) {
      const own = [...one.children.keys()].flatMap((id) => counters.get(id) ?? []);
      one.traffic.update(own, now);
    }
  }

  /** Nothing ran here for this long, in milliseconds, until now: the machine was suspended, or the process stopped. */
  stoodStill(length: Millis, now: Millis): void {
    for (const one of this.#tracked.values()) {
      one.lifetimes.stoodStill(length, now);
      one.history.add('changed', `this machine stood still for ${Math.round(length / 1000)} s`, now);
    }
  }

  /** The kernel refused to send an IKE message. */
  sendFailed(to: Endpoint, code: string, message: string, now: Millis): void {
    for (const one of this.#withPeer(to.address)) one.contact.sendFailed(code, message, now);
  }

  /** What happened to a connection lately, oldest first. */
  history(id: ConnectionId): readonly HistoryEntry[] {
    return this.#tracked.get(id)?.history.entries ?? [];
  }

  /**
   * The status of every configured connection, in the order of the configuration.
   * @param now for what depends on the time: flaps and unanswered traffic
   */
  status(
    traffic: ReadonlyMap<number, ChildTraffic> = new Map(),
    notes: ReadonlyMap<ConnectionId, ConnectionNote> = new Map(),
    now: Millis = 0,
  ): ConnectionStatusDocument[] {
    return [...this.#tracked.values()].map((one) =>
      this.#document(one, traffic, notes.get(one.connection.config.id), now),
    );
  }

  /** Notes the event in the history of its connection, or of those it may belong to. */
  #remember(event: IkeEvent, now: Millis): void {
    const line = historyOf(event);
    const name = 'connection' in event ? event.connection : undefined;
    const ikeId = 'ikeId' in event ? event.ikeId : 'ike' in event ? event.ike.ikeId : undefined;
    const one = name === undefined ? undefined : this.#tracked.get(name);
    if (one !== undefined) {
      if (ikeId !== undefined) {
        one.history.take(this.#strangers.get(ikeId) ?? []);
        this.#strangers.delete(ikeId);
      }
      if (line !== undefined) one.history.add(line.kind, line.text, now);
    } else if (line !== undefined && name === undefined && 'peer' in event) {
      if (ikeId !== undefined) this.#keepFor(ikeId, { ...line, firstAt: now, lastAt: now, count: 1 });
      else
        for (const known of this.#withPeer(event.peer.address)) known.history.add(line.kind, line.text, now);
    }
  }

  /** What is sent to the peer of a connection, and what comes from it. */
  #noteContact(event: IkeEvent, now: Millis): void {
    if (event.kind === 'message' && event.direction === 'out' && event.connection !== undefined)
      this.#tracked.get(event.connection)?.contact.sent(event.peer, now);
    else if (event.kind === 'retransmit' && event.connection !== undefined)
      this.#tracked.get(event.connection)?.contact.sent(event.peer, now);
    else if (event.kind === 'message' && event.direction === 'in' && event.connection !== undefined)
      this.#tracked.get(event.connection)?.contact.heard(now);
    else if (event.kind === 'ike-responding')
      for (const one of this.#withPeer(event.peer.address)) one.contact.began(now);
  }

  #keepFor(ikeId: number, entry: HistoryEntry): void {
    const kept = this.#strangers.get(ikeId) ?? [];
    if (kept.length < MAX_MESSAGES) kept.push(entry);
    this.#strangers.set(ikeId, kept);
    if (this.#strangers.size <= MAX_STRANGERS) return;
    const [oldest] = this.#strangers.keys();
    this.#strangers.delete(oldest!);
  }

  /** The connections whose peer has the address. */
  #withPeer(address: string): readonly Tracked[] {
    this.#byPeer ??= this.#indexPeers();
    return this.#byPeer.get(address) ?? [];
  }

  #indexPeers(): Map<string, Tracked[]> {
    const out = new Map<string, Tracked[]>();
    for (const one of this.#tracked.values()) {
      for (const address of new Set(one.connection.config.peer.addresses)) {
        const known = out.get(address);
        if (known === undefined) out.set(address, [one]);
        else known.push(one);
      }
    }
    return out;
  }

  #countFlap(one: Tracked, before: ConnectionStatus, reason: CloseReason, now: Millis): void {
    if (before === 'down' || coverage(one) !== 'down' || isIntended(reason)) return;
    one.flaps.lost(now);
  }

  /** Our own limits keep the peer out, or an attacker that uses its address. */
  #turnedAway(event: Extract<IkeEvent, { kind: 'datagram-dropped' }>, now: Millis): void {
    const failure: Failure = {
      cause: 'half_open_limit',
      message: `Requests of ${event.peer.address} are dropped here: ${event.detail}`,
    };
    for (const one of this.#withPeer(event.peer.address)) {
      this.#record(one, 'responder', failure, 2, now);
      this.#revision++;
    }
  }

  #with(name: string, change: (one: Tracked) => unknown): void {
    const one = this.#tracked.get(name);
    if (one === undefined) return;
    change(one);
    this.#revision++;
  }

  #retransmitted(name: string, ikeId: number, retransmits: number): void {
    const one = this.#tracked.get(name);
    const attempt = one?.attempts.get(ikeId);
    if (one === undefined || attempt === undefined) return;
    one.attempts.set(ikeId, { ...attempt, retransmits });
    if (attempt.retransmits === 0) this.#revision++;
  }

  #ikeClosed(one: Tracked, event: Extract<IkeEvent, { kind: 'ike-closed' }>, now: Millis): void {
    const { reason } = event;
    const ike = one.ikes.get(event.ikeId);
    const before = coverage(one);
    one.ikes.delete(event.ikeId);
    one.attempts.delete(event.ikeId);
    const refused = reason === 'peer-deleted' ? one.rekeyRefusals.ofPeer : undefined;
    if (one.ikes.size === 0 && ike !== undefined && refused === undefined)
      one.lifetimes.lost('ike', ike, reason, now);
    // A child SA does not outlive its IKE SA (RFC 7296 §1.4.1); after a rekey its events name the new one. In version
    // 1 ESP SAs go on alone (RFC 2408 §2.1), and have events of their own when they end.
    if (one.ikes.size === 0 && (ike?.version !== 1 || one.children.size === 0)) forgetSas(one);
    this.#countFlap(one, before, reason, now);
    const { config } = one.connection;
    const unrekeyed =
      reason === 'expired' && config.establishMode === 'peer_only'
        ? expiredUnrekeyed('ike', config.ikeLifetime)
        : expiredAfter(refused?.failure);
    this.#recordLoss(one, reason, event.failure ?? unrekeyed, ike?.version ?? 2, now);
  }

  #childClosed(one: Tracked, event: Extract<IkeEvent, { kind: 'child-closed' }>, now: Millis): void {
    const { reason } = event;
    const child = one.children.get(event.childId);
    const before = coverage(one);
    const superseded = one.replaced.has(event.childId);
    one.children.delete(event.childId);
    one.carried.remove(event.childId);
    one.replaced.delete(event.childId);
    const refused = superseded ? undefined : one.rekeyRefusals.lost(event.childId);
    if (superseded) one.rekeyRefusals.replaced(event.childId);
    if (one.ikes.size === 0 && one.children.size === 0) forgetSas(one);
    this.#countFlap(one, before, reason, now);
    if (child === undefined) return;
    // One that the peer wanted to rekey, and we refused to, ends with the peer's lifetime: that is no lifetime at odds.
    if (!superseded && refused?.byPeer !== true) one.lifetimes.lost('child', child, reason, now);
    const unrekeyed = unrekeyedChild(reason, refused, one.connection.config);
    if (coverage(one) === 'down')
      this.#recordLoss(one, reason, unrekeyed, one.ikes.get(child.ikeId)?.version ?? 2, now);
  }

  /** Why a connection was lost: by a lifetime or a clock, for the reason the engine names, or as the SA ended. */
  #recordLoss(
    one: Tracked,
    reason: CloseReason,
    named: StatusFailure | undefined,
    version: 1 | 2,
    now: Millis,
  ): void {
    if (isIntended(reason)) return;
    const failure = one.lifetimes.ofLoss(reason, now, this.#toUtc) ?? named ?? CLOSES[reason].failure;
    if (failure !== undefined) this.#record(one, 'initiator', failure, version, now);
  }

  #ikeFailed(event: Extract<IkeEvent, { kind: 'ike-failed' }>, now: Millis): void {
    for (const one of this.#concerned(event)) {
      const attempt = event.ikeId === undefined ? undefined : one.attempts.get(event.ikeId);
      const version = attempt?.version ?? 2;
      if (event.ikeId !== undefined) one.attempts.delete(event.ikeId);
      const { peer } = one.connection;
      const failure = one.contact.explain(event.failure, peer, this.#toUtc);
      this.#record(one, event.role, failure, version, now);
      this.#revision++;
    }
  }

  /** The connection of a failure, or those with the peer's address when it could not be matched to one. */
  #concerned(event: Extract<IkeEvent, { kind: 'ike-failed' }>): readonly Tracked[] {
    if (event.connection !== undefined) {
      const one = this.#tracked.get(event.connection);
      return one === undefined ? [] : [one];
    }
    return this.#withPeer(event.peer.address);
  }

  #record(
    one: Tracked,
    role: 'initiator' | 'responder',
    failure: StatusFailure,
    version: 1 | 2,
    now: Millis,
  ): void {
    // Giving up on our own wish is no failure, and a stray attempt beside a working tunnel is none of its own.
    if (failure.cause === 'terminated' || coverage(one) === 'up') return;
    one.failures.record(role, failure, version, now);
  }

  #document(
    one: Tracked,
    traffic: ReadonlyMap<number, ChildTraffic>,
    note: ConnectionNote | undefined,
    now: Millis,
  ): ConnectionStatusDocument {
    const { config, peer } = one.connection;
    const problems = note?.problems ?? [];
    const carried = coverage(one);
    // A tunnel without its route carries nothing of this host.
    const status = carried === 'up' && problems.length > 0 ? 'degraded' : carried;
    const ike = newest(one.ikes.values());
    const children = [...one.children.values()];
    const advisories = [
      // Of networks that further child SAs carry meanwhile there is nothing to be said any more.
      ...[...one.advisories.values()].filter(({ code }) => code !== 'ts_narrowed' || carried !== 'up'),
      ...observedAdvisories(config, one, note?.view?.renewing === true, now),
      ...lifetimeAdvisories(one.lifetimes, config, [...one.ikes.values()], children, now),
      ...rekeyAdvisories(
        one.rekeyRefusals.failures,
        new Set([...one.advisories.values()].map(({ code }) => code)),
      ),
    ];
    const tried = config.adminUp && note?.stopped !== true;
    const matrix = coverageStatus(config, children, tried ? one.refusals : undefined, this.#toUtc);
    advisories.push(...familyAdvisories(config, children, matrix));
    if (note?.stopped === true) {
      advisories.push({
        code: 'stopped_by_operator',
        message: `An operator took the connection down; bring it up with \`culvert up ${connectionName(config)}\`.`,
      });
    }
    advisories.push(...one.configured);
    return {
      id: config.id,
      name: connectionName(config),
      status,
      admin_state_up: config.adminUp,
      establish_mode: config.establishMode,
      peer,
      ike: ike === undefined ? null : ikeStatus(ike, this.#toUtc),
      children: children.map((child) =>
        childStatus(child, one.replaced.has(child.childId), traffic.get(child.childId), this.#toUtc),
      ),
      status_reasons:
        status === 'up'
          ? []
          : [
              ...problems.map(({ cause, message, retryAt }) => {
                const details =
                  retryAt === undefined ? {} : { details: { nextAttemptAt: this.#toUtc(retryAt) } };
                return statusReason({ cause, message, ...details }, { peer });
              }),
              ...this.#reasons(one, carried, matrix, note?.stopped === true),
            ],
      advisories,
      quirks: [...one.quirks].map((code) => ({ code, message: `${QUIRKS[code]}.` })),
      ...(note?.interface === undefined ? {} : { interface: note.interface }),
      coverage: matrix,
      ...(note?.view === undefined
        ? {}
        : {
            activity: note.view.state,
            failed_attempts: note.view.failures,
            ...(note.view.nextAttemptAt === undefined
              ? {}
              : { next_attempt_at: this.#toUtc(note.view.nextAttemptAt) }),
          }),
      flaps: { total: one.flaps.total, last_10_minutes: one.flaps.recent(now) },
      drops: sumOfDrops([...one.children.keys()].map((id) => traffic.get(id)?.drops ?? {})),
    };
  }

  #reasons(
    one: Tracked,
    status: ConnectionStatus,
    coverage: CoverageStatus,
    stopped: boolean,
  ): StatusReason[] {
    const { config, peer } = one.connection;
    const out = one.failures.reasons(peer, this.#toUtc);
    const version = newest(one.ikes.values())?.version ?? 2;
    if (status === 'degraded') {
      // The refusal of a single pair has the same code and tells less: it stands with its pair.
      const reason = narrowedReason(coverage, version, peer);
      const same = out.findIndex((other) => other.code === reason.code);
      if (same < 0) out.push(reason);
      else out[same] = reason;
    }
    const idle = out.length === 0 && config.adminUp && !stopped;
    if (idle && config.establishMode === 'peer_only') {
      const message = `Waiting for the peer ${peer}: establish_mode is peer_only, so this side never initiates`;
      out.push(statusReason({ cause: 'waiting_for_peer', message }, { peer }));
    }
    const tries = Math.max(0, ...[...one.attempts.values()].map((attempt) => attempt.retransmits));
    if (idle && tries > 0) {
      const message = `No answer from ${peer} yet, after ${tries + 1} tries`;
      out.push(
        statusReason({ cause: 'peer_silent', message, details: { tries: tries + 1 } }, { version, peer }),
      );
    }
    return out;
  }
}

function ikeRekeyed(one: Tracked): void {
  one.lifetimes.rekeyed('ike');
  for (const [key, { code }] of one.advisories) if (code === 'rekey_refused') one.advisories.delete(key);
}

/** Nothing stands any more. */
function forgetSas(one: Tracked): void {
  one.children.clear();
  one.carried.clear();
  one.replaced.clear();
  one.rekeyRefusals.clear();
  one.advisories.clear();
  one.quirks.clear();
}

/** `up` when every configured pair of networks has a child SA, `degraded` when some have. */
function coverage(one: Tracked): ConnectionStatus {
  if (one.children.size === 0) return 'down';
  return one.carried.complete ? 'up' : 'degraded';
}

function reschedule(one: Tracked, event: Extract<IkeEvent, { kind: 'rescheduled' }>): void {
  const { rekeyAt } = event;
  const ike = event.childId === undefined ? one.ikes.get(event.ikeId) : undefined;
  if (ike !== undefined) one.ikes.set(ike.ikeId, { ...ike, rekeyAt });
  const child = event.childId === undefined ? undefined : one.children.get(event.childId);
  if (child !== undefined) one.children.set(child.childId, { ...child, rekeyAt });
}
