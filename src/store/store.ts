import { OperatorError } from '../util/operator-error.js';
/**
 * The store of the control plane: objects with revisions, compare-and-set, and watch. Everything is
 * asynchronous and every rule is one that a distributed engine (a transaction with compares, a watch from a
 * revision) can keep as well as an embedded one.
 */

/** Counts the commits of a store from 1; 0 means "before the first", and "is not there". */
export type Revision = number;

/** What JSON can say. Objects in the store are never changed in place. */
export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [field: string]: Json | undefined };

/** An object at one revision of the store. */
export interface StoredObject<T = unknown> {
  readonly kind: string;
  /** Unique within its kind. */
  readonly id: string;
  /** The commit that made it, in this store or in the one that it was restored from. */
  readonly created: Revision;
  /** The commit that changed it last. */
  readonly revision: Revision;
  readonly value: T;
}

/** A consistent view of all objects as they were after one commit; later commits do not change it. */
export interface Snapshot {
  readonly revision: Revision;
  get<T = unknown>(kind: string, id: string): StoredObject<T> | undefined;
  /** In the order in which they were made. */
  list<T = unknown>(kind: string): readonly StoredObject<T>[];
}

/** One change of a commit. `expect` compares first, and fails the whole commit when it differs. */
export type Change =
  | {
      readonly type: 'put';
      readonly kind: string;
      readonly id: string;
      readonly value: unknown;
      /** Only if the object is at this revision; 0: only if it is not there. Left out: in any case. */
      readonly expect?: Revision;
      /** For an object from a backup: the commit that made it once, which gives it its place in lists. */
      readonly created?: Revision;
    }
  | {
      readonly type: 'delete';
      readonly kind: string;
      readonly id: string;
      /** As above; without it, deleting what is not there is no error. */
      readonly expect?: Revision;
    };

/** What applies to a commit as a whole. */
export interface CommitOptions {
  /** Only if nothing at all was committed since this revision: for rules over many objects. */
  readonly at?: Revision;
  /** Kept with the commit, in the same transaction: the record of who did what. Holds no secret. */
  readonly note?: unknown;
  /** The commit gets a revision above this one, so that objects from a backup are not younger than their store. */
  readonly above?: Revision;
}

/** A note with the revision of the commit that it was made with. */
export interface Note {
  readonly revision: Revision;
  readonly note: unknown;
}

/** What a commit did to one object, for watchers. */
export type StoreEvent =
  | { readonly type: 'put'; readonly object: StoredObject; readonly before: StoredObject | undefined }
  | { readonly type: 'delete'; readonly before: StoredObject };

/** One commit as watchers see it. */
export interface Commit {
  readonly revision: Revision;
  readonly events: readonly StoreEvent[];
}

/** Objects with revisions: commits are atomic and serialised, readers take snapshots, watchers follow commits. */
export interface Store {
  snapshot(): Promise<Snapshot>;

  /**
   * Makes all changes or none, as one new revision, which is returned. When it resolves, the changes survive
   * the death of the process and of the machine (as far as the engine stores at all).
   * @throws StoreError `conflict` when an object is not at the expected revision; `full`, `unavailable` or `refused` when nothing
   * was written: reads go on, and the same commit succeeds once the cause is gone; `uncertain` when it cannot be said now
   * whether it was made or still will be, once at most: watchers hear of it if it is
   */
  commit(changes: readonly Change[], options?: CommitOptions): Promise<Revision>;

  /**
   * Every commit after the revision `after`, in order and once each, beginning with those already made. The listener is
   * never called from within `commit` and may throw without harm to others. A distributed engine that had to catch up may
   * make one commit of several, with the newest revision. Returns the way to stop.
   * @throws StoreError `compacted` when commits after that are no longer known: take a snapshot, watch from it
   */
  watch(after: Revision, listener: (commit: Commit) => void): () => void;

  /** Notes of commits after the revision `after`, oldest first. */
  notes(after: Revision, limit: number): Promise<readonly Note[]>;

  /**
   * Whether a commit would succeed now: writes something down that no object is, and no revision counts.
   * @throws StoreError as `commit` would
   */
  probe(): Promise<void>;

  /** Ends all watches. Safe to call twice; every other call after it throws StoreError `closed`. */
  close(): Promise<void>;
}

/** Why the store refused or failed. */
export type StoreErrorCode =
  /** An object or the store is not at the expected revision. */
  | 'conflict'
  | 'compacted'
  | 'closed'
  /** Another process has the file. */
  | 'locked'
  /** The file was written by a newer program. */
  | 'newer_schema'
  /** Secrets in the file are sealed and the key is missing or another one. */
  | 'sealed'
  /** The file cannot be opened or read. */
  | 'damaged'
  /** There is no room for a write; it may be repeated. */
  | 'full'
  /** A write failed for another reason outside of this program; it may be repeated. */
  | 'unavailable'
  /** A distributed engine does not let this user in, or not do that: it may be repeated when that is mended. */
  | 'refused'
  /** A distributed engine has not said whether a write was made: it may be repeated by who has read what there is now. */
  | 'uncertain';

/** `message` says what is wrong, `remedy` what to do. */
export class StoreError extends OperatorError {
  override readonly name = 'StoreError';
  declare readonly remedy: string;
  readonly code: StoreErrorCode;

  constructor(code: StoreErrorCode, what: string, remedy: string, { cause }: ErrorOptions = {}) {
    super({ what, remedy, cause });
    this.code = code;
  }
}
