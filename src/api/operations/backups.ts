import { isDeepStrictEqual } from 'node:util';
import { type Backup, backedUp, checkBackup, makeBackup } from '../../store/backup.js';
import { type ConnectionRecord, KIND } from '../../store/records.js';
import { StoreError } from '../../store/store.js';
import * as Type from '../../util/json-schema.js';
import { BodyReader } from '../bodies.js';
import type { ApiContext, BackedUp, Transaction } from '../context.js';
import { ApiError } from '../errors.js';
import { answered, type BodyOf, type Operation, operation } from '../operation.js';
import { checkRestoredLater } from '../restore-checks.js';
import * as Schemas from '../schemas/answers.js';
import { choice } from './shared.js';

/** Octets of the longest backup: some ten thousand connections. */
const BODY_LIMIT = 16 * 1024 * 1024;

const schema = Type.Object(
  {
    backup: Type.Unsafe<object>({ type: 'object', description: 'what GET /culvert/v1/backup has answered' }),
    replace: Type.Optional(Type.Boolean({ description: 'delete what there is and is not in the backup' })),
    dry_run: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
);
const reader = new BodyReader(schema);

/** The audit log's word for a kind of object. */
const WORDS: Readonly<Record<string, string>> = {
  [KIND.gateway]: 'is.vpn.vpn-gateway',
  [KIND.connection]: 'is.vpn.vpn-connection',
  [KIND.ikePolicy]: 'is.vpn.ike-policy',
  [KIND.ipsecPolicy]: 'is.vpn.ipsec-policy',
  [KIND.routingTable]: 'is.vpc.routing-table',
  [KIND.route]: 'is.vpc.routing-table_route',
};

const shared = { tag: 'Backup', prefixes: ['/culvert/v1'] } as const;

export const backupOperations: readonly Operation[] = [
  operation({
    ...shared,
    method: 'GET',
    path: '/backup',
    id: 'get_backup',
    summary: 'Retrieve every object in a form for restore_backup, with the pre-shared keys or without them',
    query: { keys: Type.Optional(Type.Enum(['include', 'omit'])) },
    success: { 200: Schemas.Backup },
    errors: [400],
    async handle(call, { store, site, logger, now, program }) {
      const withKeys = choice(call, 'keys', ['include', 'omit']) !== 'omit';
      const { principal, requestId } = call.actor;
      if (withKeys && principal.role !== 'editor') {
        const message = `${principal.name} is a viewer, who sees no pre-shared key: use the token of an editor, or leave the keys out with keys=omit`;
        throw new ApiError(403, 'not_authorized', message);
      }
      const { region, account } = site;
      const origin = { madeAt: now().toISOString(), program, region, account };
      const body = makeBackup(await store.snapshot(), origin, withKeys);
      const action = 'culvert.backup.read';
      logger.info(
        { audit: true, action, who: principal.name, request_id: requestId, keys: body.keys },
        action,
      );
      return answered(200, body, { 'cache-control': 'no-store' });
    },
  }),
  operation({
    ...shared,
    method: 'POST',
    path: '/restore',
    id: 'restore_backup',
    summary:
      'Make the objects of a backup again with their ids, all or none. Where there are objects already, replace is needed',
    body: schema,
    bodyLimit: BODY_LIMIT,
    success: { 200: Schemas.RestoreOutcome },
    errors: [400, 409],
    async handle(call, context) {
      return context.writes.run(
        call.actor,
        (transaction) => restore(transaction, reader.read(call.body()), context),
        (body) => answered(200, body),
      );
    },
  }),
];

/** @throws ApiError 400 */
function readable(given: object): Backup {
  const refuse = (message: string): ApiError =>
    new ApiError(400, 'backup_not_valid', message, { name: 'backup', type: 'field' });
  let backup: Backup;
  try {
    backup = checkBackup(given);
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    throw refuse(`${error.message}; ${error.remedy}`);
  }
  if (backup.keys === 'sealed') {
    throw refuse(
      'the keys in the backup are sealed, which only who holds the key file can open: culvert restore does',
    );
  }
  return backup;
}

/** @throws ApiError 409 when there is something already that is not to be replaced, 400 for what cannot be valid here */
function restore(
  transaction: Transaction,
  body: Type.Static<typeof schema>,
  context: ApiContext,
): BodyOf<typeof Schemas.RestoreOutcome> {
  const { replace = false, dry_run: dryRun = false } = body;
  const backup = readable(body.backup);
  const { snapshot } = transaction.view;
  const there = Object.values(KIND).flatMap((kind) => snapshot.list(kind));
  if (there.length > 0 && !replace) {
    const message = `the server has ${there.length} objects already: restore into an empty one, or replace them (replace: true), which deletes what is not in the backup`;
    throw new ApiError(409, 'store_not_empty', message);
  }
  const wanted = backup.objects.map((object) => {
    const one = backedUp(object);
    const known = snapshot.get<ConnectionRecord>(one.kind, one.id)?.value;
    return one.kind === KIND.connection ? keyed(one as BackedUp<ConnectionRecord>, known) : one;
  });
  checkRestoredLater(transaction, backup, context.site);
  const counts = { made: 0, changed: 0, deleted: 0, unchanged: 0 };
  const kept = new Set(wanted.map(({ kind, id }) => `${kind}/${id}`));
  for (const { kind, id } of there) {
    if (kept.has(`${kind}/${id}`)) continue;
    transaction.delete(kind, id, `${WORDS[kind]}.delete`);
    counts.deleted++;
  }
  for (const one of wanted) {
    const before = snapshot.get(one.kind, one.id);
    if (before?.created === one.created && isDeepStrictEqual(before.value, one.value)) {
      counts.unchanged++;
      continue;
    }
    transaction.restore(one, `${WORDS[one.kind]}.restore`);
    counts[before === undefined ? 'made' : 'changed']++;
  }
  transaction.riseAbove(backup.revision);
  transaction.settle();
  const { view } = transaction;
  const withoutKeys = view.connections().filter(({ value }) => value.psk === undefined);
  if (dryRun) transaction.discard();
  return {
    dry_run: dryRun,
    ...counts,
    connections_without_key: withoutKeys.map(({ id, value }) => ({
      id,
      name: value.name,
      gateway: { id: value.gateway, name: view.gateway(value.gateway)!.value.name },
    })),
  };
}

/**
 * A connection with its key: that of the backup, else the one that it has here. Without either it is down until it is
 * given one.
 */
function keyed(
  one: BackedUp<ConnectionRecord>,
  here: ConnectionRecord | undefined,
): BackedUp<ConnectionRecord> {
  const psk = one.value.psk ?? here?.psk;
  const value = psk === undefined ? { ...one.value, adminStateUp: false } : { ...one.value, psk };
  return { ...one, value };
}
