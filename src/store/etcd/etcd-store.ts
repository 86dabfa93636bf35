import { randomUUID } from 'node:crypto';
import type { Millis } from '../../util/units.js';
import { AtRest } from '../at-rest.js';
import { copiesOf, type ObjectImage } from '../object-image.js';
import { plainSealer, type Sealer } from '../sealing.js';
import {
  type Change,
  type Commit,
  type CommitOptions,
  type Note,
  type Revision,
  type Snapshot,
  type Store,
  StoreError,
} from '../store.js';
import { foldedHead, planCommit, planFolding } from './commit-plan.js';
import { EtcdFormat, MAX_NOTES, type NoteRecord, parse } from './format.js';
import type { Kv, KvChange, KvEntry } from './kv.js';
import { type ReplicaState, readAll } from './load.js';
import { Replica, type ReplicaOptions, type ResyncCause } from './replica.js';
import { SYSTEM_TIMERS, type Timers } from './timers.js';

/** Where the store is and how it keeps secrets. */
export interface EtcdStoreOptions {
  /** The store closes it with itself. */
  readonly kv: Kv;
  /** Keys are below `culvert/<cluster>/`. */
  readonly cluster: string;
  /** As for a store in SQLite. */
  readonly secretFields?: Readonly<Record<string, readonly string[]>>;
  /** The same on all hosts; without it secrets lie in etcd as they are. */
  readonly sealer?: Sealer;
  /** Notes that are kept, the newest ones. */
  readonly maxNotes?: number;
  /** Milliseconds for which opening and each commit are tried again while etcd does not answer. */
  readonly patience?: Millis;
  readonly timers?: Timers;
  report?(event: EtcdReport): void;
}

/** What a store in etcd goes through. */
export type EtcdReport =
  /** Writes are refused and reads come from memory until `found`. */
  | { readonly kind: 'lost'; readonly error: StoreError }
  | { readonly kind: 'found' }
  /** The store is not open yet: it is tried again for a while. */
  | { readonly kind: 'waiting'; readonly error: StoreError }
  | { readonly kind: 'resynced'; readonly cause: ResyncCause }
  /** A commit was given up whose outcome is not known. */
  | { readonly kind: 'uncertain' };

const PATIENCE_MS: Millis = 10_000;
/** Between two checks whether the image is as new as the store. */
const CHECK_MS: Millis = 2000;
/** Before an attempt is made again, at most; a random part of it, so that hosts do not meet again. */
const PAUSE_MS: Millis = 100;
/** Notes of one read. */
const NOTES_PAGE = 500;

/**
 * A store in etcd, which several hosts share. Each has all objects in memory, so that reading costs a question to etcd for
 * the newest revision at most, and none while etcd is not there. A commit is worked out on the image of this host and
 * made by one transaction that compares the head: it is made on the state that it was worked out for or not at all.
 * @throws StoreError `unavailable`, `refused`, `newer_schema`, `sealed`, `damaged`, `locked`
 */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<Store> {
  const { kv, cluster, timers = SYSTEM_TIMERS, sealer = plainSealer, secretFields = {} } = options;
  const format = new EtcdFormat(cluster, new AtRest(sealer, secretFields));
  const report = options.report ?? (() => undefined);
  const parts = {
    ...{ kv, format, timers },
    resynced: (cause: ResyncCause) => report({ kind: 'resynced', cause }),
  };
  const { patience = PATIENCE_MS } = options;
  try {
    const replica = await opened(parts, patience, report);
    return new EtcdStore({ ...options, timers, report, patience }, format, replica);
  } catch (error) {
    await kv.close();
    throw error;
  }
}

/** After a power cut etcd may need longer to start than this process. */
async function opened(
  parts: ReplicaOptions,
  patience: Millis,
  report: (event: EtcdReport) => void,
): Promise<Replica> {
  const { timers } = parts;
  const deadline = timers.now() + patience;
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await Replica.open(parts);
    } catch (error) {
      if (!mayPass(error) || timers.now() >= deadline) throw error;
      if (isFirst) report({ kind: 'waiting', error: error as StoreError });
    }
    await new Promise<void>((resolve) => void timers.after(PAUSE_MS, resolve));
  }
}

type Options = EtcdStoreOptions & Required<Pick<EtcdStoreOptions, 'timers' | 'report' | 'patience'>>;

class EtcdStore implements Store {
  readonly #options: Options;
  readonly #kv: Kv;
  readonly #format: EtcdFormat;
  readonly #replica: Replica;
  readonly #maxNotes: number;
  readonly #patience: Millis;
  /** Commits of this host are made one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  /** The question for the newest revision that is under way. */
  #asking: Promise<void> | undefined;
  /** Why etcd could not be asked the last time. */
  #lost: StoreError | undefined;
  #probes = 0;
  #stopChecks: () => void = () => undefined;
  #closed = false;

  constructor(options: Options, format: EtcdFormat, replica: Replica) {
    this.#options = options;
    this.#kv = options.kv;
    this.#format = format;
    this.#replica = replica;
    this.#maxNotes = options.maxNotes ?? MAX_NOTES;
    this.#patience = options.patience;
    this.#checkLater();
  }

  async snapshot(): Promise<Snapshot> {
    this.#check();
    // Without etcd what is in memory is all there is.
    if (this.#lost === undefined) await this.#newest().catch(() => undefined);
    this.#check();
    return this.#replica.state.image;
  }

  commit(changes: readonly Change[], options: CommitOptions = {}): Promise<Revision> {
    const copies = copiesOf(changes);
    const done = this.#last.then(() => this.#commit(copies, options));
    this.#last = done.catch(() => undefined);
    return done;
  }

  watch(after: Revision, listener: (commit: Commit) => void): () => void {
    this.#check();
    return this.#replica.watchers.add(after, listener);
  }

  async notes(after: Revision, limit: number): Promise<readonly Note[]> {
    this.#check();
    const found: Note[] = [];
    let { from, to } = this.#format.notes(after + 1);
    while (found.length < limit) {
      const page = await this.#kv.read({ from, to, limit: NOTES_PAGE });
      for (const entry of page.entries) {
        const note = found.length < limit ? await this.#noteIn(entry) : undefined;
        if (note !== undefined) found.push(note);
      }
      if (!page.more) break;
      from = `${page.entries.at(-1)!.key}\0`;
    }
    return found;
  }

  async probe(): Promise<void> {
    this.#check();
    const value = String(++this.#probes);
    await this.#kv
      .transact({ conditions: [], changes: [{ type: 'put', key: this.#format.probeKey, value }] })
      .catch((error: unknown) => {
        throw certain(error);
      });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopChecks();
    this.#replica.close();
    await this.#kv.close();
  }

  #check(): void {
    if (this.#closed) throw new StoreError('closed', 'this store was closed', 'open it again');
  }

  async #commit(changes: readonly Change[], options: CommitOptions): Promise<Revision> {
    this.#check();
    // Whether it is there again is found out beside: those who wait in line are not to wait for it each.
    if (this.#lost !== undefined) throw this.#lost;
    const deadline = this.#options.timers.now() + this.#patience;
    for (;;) {
      await this.#fold().catch((error: unknown) => {
        throw certain(error);
      });
      const state = this.#replica.state;
      // A commit on top of one that is still staged would forget it.
      const isFolded = state.head?.staged === undefined;
      const next = isFolded ? await this.#workedOut(state.image, changes, options) : undefined;
      if (next !== undefined) {
        const revision = await this.#attempt(state, next, { note: options.note, deadline });
        if (revision !== undefined) return revision;
        await this.#ask();
      }
      if (this.#options.timers.now() >= deadline) {
        throw new StoreError('conflict', 'other hosts write without a pause', 'try again');
      }
      await this.#pause();
    }
  }

  /** Undefined when the image was behind and is newer now. @throws StoreError `conflict` */
  async #workedOut(image: ObjectImage, changes: readonly Change[], options: CommitOptions) {
    try {
      return image.after(changes, options);
    } catch (error) {
      await this.#ask();
      if (this.#replica.state.image === image) throw error;
      return undefined;
    }
  }

  /** The revision of the commit when it was made; undefined when another host was faster. */
  async #attempt(
    before: ReplicaState,
    { image, commit }: { readonly image: ObjectImage; readonly commit: Commit },
    { note, deadline }: { readonly note: unknown; readonly deadline: Millis },
  ): Promise<Revision | undefined> {
    const id = randomUUID();
    const plan = planCommit(this.#format, {
      ...{ commit, id, note, prev: before.image.revision },
      ...{ conditions: this.#replica.conditions(before), maxNotes: this.#maxNotes },
    });
    for (const change of plan.before) await this.#put(change, deadline);
    const changed = await this.#decide(plan.transaction, id, deadline);
    if (changed === undefined) return undefined;
    this.#replica.advance(before, { image, head: plan.head, changed }, commit);
    if (plan.head.staged !== undefined) this.#foldLater();
    return image.revision;
  }

  /** Puts a key that no one looks at yet, until it is there. @throws StoreError `unavailable`, `full` */
  async #put(change: KvChange, deadline: Millis): Promise<void> {
    for (;;) {
      try {
        return void (await this.#kv.transact({ conditions: [], changes: [change] }));
      } catch (error) {
        if (!mayPass(error) || this.#options.timers.now() >= deadline) throw certain(error);
      }
      await this.#pause();
      this.#check();
    }
  }

  /**
   * Sends the transaction until it is known what has become of it: its conditions let it be made once at most. Returns
   * the revision of etcd that made it; undefined when it was not made and never will be.
   * @throws StoreError `uncertain` when the time is over before that, others when nothing was made
   */
  async #decide(
    transaction: Parameters<Kv['transact']>[0],
    id: string,
    deadline: Millis,
  ): Promise<number | undefined> {
    let isOpen = false;
    for (;;) {
      try {
        const { made, revision, found } = await this.#kv.transact(transaction);
        if (made) return revision;
        // The one before may have been made, and have changed the head that this one has compared.
        const mine = found.find((entry) => parse<NoteRecord>(entry).commit === id);
        return mine?.changed;
      } catch (error) {
        isOpen ||= error instanceof StoreError && error.code === 'uncertain';
        const goesOn = (isOpen || mayPass(error)) && !this.#closed;
        if (!goesOn || this.#options.timers.now() >= deadline) {
          if (!isOpen) throw error;
          this.#options.report({ kind: 'uncertain' });
          throw new StoreError(
            'uncertain',
            'etcd has not said whether the change was made, and it may still be',
            'read what there is before you try again',
            { cause: error },
          );
        }
      }
      await this.#pause();
    }
  }

  /** Moves the changes of a commit that was too large for one transaction to their objects. @throws StoreError */
  async #fold(): Promise<void> {
    const state = this.#replica.state;
    const { head } = state;
    if (head?.staged === undefined) return;
    const parts = await readAll(this.#kv, this.#format.stagedOf(head.staged.commit), 'parts');
    // Another host has done it, or the read is stale.
    if (parts.length !== head.staged.parts) return this.#ask();
    const changes = this.#format.readStaged(parts);
    const conditions = this.#replica.conditions(state);
    const transactions = planFolding(this.#format, head, changes, conditions);
    for (const [index, transaction] of transactions.entries()) {
      const { made, revision } = await this.#kv.transact(transaction);
      if (!made) return this.#ask();
      if (index === transactions.length - 1) this.#replica.rehead(foldedHead(head), revision);
    }
  }

  #foldLater(): void {
    // What fails is done by the next commit, of this host or another one.
    this.#last = this.#last.then(() => this.#fold()).catch(() => undefined);
  }

  async #noteIn(entry: KvEntry): Promise<Note | undefined> {
    const { commit, note, parts } = parse<NoteRecord>(entry);
    const revision = this.#format.revisionOf(entry.key);
    if (parts === undefined) return note === undefined ? undefined : { revision, note };
    const pieces = await readAll(this.#kv, this.#format.longNoteOf(revision, commit), 'parts');
    // Removed in the meantime, as the oldest ones are.
    if (pieces.length !== parts) return undefined;
    const [first] = pieces;
    return { revision, note: parse({ ...first!, value: pieces.map(({ value }) => value).join('') }) };
  }

  /** Resolves when the image is as new as the store was at the call. Callers share a question that has not begun. */
  async #newest(): Promise<void> {
    await this.#asking?.catch(() => undefined);
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    await this.#asking;
  }

  async #ask(): Promise<void> {
    try {
      await this.#replica.sync();
      if (this.#lost !== undefined) this.#options.report({ kind: 'found' });
      this.#lost = undefined;
    } catch (error) {
      if (!this.#closed) this.#lose(certain(error));
      throw error;
    }
  }

  #lose(error: unknown): void {
    if (!(error instanceof StoreError)) throw error;
    if (this.#lost === undefined) this.#options.report({ kind: 'lost', error });
    this.#lost = error;
  }

  #checkLater(): void {
    const check = (): void => {
      void this.#newest()
        .catch(() => undefined)
        .then(() => {
          if (!this.#closed) this.#checkLater();
        });
    };
    this.#stopChecks = this.#options.timers.after(CHECK_MS, check, true);
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.timers.after(PAUSE_MS * (0.2 + 0.8 * Math.random()), resolve);
    });
  }
}

/** Whether the same request may succeed a little later. */
function mayPass(error: unknown): boolean {
  return error instanceof StoreError && (error.code === 'unavailable' || error.code === 'uncertain');
}

/** The error of a request whose effect is of no consequence until another one has succeeded. */
function certain(error: unknown): unknown {
  if (!(error instanceof StoreError) || error.code !== 'uncertain') return error;
  return new StoreError(
    'unavailable',
    'etcd does not answer',
    'check that most of its members run and that this host reaches them',
    { cause: error },
  );
}
