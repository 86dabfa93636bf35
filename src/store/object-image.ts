import { isDeepStrictEqual } from 'node:util';
import {
  type Change,
  type Commit,
  type CommitOptions,
  type Revision,
  type Snapshot,
  type StoredObject,
  StoreError,
  type StoreEvent,
} from './store.js';

/** Objects of one kind in the order in which they were made. */
type Kind = ReadonlyMap<string, StoredObject>;
type Kinds = ReadonlyMap<string, Kind>;

/**
 * All objects of a store in memory: checks compares and works out the events of a commit. The image after a
 * commit is a new one that shares what did not change, so a snapshot is one reference.
 */
export class ObjectImage implements Snapshot {
  readonly revision: Revision;
  readonly #kinds: Kinds;

  private constructor(revision: Revision, kinds: Kinds) {
    this.revision = revision;
    this.#kinds = kinds;
  }

  /** `objects` in the order in which they were made. */
  static of(revision: Revision, objects: Iterable<StoredObject>): ObjectImage {
    const kinds = new Map<string, Map<string, StoredObject>>();
    for (const object of objects) {
      const kind = kinds.get(object.kind) ?? new Map<string, StoredObject>();
      kinds.set(object.kind, kind.set(object.id, object));
    }
    return new ObjectImage(revision, kinds);
  }

  get<T>(kind: string, id: string): StoredObject<T> | undefined {
    return this.#kinds.get(kind)?.get(id) as StoredObject<T> | undefined;
  }

  list<T>(kind: string): readonly StoredObject<T>[] {
    return [...(this.#kinds.get(kind)?.values() ?? [])] as StoredObject<T>[];
  }

  /**
   * The image after the changes, and what watchers hear of them. This image stays as it is.
   * @throws StoreError `conflict`
   */
  after(changes: readonly Change[], options: CommitOptions): { image: ObjectImage; commit: Commit } {
    if (options.at !== undefined && options.at !== this.revision) {
      throw conflict(`the store is at revision ${this.revision}, not at ${options.at}`);
    }
    const revision = Math.max(this.revision, options.above ?? 0) + 1;
    const kinds = new Map(this.#kinds);
    const events: StoreEvent[] = [];
    const reordered = new Set<string>();
    for (const change of changes) {
      const { kind, id, expect } = change;
      const objects = kinds.get(kind);
      const before = objects?.get(id);
      const found = before?.revision ?? 0;
      if (expect !== undefined && expect !== found) {
        throw conflict(`${kind} ${id} is at revision ${found}, not at ${expect}`);
      }
      const next = new Map(objects);
      if (change.type === 'put') {
        const created = change.created ?? before?.created ?? revision;
        const object = { kind, id, created, revision, value: change.value };
        if (change.created !== undefined) reordered.add(kind);
        next.set(id, deepFreeze(object));
        events.push({ type: 'put', object, before });
      } else if (before !== undefined) {
        next.delete(id);
        events.push({ type: 'delete', before });
      }
      kinds.set(kind, next);
    }
    for (const kind of reordered) kinds.set(kind, byAge(kinds.get(kind)!));
    return { image: new ObjectImage(revision, kinds), commit: { revision, events } };
  }

  /** What changed from an earlier image to this one, as one commit. */
  since(before: ObjectImage): Commit {
    const events: StoreEvent[] = [];
    for (const objects of before.#kinds.values()) {
      for (const object of objects.values()) {
        if (this.get(object.kind, object.id) === undefined) events.push({ type: 'delete', before: object });
      }
    }
    for (const objects of this.#kinds.values()) {
      for (const object of objects.values()) {
        const known = before.get(object.kind, object.id);
        if (known === undefined || !isSame(known, object))
          events.push({ type: 'put', object, before: known });
      }
    }
    return { revision: this.revision, events };
  }
}

/** As an engine that reads them from a file orders them. */
function byAge(objects: Kind): Kind {
  return new Map(inOrderOfAge(objects.values()).map((object) => [object.id, object]));
}

/** Objects in the order in which they were made. */
export function inOrderOfAge(objects: Iterable<StoredObject>): StoredObject[] {
  return [...objects].sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1));
}

/** The revision alone does not say so: an engine that went back to an older state gives the same ones again. */
function isSame(a: StoredObject, b: StoredObject): boolean {
  return a === b || (a.revision === b.revision && isDeepStrictEqual(a.value, b.value));
}

function conflict(message: string): StoreError {
  return new StoreError('conflict', message, 'read again and repeat the change');
}

/** Changes that their caller cannot change any more, with values as an engine that writes them down gives them back. */
export function copiesOf(changes: readonly Change[]): Change[] {
  return changes.map((change) =>
    change.type === 'put' ? { ...change, value: JSON.parse(JSON.stringify(change.value)) } : change,
  );
}

/** Objects are shared by snapshots: a caller that changed one in place would change the past. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const item of Object.values(value)) deepFreeze(item);
  return value;
}
