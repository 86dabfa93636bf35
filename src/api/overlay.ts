import type { Change, Revision, Snapshot, StoredObject } from '../store/store.js';

/**
 * A state of the store with changes on top that are not committed yet. However often an object is changed, it
 * becomes one change, which is made only if the object is still as the state below has it.
 */
export class Overlay implements Snapshot {
  readonly base: Snapshot;
  /** By kind and id; undefined for what was deleted. */
  readonly #changed = new Map<string, Map<string, StoredObject | undefined>>();
  /** Kind and id of those that came with an age of their own. */
  readonly #restored = new Set<string>();
  readonly #lists = new Map<string, readonly StoredObject[]>();

  constructor(base: Snapshot) {
    this.base = base;
  }

  /** Of the state below: the changes have none yet. */
  get revision(): number {
    return this.base.revision;
  }

  get<T>(kind: string, id: string): StoredObject<T> | undefined {
    const changed = this.#changed.get(kind);
    if (changed?.has(id) === true) return changed.get(id) as StoredObject<T> | undefined;
    return this.base.get<T>(kind, id);
  }

  list<T>(kind: string): readonly StoredObject<T>[] {
    let list = this.#lists.get(kind);
    if (list === undefined) {
      list = this.#merged(kind);
      this.#lists.set(kind, list);
    }
    return list as readonly StoredObject<T>[];
  }

  /** `age`: the commit that made the object once, for one that comes from a backup. */
  put(kind: string, id: string, value: unknown, age?: Revision): void {
    const revision = this.base.revision + 1;
    if (age !== undefined) this.#restored.add(`${kind}/${id}`);
    const created = age ?? this.get(kind, id)?.created ?? revision;
    this.#set(kind, id, { kind, id, created, revision, value });
  }

  delete(kind: string, id: string): void {
    this.#set(kind, id, undefined);
  }

  /** What leads from the state below to this one. */
  changes(): Change[] {
    const changes: Change[] = [];
    for (const [kind, objects] of this.#changed) {
      for (const [id, object] of objects) {
        const below = this.base.get(kind, id);
        const expect = below?.revision ?? 0;
        if (object !== undefined) {
          const age = this.#restored.has(`${kind}/${id}`) ? { created: object.created } : {};
          changes.push({ type: 'put', kind, id, value: object.value, expect, ...age });
        } else if (expect > 0) changes.push({ type: 'delete', kind, id, expect });
      }
    }
    return changes;
  }

  #set(kind: string, id: string, object: StoredObject | undefined): void {
    const objects = this.#changed.get(kind) ?? new Map<string, StoredObject | undefined>();
    this.#changed.set(kind, objects.set(id, object));
    this.#lists.delete(kind);
  }

  /** In the order in which the objects were made. */
  #merged(kind: string): readonly StoredObject[] {
    const below = this.base.list(kind);
    const changed = this.#changed.get(kind);
    if (changed === undefined) return below;
    const kept = below.map((object) => (changed.has(object.id) ? changed.get(object.id) : object));
    const made = [...changed].map(([id, object]) =>
      this.base.get(kind, id) === undefined ? object : undefined,
    );
    return [...kept, ...made].filter((object) => object !== undefined);
  }
}
