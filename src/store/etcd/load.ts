import { deepFreeze, inOrderOfAge, ObjectImage } from '../object-image.js';
import { type StoredObject, StoreError } from '../store.js';
import { type EtcdFormat, type Head, parse } from './format.js';
import type { Kv, KvEntry, KvRange, KvRevision } from './kv.js';

/** The store after one commit, as this host knows it. */
export interface ReplicaState {
  readonly image: ObjectImage;
  /** Absent before the first commit. */
  readonly head: Head | undefined;
  /** The transaction that put the head; 0 when there is none. */
  readonly changed: KvRevision;
}

/** Entries of one read: objects have some thousand characters, parts of commits and notes as many as a request may. */
const PAGES = { objects: 200, parts: 10 } as const;
/** Times that a store is read which is compacted meanwhile. */
const MAX_TRIES = 3;

/** A store as it was read. */
export interface LoadedStore {
  readonly state: ReplicaState;
  /** The transaction that put the meta; 0 when there is none. */
  readonly meta: KvRevision;
  /** Of etcd: everything up to it is in the state. */
  readonly revision: KvRevision;
}

/** Where a store is. */
interface Source {
  readonly kv: Kv;
  readonly format: EtcdFormat;
}

/** The whole store as it was at one revision of etcd. @throws StoreError */
export async function loadStore(options: Source): Promise<LoadedStore> {
  for (let tries = 1; ; tries++) {
    try {
      return await loadOnce(options);
    } catch (error) {
      // Compacted while it was read, page by page.
      const again = error instanceof StoreError && error.code === 'compacted' && tries < MAX_TRIES;
      if (!again) throw error;
    }
  }
}

async function loadOnce({ kv, format }: Source): Promise<LoadedStore> {
  const top = await kv.read({ from: format.headKey });
  const { revision: at } = top;
  const meta = (await kv.read({ from: format.metaKey, at })).entries[0];
  if (meta !== undefined) format.checkMeta(meta);
  const [entry] = top.entries;
  const loaded = { meta: meta?.changed ?? 0, revision: at };
  if (entry === undefined) {
    return { ...loaded, state: { image: ObjectImage.of(0, []), head: undefined, changed: 0 } };
  }
  const head = parse<Head>(entry);
  if (head.filling) throw filling();
  const objects = new Map<string, StoredObject>();
  for (const one of await readAll(kv, format.objects, 'objects', at))
    objects.set(one.key, format.readObject(one));
  if (head.staged !== undefined) {
    const parts = await readAll(kv, format.stagedOf(head.staged.commit), 'parts', at);
    for (const change of format.readStaged(parts)) {
      const { key, object } = format.keyed(change);
      if (object === undefined) objects.delete(key);
      else objects.set(key, object);
    }
  }
  const image = ObjectImage.of(head.n, inOrderOfAge([...objects.values()].map(deepFreeze)));
  return { ...loaded, state: { image, head, changed: entry.changed } };
}

/** All entries of a range, page by page, as they were at one revision. */
export async function readAll(
  kv: Kv,
  range: Required<KvRange>,
  what: keyof typeof PAGES,
  at?: KvRevision,
): Promise<KvEntry[]> {
  const all: KvEntry[] = [];
  let { from } = range;
  let revision = at;
  for (;;) {
    const page = await kv.read({
      ...{ from, to: range.to, limit: PAGES[what] },
      ...(revision === undefined ? {} : { at: revision }),
    });
    all.push(...page.entries);
    if (!page.more) return all;
    revision ??= page.revision;
    from = `${page.entries.at(-1)!.key}\0`;
  }
}

/** Why no server may run on the store. */
export function filling(): StoreError {
  return new StoreError(
    'locked',
    'a copy into this store was begun and has not ended',
    'wait for "culvert store copy" to end, or run it again',
  );
}
