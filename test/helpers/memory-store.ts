import { copiesOf, deepFreeze, ObjectImage } from '../../src/store/object-image.js';
import {
  type Change,
  type Commit,
  type CommitOptions,
  type Note,
  type Revision,
  type Snapshot,
  type Store,
  StoreError,
} from '../../src/store/store.js';
import { Watchers } from '../../src/store/watchers.js';

/** A store that lives as long as the process. It keeps the contract of `Store` without a file. */
export function openMemoryStore(): Store {
  return new MemoryStore();
}

class MemoryStore implements Store {
  #image = ObjectImage.of(0, []);
  readonly #watchers = new Watchers(0);
  readonly #notes: Note[] = [];
  #closed = false;

  async snapshot(): Promise<Snapshot> {
    this.#check();
    return this.#image;
  }

  async commit(changes: readonly Change[], options: CommitOptions = {}): Promise<Revision> {
    this.#check();
    const { image, commit } = this.#image.after(copiesOf(changes), options);
    if (options.note !== undefined) {
      this.#notes.push(
        deepFreeze({ revision: image.revision, note: JSON.parse(JSON.stringify(options.note)) }),
      );
    }
    this.#image = image;
    this.#watchers.publish(commit);
    return image.revision;
  }

  watch(after: Revision, listener: (commit: Commit) => void): () => void {
    this.#check();
    return this.#watchers.add(after, listener);
  }

  async notes(after: Revision, limit: number): Promise<readonly Note[]> {
    this.#check();
    return this.#notes.filter(({ revision }) => revision > after).slice(0, limit);
  }

  async probe(): Promise<void> {
    this.#check();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#watchers.close();
  }

  #check(): void {
    if (this.#closed) throw new StoreError('closed', 'this store was closed', 'open it again');
  }
}
