import { KIND } from './records.js';
import type { Note, Revision, Store, StoredObject } from './store.js';

/** All that a store holds, to be put into another one as it is. */
export interface StoreContent {
  readonly revision: Revision;
  /** In the order in which they were made, by kind. */
  readonly objects: readonly StoredObject[];
  /** Oldest first. */
  readonly notes: readonly Note[];
}

/** Notes that are asked for at once. */
const PAGE = 1000;

/** The content of a store that nothing is written to. @throws StoreError */
export async function contentOf(store: Store): Promise<StoreContent> {
  const snapshot = await store.snapshot();
  const objects = Object.values(KIND).flatMap((kind) => snapshot.list(kind));
  const notes: Note[] = [];
  for (;;) {
    const page = await store.notes(notes.at(-1)?.revision ?? 0, PAGE);
    notes.push(...page);
    if (page.length < PAGE) return { revision: snapshot.revision, objects, notes };
  }
}
