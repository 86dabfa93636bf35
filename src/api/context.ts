import { weakPskMessage } from '../crypto/psk-strength.js';
import {
  type ConnectionRecord,
  type GatewayRecord,
  type IkePolicyRecord,
  type IpsecPolicyRecord,
  KIND,
  type RouteRecord,
  type RoutingTableRecord,
} from '../store/records.js';
import type { Site } from '../store/site.js';
import {
  type Change,
  type CommitOptions,
  type Revision,
  type Snapshot,
  type Store,
  type StoredObject,
  StoreError,
} from '../store/store.js';
import type { EventHub } from '../telemetry/events/event-hub.js';
import type { Logger } from '../telemetry/log.js';
import { utf8 } from '../util/bytes.js';
import type { AuditNote, AuditTrail } from './audit/trail.js';
import type { Principal } from './auth/principal.js';
import type { RefusalLog } from './auth/refusal-log.js';
import { ApiError } from './errors.js';
import { objectEvents } from './object-events.js';
import { Overlay } from './overlay.js';
import type { GatewayRunner } from './runner.js';

/** What every operation works with. */
export interface ApiContext {
  readonly store: Store;
  readonly runner: GatewayRunner;
  /** Replaced by a reload of the server's file: read it again in every request. */
  site: Site;
  readonly logger: Logger;
  readonly refusals: RefusalLog;
  readonly audit: AuditTrail;
  /** What happens to gateways, connections and the server, for clients that follow it. */
  readonly events: EventHub;
  /** The time of day. */
  readonly now: () => Date;
  readonly writes: WriteQueue;
  /** Name and version of this program. */
  readonly program: string;
  /** Reads the server's file again; absent where there is none. */
  readonly reload?: ReloadServer;
  /** Where the TCP listener answers, by the address that was bound; absent before and without one. */
  url?: string;
}

/** What a reload of the server's file did, or would do. */
export interface ServerReload {
  readonly applied: boolean;
  /** Fields that differ; `refused` says why one cannot be taken over, and then none is. */
  readonly changes: readonly { readonly field: string; readonly refused?: string }[];
  /** Faults of the file itself, one sentence each with its place. */
  readonly errors: readonly string[];
}

/** Reads the server's file again and applies it; a dry run only reports what would change. */
export type ReloadServer = (dryRun: boolean) => Promise<ServerReload>;

/** Who asks for a change, for the audit log. */
export interface Actor {
  readonly principal: Principal;
  readonly requestId: string;
  /** Where the request came from; absent for the Unix socket and for the server itself. */
  readonly address?: string;
}

/** One change of one object, as the audit log keeps it. */
export interface AuditChange {
  /** `is.vpn.<object>.<verb>`. */
  readonly action: string;
  readonly kind: string;
  readonly id: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** Times that a change is retried when another writer of the store was faster. */
const MAX_TRIES = 8;

/** What a backup keeps of an object. */
export type BackedUp<T = unknown> = Omit<StoredObject<T>, 'revision'>;

/** A rule that is held against the state that a whole transaction makes. @throws ApiError */
export type DeferredCheck = (view: View) => void;
/** How a fault is named when it lies within a part of a request. */
export type FaultPlace = (error: ApiError) => ApiError;

/**
 * A change in the making: begins with one state of the store and shows it as the changes collected so far leave it.
 * Rules that look at several objects (names, quotas, overlaps) are deferred: they are checked against the state after
 * the last change, so that the order of the changes does not matter and nothing in between has to be legal.
 */
export class Transaction {
  readonly audit: AuditChange[] = [];
  /** Connections whose key is another one afterwards, by id. */
  readonly newKeys = new Map<string, ConnectionRecord | undefined>();
  readonly #overlay: Overlay;
  readonly #checks = new Map<string, { readonly check: DeferredCheck; readonly place: FaultPlace }>();
  #place: FaultPlace = (error) => error;
  #discarded = false;
  #above: Revision | undefined;

  constructor(snapshot: Snapshot) {
    this.#overlay = new Overlay(snapshot);
  }

  /** The state as it is after the changes so far. */
  get view(): View {
    return new View(this.#overlay);
  }

  /** Revision that the transaction began with. */
  get revision(): number {
    return this.#overlay.revision;
  }

  get changes(): readonly Change[] {
    return this.#discarded ? [] : this.#overlay.changes();
  }

  put(kind: string, id: string, value: unknown, action: string): void {
    const before = this.#overlay.get(kind, id);
    this.#overlay.put(kind, id, value);
    this.#note(action, kind, id, before?.value, value);
  }

  /** Puts an object from a backup, with the place in lists that it had. */
  restore({ kind, id, value, created }: BackedUp, action: string): void {
    const before = this.#overlay.get(kind, id);
    this.#overlay.put(kind, id, value, created);
    this.#note(action, kind, id, before?.value, value);
  }

  /** Lets the commit have a revision above this one. */
  riseAbove(revision: Revision): void {
    this.#above = revision;
  }

  get options(): CommitOptions {
    return { at: this.revision, ...(this.#above === undefined ? {} : { above: this.#above }) };
  }

  delete(kind: string, id: string, action: string): void {
    const before = this.#overlay.get(kind, id);
    this.#overlay.delete(kind, id);
    this.#note(action, kind, id, before?.value, undefined);
  }

  /** Holds a rule against what the transaction makes in the end; of two with one key the later. */
  later(key: string, check: DeferredCheck): void {
    this.#checks.delete(key);
    this.#checks.set(key, { check, place: this.#place });
  }

  /** Runs a part of a request: its faults, and those of the checks it defers, are named by `place`. */
  within<T>(place: FaultPlace, work: () => T): T {
    const outer = this.#place;
    this.#place = place;
    try {
      return work();
    } catch (error) {
      throw error instanceof ApiError ? place(error) : error;
    } finally {
      this.#place = outer;
    }
  }

  /** Holds every deferred check. @throws ApiError with the first fault of each part of the request */
  settle(): void {
    const view = this.view;
    const faults = new Map<FaultPlace, ApiError>();
    for (const { check, place } of this.#checks.values()) {
      if (faults.has(place)) continue;
      try {
        check(view);
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        faults.set(place, place(error));
      }
    }
    this.#checks.clear();
    if (faults.size > 0) throw ApiError.together([...faults.values()]);
  }

  /** Nothing is committed. */
  discard(): void {
    this.#discarded = true;
  }

  #note(action: string, kind: string, id: string, before: unknown, after: unknown): void {
    const pskChanged = pskOf(before) !== pskOf(after);
    if (pskChanged && kind === KIND.connection) this.newKeys.set(id, after as ConnectionRecord | undefined);
    this.audit.push({
      action,
      kind,
      id,
      before: withoutPsk(before, pskChanged),
      after: withoutPsk(after, pskChanged),
    });
  }
}

function pskOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null && 'psk' in value ? value.psk : undefined;
}

function withoutPsk(value: unknown, changed: boolean): unknown {
  if (pskOf(value) === undefined) return value ?? null;
  return { ...(value as object), psk: changed ? '[redacted, changed]' : '[redacted]' };
}

/** The objects of a state of the store, with their types. */
export class View {
  readonly snapshot: Snapshot;

  constructor(snapshot: Snapshot) {
    this.snapshot = snapshot;
  }

  gateway(id: string): StoredObject<GatewayRecord> | undefined {
    return this.snapshot.get(KIND.gateway, id);
  }

  gateways(): readonly StoredObject<GatewayRecord>[] {
    return this.snapshot.list(KIND.gateway);
  }

  connection(id: string): StoredObject<ConnectionRecord> | undefined {
    return this.snapshot.get(KIND.connection, id);
  }

  connections(): readonly StoredObject<ConnectionRecord>[] {
    return this.snapshot.list(KIND.connection);
  }

  connectionsOf(gateway: string): readonly StoredObject<ConnectionRecord>[] {
    return this.connections().filter(({ value }) => value.gateway === gateway);
  }

  ikePolicies(): readonly StoredObject<IkePolicyRecord>[] {
    return this.snapshot.list(KIND.ikePolicy);
  }

  ipsecPolicies(): readonly StoredObject<IpsecPolicyRecord>[] {
    return this.snapshot.list(KIND.ipsecPolicy);
  }

  /** Those that are stored: a default table that was never changed is not, see `tablesOf`. */
  routingTables(): readonly StoredObject<RoutingTableRecord>[] {
    return this.snapshot.list(KIND.routingTable);
  }

  routes(): readonly StoredObject<RouteRecord>[] {
    return this.snapshot.list(KIND.route);
  }
}

/**
 * The writers of this process, one after the other: rules that look at many objects (names, quotas, overlaps) apply
 * because a change is worked out and committed against the same state. A writer in another process makes the commit
 * fail, and the change is worked out again.
 */
export class WriteQueue {
  readonly #store: Store;
  readonly #logger: Logger;
  readonly #now: () => Date;
  readonly #audit: AuditTrail;
  readonly #events: EventHub;
  #last: Promise<unknown> = Promise.resolve();

  constructor({
    store,
    logger,
    now,
    audit,
    events,
  }: Pick<ApiContext, 'store' | 'logger' | 'now' | 'audit' | 'events'>) {
    this.#audit = audit;
    this.#events = events;
    this.#store = store;
    this.#logger = logger;
    this.#now = now;
  }

  /**
   * Runs `work` against the newest state, commits what it collected with its audit record, and gives what `answer`
   * makes of its result and the state after it.
   */
  run<T, A>(
    actor: Actor,
    work: (transaction: Transaction) => T,
    answer: (result: T, view: View) => A,
  ): Promise<A> {
    const done = this.#last.then(() => this.#attempt(actor, work, answer));
    this.#last = done.catch(() => undefined);
    return done;
  }

  async #attempt<T, A>(
    actor: Actor,
    work: (transaction: Transaction) => T,
    answer: (result: T, view: View) => A,
  ): Promise<A> {
    for (let tries = 1; ; tries++) {
      const before = await this.#store.snapshot();
      const transaction = new Transaction(before);
      const result = work(transaction);
      transaction.settle();
      const { changes } = transaction;
      if (changes.length === 0) return answer(result, transaction.view);
      const note: AuditNote = {
        at: this.#now().toISOString(),
        who: actor.principal.name,
        role: actor.principal.role,
        by: actor.principal.by,
        ...(actor.address === undefined ? {} : { address: actor.address }),
        request_id: actor.requestId,
        changes: transaction.audit,
      };
      let revision: Revision;
      try {
        revision = await this.#store.commit(changes, { ...transaction.options, note });
      } catch (error) {
        if (error instanceof StoreError && error.code === 'conflict' && tries < MAX_TRIES) continue;
        throw error;
      }
      await this.#audit.committed(note, revision);
      for (const { action, kind, id } of transaction.audit) {
        this.#logger.info(
          { audit: true, action, kind, id, who: note.who, request_id: note.request_id },
          action,
        );
      }
      for (const [id, record] of transaction.newKeys) this.#adviseKey(id, record);
      const after = await this.#store.snapshot();
      for (const event of objectEvents(note, before, after)) this.#events.publish(event);
      return answer(result, new View(after));
    }
  }

  #adviseKey(id: string, record: ConnectionRecord | undefined): void {
    const message = record?.psk === undefined ? undefined : weakPskMessage(utf8(record.psk));
    if (record === undefined || message === undefined) return;
    this.#logger.warn({ connection: id, advisory: 'weak_psk' }, `connection ${record.name}: ${message}`);
  }
}
