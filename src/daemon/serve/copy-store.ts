import { existsSync } from 'node:fs';
import { EtcdClient } from '../../store/etcd/client.js';
import { openEtcdStore } from '../../store/etcd/etcd-store.js';
import { fillEtcdStore } from '../../store/etcd/fill.js';
import type { EtcdPlace } from '../../store/etcd/place.js';
import { SECRET_FIELDS } from '../../store/records.js';
import { fillSqliteStore, openSqliteStore } from '../../store/sqlite-store.js';
import { type Store, StoreError } from '../../store/store.js';
import { contentOf, type StoreContent } from '../../store/store-content.js';
import { sealedBy } from './open-store.js';

/** One end of a copy is in etcd, the other one in a file. */
export interface StoreCopy {
  readonly etcd: EtcdPlace;
  /** Absolute path of the SQLite file. */
  readonly file: string;
  readonly to: 'etcd' | 'sqlite';
  /** Seals secrets in the copy, and opens them in what is copied. */
  readonly sealingKeyFile: string | undefined;
}

/**
 * Copies a whole store into an empty one: objects, revisions and notes. No server may write meanwhile: one that has the
 * file keeps it locked, one on etcd is the operator's to end. Returns what was copied.
 * @throws StoreError `conflict` when the target is not empty
 */
export async function copyStore({ etcd, file, to, sealingKeyFile }: StoreCopy): Promise<StoreContent> {
  const kept = { secretFields: SECRET_FIELDS, ...sealedBy(sealingKeyFile) };
  if (to === 'sqlite') {
    const { cluster } = etcd;
    const content = await taken(
      await openEtcdStore({ ...kept, cluster, kv: new EtcdClient(etcd), patience: 0 }),
    );
    fillSqliteStore({ ...kept, path: file }, content);
    return content;
  }
  const content = await taken(openSource(file, kept));
  const kv = new EtcdClient(etcd);
  try {
    await fillEtcdStore({ ...kept, cluster: etcd.cluster, kv }, content);
  } finally {
    await kv.close();
  }
  return content;
}

function openSource(
  path: string,
  kept: ReturnType<typeof sealedBy> & { secretFields: typeof SECRET_FIELDS },
) {
  if (!existsSync(path)) {
    throw new StoreError('unavailable', `there is no store "${path}"`, 'name the file of "store"');
  }
  const { secretFields } = kept;
  try {
    // With a key it would seal what lies open in the file, and a source is left as it is.
    return openSqliteStore({ path, secretFields });
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'sealed') throw error;
    return openSqliteStore({ path, ...kept });
  }
}

async function taken(store: Store): Promise<StoreContent> {
  try {
    return await contentOf(store);
  } finally {
    await store.close();
  }
}
