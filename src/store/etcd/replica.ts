import { randomUUID } from 'node:crypto';
import type { Millis } from '../../util/units.js';
import { type Commit, type Revision, StoreError } from '../store.js';
import { Watchers } from '../watchers.js';
import { type EtcdFormat, type Head, imageAfter, type ObjectChange, parse } from './format.js';
import type { Kv, KvBatch, KvCondition, KvEntry, KvRevision } from './kv.js';
import { filling, type LoadedStore, loadStore, type ReplicaState } from './load.js';
import type { Timers } from './timers.js';

/** Why everything was read again: what the watch brought did not fit, or it brought nothing. */
export type ResyncCause = 'gap' | 'compacted' | 'lag' | 'restored' | 'unreadable';

/** What a replica works with. */
export interface ReplicaOptions {
  readonly kv: Kv;
  readonly format: EtcdFormat;
  readonly timers: Timers;
  resynced(cause: ResyncCause): void;
}

/** A watch that has not brought a commit for so long after it was made is treated as broken. */
const LAG_MS: Millis = 1000;
/** Before a watch that has ended, or a reading that failed, is tried again. */
const RETRY_MS: Millis = 200;
/** Times that a state of the past is looked at again before it is left to the next check. */
const MAX_LOOKS = 3;

/**
 * All objects of a store in etcd, in the memory of this host, and the watch that keeps them up to date. What the watch
 * brings is believed only where it follows from what is known: the revisions of commits form a chain. Everything else
 * (a gap, a compaction, silence) leads to reading all of it again, and to one commit for watchers that has the difference.
 */
export class Replica {
  readonly watchers: Watchers;
  readonly #options: ReplicaOptions;
  #state: ReplicaState;
  #metaChanged: KvRevision;
  /** A newer program has taken the store over. */
  #refusal: StoreError | undefined;
  /** Parts of large commits that have come and whose commit has not, by commit and key. */
  readonly #staged = new Map<string, Map<string, KvEntry>>();
  readonly #waiting = new Set<{ readonly n: Revision; readonly done: () => void }>();
  #resyncing: Promise<void> | undefined;
  /** The revision of etcd from which the watch goes on. */
  #next: KvRevision = 0;
  #stopWatch: () => void = () => undefined;
  #stopTimer: () => void = () => undefined;
  #closed = false;

  private constructor(options: ReplicaOptions, { state, meta, revision }: LoadedStore) {
    this.#options = options;
    this.#state = state;
    this.#metaChanged = meta;
    this.watchers = new Watchers(state.image.revision);
    this.#follow(revision + 1);
  }

  /** Reads everything and follows from there; makes the store when it is not there. @throws StoreError */
  static async open(options: ReplicaOptions): Promise<Replica> {
    const { kv, format } = options;
    const loaded = await loadStore(options);
    if (loaded.meta !== 0) return new Replica(options, loaded);
    await kv.transact({
      conditions: [{ key: format.metaKey, changed: 0 }],
      changes: [{ type: 'put', key: format.metaKey, value: format.makeMeta() }],
    });
    return new Replica(options, await loadStore(options));
  }

  get state(): ReplicaState {
    return this.#state;
  }

  /**
   * What a transaction compares, so that it changes the state that it was worked out for, and no store that a newer
   * program has taken over. @throws StoreError `newer_schema`
   */
  conditions({ changed }: ReplicaState): KvCondition[] {
    if (this.#refusal !== undefined) throw this.#refusal;
    const { headKey, metaKey } = this.#options.format;
    return [
      { key: headKey, changed },
      { key: metaKey, changed: this.#metaChanged },
    ];
  }

  /** Takes over a commit of this host, unless the watch was faster. */
  advance(before: ReplicaState, after: ReplicaState, commit: Commit): void {
    if (this.#state.image === before.image) this.#set(after, commit);
  }

  /** Knows that the head was put again without a commit. */
  rehead(head: Head, changed: KvRevision): void {
    const { image, head: known } = this.#state;
    if (known?.commit !== head.commit || changed <= this.#state.changed) return;
    this.#state = { image, head, changed };
  }

  /** Resolves when the image has every commit that was made before the call. @throws StoreError */
  async sync(): Promise<void> {
    const { kv, format } = this.#options;
    for (let look = 0; look < MAX_LOOKS; look++) {
      const before = this.#state;
      const { entries } = await kv.read({ from: format.headKey });
      if (this.#closed) return;
      const [entry] = entries;
      if (entry === undefined) {
        if (before.changed === 0) return;
        throw lostStore();
      }
      const head = parse<Head>(entry);
      if (head.filling) throw filling();
      if (head.n > this.#state.image.revision) return this.#reach(head.n);
      if (head.n > before.image.revision) return;
      if (head.n === before.image.revision && head.commit === before.head?.commit) {
        return this.rehead(head, entry.changed);
      }
      // From the past: such a read is stale, or etcd was restored from a snapshot. The transaction finds out which.
      if (await this.#lift(entry, head, before)) return this.#resync('restored');
    }
  }

  close(): void {
    this.#closed = true;
    this.#stopWatch();
    this.#stopTimer();
    this.watchers.close();
    for (const { done } of this.#waiting) done();
    this.#waiting.clear();
  }

  #set(state: ReplicaState, commit: Commit): void {
    this.#state = state;
    this.watchers.publish(commit);
    for (const waiting of this.#waiting) {
      if (waiting.n > state.image.revision) continue;
      this.#waiting.delete(waiting);
      waiting.done();
    }
  }

  async #reach(n: Revision): Promise<void> {
    if (await this.#waitFor(n)) return;
    if (this.#resyncing !== undefined) return this.#resyncing;
    // The member that is watched may be cut off: at another one the watch goes on from where it was.
    this.#stopWatch();
    this.#stopTimer();
    this.#follow(this.#next);
    if (!(await this.#waitFor(n))) await this.#resync('lag');
  }

  /** Whether the watch brings the commit in time. */
  #waitFor(n: Revision): Promise<boolean> {
    if (this.#state.image.revision >= n) return Promise.resolve(true);
    return new Promise<boolean>((resolve) => {
      const cancel = this.#options.timers.after(LAG_MS, () => {
        this.#waiting.delete(waiting);
        resolve(false);
      });
      const done = (): void => {
        cancel();
        resolve(true);
      };
      const waiting = { n, done };
      this.#waiting.add(waiting);
    });
  }

  /**
   * After a restore of etcd revisions would be given again that watchers have heard of: goes on above those. Every host
   * finds a gap in that, and reads everything.
   */
  async #lift(entry: KvEntry, { n, staged }: Head, { image }: ReplicaState): Promise<boolean> {
    const { kv, format } = this.#options;
    const commit = randomUUID();
    const revision = image.revision + 1;
    const head: Head = { n: revision, prev: n, commit, ...(staged === undefined ? {} : { staged }) };
    const { made } = await kv.transact({
      conditions: [{ key: entry.key, changed: entry.changed }],
      changes: [
        format.putHead(head),
        { type: 'put', key: format.noteKey(revision), value: JSON.stringify({ commit }) },
      ],
    });
    return made;
  }

  #resync(cause: ResyncCause): Promise<void> {
    this.#resyncing ??= this.#reload(cause).finally(() => {
      this.#resyncing = undefined;
    });
    return this.#resyncing;
  }

  /** For those that have no caller to report to: it is tried again. */
  #resyncLater(cause: ResyncCause): void {
    this.#resync(cause).catch(() => undefined);
  }

  async #reload(cause: ResyncCause): Promise<void> {
    this.#stopWatch();
    this.#stopTimer();
    try {
      const { state, meta, revision } = await loadStore(this.#options);
      if (this.#closed) return;
      this.#metaChanged = meta;
      // A commit of this host may be newer than what was read.
      const { image } = this.#state;
      if (state.image.revision > image.revision) this.#set(state, state.image.since(image));
      else if (state.head !== undefined) this.rehead(state.head, state.changed);
      this.#options.resynced(cause);
      this.#follow(revision + 1);
    } catch (error) {
      if (!this.#closed) {
        const again = (): void => this.#resyncLater(cause);
        this.#stopTimer = this.#options.timers.after(RETRY_MS, again, true);
      }
      throw error;
    }
  }

  #follow(from: KvRevision): void {
    if (this.#closed) return;
    const { kv, format, timers } = this.#options;
    this.#next = from;
    this.#stopWatch = kv.watch(format.all, from, {
      batch: (batch) => {
        this.#next = batch.revision + 1;
        this.#heard(batch);
      },
      ended: (error) => {
        if (this.#closed) return;
        if (error instanceof StoreError && error.code === 'compacted') this.#resyncLater('compacted');
        else this.#stopTimer = timers.after(RETRY_MS, () => this.#follow(this.#next), true);
      },
    });
  }

  #heard(batch: KvBatch): void {
    try {
      this.#apply(batch);
    } catch (error) {
      // Reading it again reports it to who waits, if it is not only this that is damaged.
      if (!(error instanceof StoreError)) throw error;
      this.#resyncLater('unreadable');
    }
  }

  #apply({ revision, events }: KvBatch): void {
    const { format } = this.#options;
    let entry: KvEntry | undefined;
    const changes: ObjectChange[] = [];
    for (const event of events) {
      const put = event.type === 'put' ? event.entry : undefined;
      const key = event.type === 'put' ? event.entry.key : event.key;
      if (key === format.headKey) entry = put;
      else if (key === format.metaKey && put !== undefined) this.#checkMeta(put);
      else if (!this.#keepStaged(key, put)) {
        const change = format.readEvent(key, put);
        if (change !== undefined) changes.push(change);
      }
    }
    if (entry === undefined) return;
    const head = parse<Head>(entry);
    if (head.filling) return;
    const { image } = this.#state;
    if (head.n <= image.revision) {
      this.rehead(head, revision);
      return;
    }
    const made = head.staged?.commit === head.commit ? this.#takeStaged(head.staged) : changes;
    if (head.prev !== image.revision || made === undefined || head.folded) {
      this.#resyncLater('gap');
      return;
    }
    const after = imageAfter(image, head.n, made);
    this.#set({ image: after.image, head, changed: revision }, after.commit);
  }

  #checkMeta(entry: KvEntry): void {
    this.#metaChanged = entry.changed;
    try {
      this.#options.format.checkMeta(entry);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#refusal = error;
    }
  }

  #keepStaged(key: string, entry: KvEntry | undefined): boolean {
    const commit = this.#options.format.stagedCommit(key);
    if (commit === undefined) return false;
    if (entry === undefined) {
      this.#staged.delete(commit);
      return true;
    }
    const parts = this.#staged.get(commit) ?? new Map<string, KvEntry>();
    this.#staged.set(commit, parts.set(key, entry));
    return true;
  }

  #takeStaged({ commit, parts }: NonNullable<Head['staged']>): ObjectChange[] | undefined {
    const found = [...(this.#staged.get(commit)?.values() ?? [])];
    this.#staged.delete(commit);
    if (found.length !== parts) return undefined;
    return this.#options.format.readStaged(found.sort((a, b) => (a.key < b.key ? -1 : 1)));
  }
}

/** The head of a store that was there is gone: an empty state would end every gateway. */
function lostStore(): StoreError {
  return new StoreError(
    'unavailable',
    'etcd no longer has the store, and this server goes on with what it knows',
    'restore etcd from a snapshot, or start again on an empty one and run "culvert restore" with a backup',
  );
}
