import { createHash } from 'node:crypto';
import * as Type from '../util/json-schema.js';
import { formatPath } from './config-error.js';
import { ObjectId, RECORD_SCHEMAS } from './record-schema.js';
import { KIND, SECRET_FIELDS } from './records.js';
import { SchemaCheck } from './schema-check.js';
import { isSealedBy, type Sealer } from './sealing.js';
import { type Snapshot, type StoredObject, StoreError } from './store.js';

/*
 * A backup: every object of a store in JSON, whatever engine keeps it. Secrets are apart from the values, as they
 * do at rest: in clear, sealed (base64 of what a `Sealer` writes), or not at all.
 */

const FORMAT = 'culvert-backup';
const VERSION = 1;
/** Of a store that counts a thousand commits a second, in 3,000 years. */
const MAX_REVISION = 1e14;

const Revision = Type.Integer({ minimum: 1, maximum: MAX_REVISION });
const closed = { additionalProperties: false } as const;

const BackupObjectSchema = Type.Object(
  {
    kind: Type.Enum(Object.values(KIND)),
    id: ObjectId,
    created: Revision,
    value: Type.Unsafe<Readonly<Record<string, unknown>>>({ type: 'object' }),
    secrets: Type.Optional(Type.Unsafe<Readonly<Record<string, unknown>>>({ type: 'object' })),
    sealed: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9+/]+={0,2}$' })),
  },
  closed,
);

/** Fields of a backup, for the document of the API, too. */
export const BACKUP_FIELDS = {
  format: Type.Literal(FORMAT),
  version: Type.Literal(VERSION),
  made_at: Type.String(),
  program: Type.String(),
  region: Type.String(),
  account: Type.String(),
  revision: Type.Integer({ minimum: 0, maximum: MAX_REVISION }),
  keys: Type.Enum(['plain', 'sealed', 'none']),
  objects: Type.Array(BackupObjectSchema),
  checksum: Type.String({ pattern: '^sha256:[0-9a-f]{64}$' }),
};
const BackupSchema = Type.Object(BACKUP_FIELDS, closed);

/** A backup file after its schema was checked; its objects are not. */
export type Backup = Type.Static<typeof BackupSchema>;
/** One object of a backup, with its secrets where they were asked for. */
export type BackupObject = Type.Static<typeof BackupObjectSchema>;

/** Where and when a backup is made. */
export interface BackupOrigin {
  readonly madeAt: string;
  /** Name and version of the program. */
  readonly program: string;
  /** Both are in the CRN of every gateway. */
  readonly region: string;
  readonly account: string;
}

const envelope = new SchemaCheck(BackupSchema);
const records = new Map(
  Object.entries(RECORD_SCHEMAS).map(([kind, schema]) => [kind, new SchemaCheck(schema)]),
);

/** A backup of this state of the store, with its secrets in clear or without them. */
export function makeBackup(snapshot: Snapshot, origin: BackupOrigin, withKeys: boolean): Backup {
  const objects = Object.values(KIND).flatMap((kind) =>
    snapshot.list<object>(kind).map((one) => divided(one)),
  );
  return signed({
    format: FORMAT,
    version: VERSION,
    made_at: origin.madeAt,
    program: origin.program,
    region: origin.region,
    account: origin.account,
    revision: snapshot.revision,
    keys: withKeys ? 'plain' : 'none',
    objects: withKeys ? objects : objects.map(({ secrets: _secrets, ...rest }) => rest),
  });
}

/** The same backup with its secrets sealed. */
export function sealBackup(backup: Backup, sealer: Sealer): Backup {
  const objects = backup.objects.map(({ secrets, ...rest }): BackupObject => {
    if (secrets === undefined) return rest;
    return { ...rest, sealed: sealer.seal(JSON.stringify(secrets), ownerOf(rest)).toString('base64') };
  });
  return signed({ ...backup, keys: 'sealed', objects });
}

/** The same backup with its secrets in clear. @throws StoreError `sealed`, `damaged` */
export function openBackup(backup: Backup, sealer: Sealer): Backup {
  const objects = backup.objects.map(({ sealed, ...rest }): BackupObject => {
    if (sealed === undefined) return rest;
    const octets = Buffer.from(sealed, 'base64');
    if (!isSealedBy(sealer, octets)) {
      throw new StoreError(
        'sealed',
        'the keys in the backup are sealed with another key',
        'name the key file that the backup was made with',
      );
    }
    return { ...rest, secrets: JSON.parse(sealer.open(octets, ownerOf(rest))) };
  });
  return signed({ ...backup, keys: 'plain', objects });
}

/** A backup in a file. @throws StoreError as `checkBackup` */
export function readBackup(text: string): Backup {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which may contain a key.
    throw damaged('it ends early, or is no backup of Culvert');
  }
  return checkBackup(value);
}

/**
 * A value as a backup, whole and of a known format, with objects of the form that the store has; whether they fit each
 * other and the server is another question.
 * @throws StoreError `damaged`, `newer_schema`; no message repeats a key
 */
export function checkBackup(value: unknown): Backup {
  const { format, version } = (typeof value === 'object' && value !== null ? value : {}) as Partial<
    Record<keyof Backup, unknown>
  >;
  if (format !== FORMAT) throw damaged('it is no backup of Culvert');
  if (typeof version === 'number' && version > VERSION) {
    throw new StoreError(
      'newer_schema',
      `the backup has format ${version} and this program knows ${VERSION}`,
      'restore it with the version of Culvert that made it, or a later one',
    );
  }
  refuse(envelope.issues(value), '');
  const backup = value as Backup;
  const { checksum, ...content } = backup;
  if (checksum !== checksumOf(content)) throw damaged('its checksum does not hold: it was changed or cut');
  const seen = new Set<string>();
  for (const [index, object] of backup.objects.entries()) {
    const { kind, created, value, secrets = {} } = object;
    const place = `objects[${index}]`;
    refuse(records.get(kind)!.issues({ ...value, ...secrets }), `${place}.value.`);
    if (seen.has(ownerOf(object))) throw damaged(`${place} is there twice`);
    seen.add(ownerOf(object));
    if (created > backup.revision) throw damaged(`${place}.created lies behind the revision of the backup`);
    const stray = Object.keys(secrets).find((field) => !secretFieldsOf(kind).includes(field));
    if (stray !== undefined) throw damaged(`${place}.secrets holds a field that is none`);
  }
  return backup;
}

/** What the store is to keep of an object: its value with its secrets. */
export function backedUp({
  kind,
  id,
  created,
  value,
  secrets,
}: BackupObject): Omit<StoredObject, 'revision'> {
  return { kind, id, created, value: { ...value, ...secrets } };
}

function divided({ kind, id, created, value }: StoredObject<object>): BackupObject {
  const fields = secretFieldsOf(kind);
  const entries = Object.entries(value);
  const secrets = entries.filter(([field, item]) => fields.includes(field) && item !== undefined);
  const open = Object.fromEntries(entries.filter(([field]) => !fields.includes(field)));
  return {
    ...{ kind: kind as BackupObject['kind'], id, created, value: open },
    ...(secrets.length === 0 ? {} : { secrets: Object.fromEntries(secrets) }),
  };
}

function secretFieldsOf(kind: string): readonly string[] {
  return SECRET_FIELDS[kind] ?? [];
}

/** As the store seals them: what is sealed for one object is of no use to another. */
function ownerOf({ kind, id }: Pick<BackupObject, 'kind' | 'id'>): string {
  return `${kind}/${id}`;
}

function signed(content: Omit<Backup, 'checksum'> & { readonly checksum?: string }): Backup {
  const { checksum: _checksum, ...rest } = content;
  return { ...rest, checksum: checksumOf(rest) };
}

function checksumOf(content: object): string {
  return `sha256:${createHash('sha256').update(canonical(content)).digest('hex')}`;
}

/** JSON whose fields are in order of their names: the same text whatever wrote the value down. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, item]) => `${JSON.stringify(name)}:${canonical(item)}`);
  return `{${fields.join(',')}}`;
}

function refuse(issues: ReturnType<SchemaCheck['issues']>, place: string): void {
  const [first] = issues;
  if (first === undefined) return;
  throw damaged(`${place}${formatPath(first.path)} ${first.message}`);
}

function damaged(what: string): StoreError {
  return new StoreError('damaged', `the backup is damaged: ${what}`, 'take another copy of it');
}
