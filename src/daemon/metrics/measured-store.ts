import {
  type Change,
  type Commit,
  type CommitOptions,
  type Note,
  type Revision,
  type Snapshot,
  type Store,
  StoreError,
} from '../../store/store.js';

/** What became of a commit. */
export type CommitResult = 'done' | 'conflict' | 'uncertain' | 'failed';

/** Hears of every commit, with the seconds that it took. */
export type CommitObserver = (result: CommitResult, seconds: number) => void;

/** A store whose commits are measured. */
export class MeasuredStore implements Store {
  readonly #store: Store;
  readonly #observe: CommitObserver;

  constructor(store: Store, observe: CommitObserver) {
    this.#store = store;
    this.#observe = observe;
  }

  snapshot(): Promise<Snapshot> {
    return this.#store.snapshot();
  }

  async commit(changes: readonly Change[], options?: CommitOptions): Promise<Revision> {
    const began = performance.now();
    const seconds = (): number => (performance.now() - began) / 1000;
    try {
      const revision = await this.#store.commit(changes, options);
      this.#observe('done', seconds());
      return revision;
    } catch (error) {
      const { code } = error instanceof StoreError ? error : { code: undefined };
      this.#observe(code === 'conflict' || code === 'uncertain' ? code : 'failed', seconds());
      throw error;
    }
  }

  watch(after: Revision, listener: (commit: Commit) => void): () => void {
    return this.#store.watch(after, listener);
  }

  notes(after: Revision, limit: number): Promise<readonly Note[]> {
    return this.#store.notes(after, limit);
  }

  probe(): Promise<void> {
    return this.#store.probe();
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}
