import { randomUUID } from 'node:crypto';
import { AtRest } from '../at-rest.js';
import { plainSealer } from '../sealing.js';
import { StoreError } from '../store.js';
import type { StoreContent } from '../store-content.js';
import { lengthOf, planNote } from './commit-plan.js';
import type { EtcdStoreOptions } from './etcd-store.js';
import { EtcdFormat, grouped, type Head, MAX_NOTES, parse } from './format.js';
import type { Kv, KvChange, KvOutcome, KvRevision } from './kv.js';

/** Times that a write is sent whose outcome is not known. */
const MAX_TRIES = 5;

/**
 * Fills an empty store in etcd with the content of another one, revisions included. The head is written first, as one of
 * a copy that has not ended, and last as what it is to be: no server starts in between, and a copy that was cut off is
 * begun again. The caller closes `kv`.
 * @throws StoreError `conflict` when the store is not empty or another copy was begun; those of a commit
 */
export async function fillEtcdStore(
  {
    kv,
    cluster,
    secretFields = {},
    sealer = plainSealer,
  }: Pick<EtcdStoreOptions, 'kv' | 'cluster' | 'secretFields' | 'sealer'>,
  { revision, objects, notes }: StoreContent,
): Promise<void> {
  const format = new EtcdFormat(cluster, new AtRest(sealer, secretFields));
  const top = (await kv.read({ from: format.headKey })).entries[0];
  if (top !== undefined && parse<Head>(top).filling === undefined) {
    const message = `the store in etcd is not empty (cluster "${cluster}")`;
    throw new StoreError('conflict', message, 'name another cluster, or delete its keys');
  }
  const commit = randomUUID();
  const begun: Head = { n: 0, prev: 0, commit, filling: true };
  const cleared = [format.objects, format.staged, format.notes(0), format.longNotes(0)];
  const first: KvChange[] = [
    format.putHead(begun),
    { type: 'put', key: format.metaKey, value: format.makeMeta() },
    ...cleared.map((range): KvChange => ({ type: 'delete', range })),
  ];
  const write = { kv, format, commit };
  const at = await put(write, top?.changed ?? 0, first);
  const planned = notes
    .slice(-MAX_NOTES)
    .map((one) => planNote(format, { revision: one.revision, id: commit, note: one.note }));
  const changes = [
    ...objects.map((object) => format.objectChange({ type: 'put', object })),
    ...planned.flatMap(({ before, change }) => [...before, change]),
  ];
  for (const group of grouped(changes, lengthOf)) await put(write, at, group);
  // No image is at the revision before it: a server that has seen the beginning reads everything again.
  await put(write, at, [format.putHead({ n: revision, prev: -1, commit })]);
}

/** Makes the changes while the head is the one that was put at `at`. Returns the revision of etcd that has made them. */
async function put(
  { kv, format, commit }: { readonly kv: Kv; readonly format: EtcdFormat; readonly commit: string },
  at: KvRevision,
  changes: readonly KvChange[],
): Promise<KvRevision> {
  const transaction = {
    conditions: [{ key: format.headKey, changed: at }],
    changes,
    otherwise: [format.headKey],
  };
  const { made, revision, found } = await persist(() => kv.transact(transaction));
  if (made) return revision;
  const [head] = found;
  // An attempt before it was made, and has put the head.
  if (head !== undefined && parse<Head>(head).commit === commit) return head.changed;
  throw new StoreError(
    'conflict',
    'another copy into this store, or a server on it, has begun',
    'end it, and copy again',
  );
}

async function persist(attempt: () => Promise<KvOutcome>): Promise<KvOutcome> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (error) {
      const again = error instanceof StoreError && error.code === 'uncertain' && tries < MAX_TRIES;
      if (!again) throw error;
    }
  }
}
