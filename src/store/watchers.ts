import { type Commit, type Revision, StoreError } from './store.js';

/** Commits that a watch may still begin after. */
const MAX_KEPT = 1000;

interface Watcher {
  /** The last commit it was notified of. */
  seen: Revision;
  readonly listener: (commit: Commit) => void;
}

/** Notifies watchers of commits: in order, once each, and not before the caller of `commit` is done. */
export class Watchers {
  readonly #watchers = new Set<Watcher>();
  #kept: Commit[] = [];
  /**
   * The newest commit that is no longer kept. Revisions may leap, so that it does not follow from the oldest kept one.
   */
  #forgotten: Revision;
  #scheduled = false;

  /** `last` is the revision of the store as it is opened. */
  constructor(last: Revision) {
    this.#forgotten = last;
  }

  publish(commit: Commit): void {
    this.#kept.push(commit);
    if (this.#kept.length > 2 * MAX_KEPT) {
      this.#forgotten = this.#kept.at(-MAX_KEPT - 1)!.revision;
      this.#kept = this.#kept.slice(-MAX_KEPT);
    }
    this.#schedule();
  }

  /** @throws StoreError `compacted` */
  add(after: Revision, listener: (commit: Commit) => void): () => void {
    if (after < this.#forgotten) {
      const message = `commits behind revision ${after} are no longer known: the newest one forgotten is ${this.#forgotten}`;
      throw new StoreError('compacted', message, 'take a snapshot and watch from its revision');
    }
    const watcher: Watcher = { seen: after, listener };
    this.#watchers.add(watcher);
    this.#schedule();
    return () => void this.#watchers.delete(watcher);
  }

  close(): void {
    this.#watchers.clear();
    this.#kept = [];
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      for (const watcher of [...this.#watchers]) this.#tell(watcher);
    });
  }

  #tell(watcher: Watcher): void {
    for (const commit of this.#kept.filter(({ revision }) => revision > watcher.seen)) {
      if (!this.#watchers.has(watcher)) return;
      watcher.seen = commit.revision;
      try {
        watcher.listener(commit);
      } catch (error) {
        // A fault of one watcher is not to stop the others; it surfaces as an uncaught exception of its own.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
