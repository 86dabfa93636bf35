import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { EtcdReport } from '../../store/etcd/etcd-store.js';
import type { EtcdPlace } from '../../store/etcd/place.js';
import { SECRET_FIELDS } from '../../store/records.js';
import { createSealer, readSealingKey, type Sealer } from '../../store/sealing.js';
import { exposure } from '../../store/secret-file.js';
import { openSqliteStore } from '../../store/sqlite-store.js';
import type { Store } from '../../store/store.js';
import type { Logger } from '../../telemetry/log.js';
import { oneLine } from '../../util/operator-error.js';
import type { ServeFile } from './serve-file.js';

/** Opens the store that the server's file names; `count` hears of what becomes of one in etcd. @throws StoreError */
export async function openStore(
  { store: place, sealingKeyFile }: Pick<ServeFile, 'store' | 'sealingKeyFile'>,
  logger: Logger,
  count: (event: EtcdReport) => void = () => undefined,
): Promise<Store> {
  const kept = { secretFields: SECRET_FIELDS, ...sealedBy(sealingKeyFile) };
  if (place.engine === 'sqlite') {
    mkdirSync(dirname(place.path), { recursive: true, mode: 0o700 });
    return openSqliteStore({ path: place.path, ...kept });
  }
  warnOfKey(place, logger);
  // What gRPC takes is loaded only where it is wanted.
  const { EtcdClient } = await import('../../store/etcd/client.js');
  const { openEtcdStore } = await import('../../store/etcd/etcd-store.js');
  return openEtcdStore({
    ...kept,
    kv: new EtcdClient(place),
    cluster: place.cluster,
    report: (event) => {
      logReport(event, logger);
      count(event);
    },
  });
}

/** The sealer of the key in a file, where one is named. @throws StoreError */
export function sealedBy(keyFile: string | undefined): { readonly sealer?: Sealer } {
  return keyFile === undefined ? {} : { sealer: createSealer(readSealingKey(keyFile)) };
}

function warnOfKey({ tls }: EtcdPlace, logger: Logger): void {
  const exposed = tls.key === undefined ? undefined : exposure(tls.key);
  if (exposed !== undefined) logger.warn({ file: tls.key }, `the key for etcd ${tls.key} ${exposed}`);
}

function logReport(event: EtcdReport, logger: Logger): void {
  if (event.kind === 'waiting') {
    logger.warn(`waiting for the store: ${oneLine(event.error)}`);
  } else if (event.kind === 'lost') {
    const why = oneLine(event.error);
    logger.error(`the store is not there, writes are refused and reads show what is known: ${why}`);
  } else if (event.kind === 'found') {
    logger.info('etcd answers again');
  } else if (event.kind === 'resynced') {
    logger.info({ cause: event.cause }, `the store was read again in full (${event.cause})`);
  } else {
    logger.warn('etcd has not said whether a change was made: it shows when etcd answers again');
  }
}
