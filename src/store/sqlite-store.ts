import { chmodSync, closeSync, constants, openSync } from 'node:fs';
import Database from 'libsql';
import { migrate } from './migrations.js';
import { ObjectImage } from './object-image.js';
import { isSealedBy, plainSealer, type Sealer } from './sealing.js';
import {
  type Change,
  type Commit,
  type CommitOptions,
  type Note,
  type Revision,
  type Snapshot,
  type Store,
  type StoredObject,
  StoreError,
} from './store.js';
import { Watchers } from './watchers.js';

export interface SqliteStoreOptions {
  /** The file; it is made with mode 0600 when it is not there, and brought to that mode when it is. */
  readonly path: string;
  /** Fields at the top of a value that are secrets, by kind: kept apart from the value and sealed. */
  readonly secretFields?: Readonly<Record<string, readonly string[]>>;
  /** Seals the secrets; without it they lie in the file as they are. */
  readonly sealer?: Sealer;
  /** Notes that are kept, the newest ones. */
  readonly mostNotes?: number;
}

const MOST_NOTES = 100_000;

interface Row {
  readonly kind: string;
  readonly id: string;
  readonly created: number;
  readonly revision: number;
  readonly value: string;
  /** The driver gives an ArrayBuffer or a Buffer, by the way it was asked. */
  readonly secrets: ArrayBuffer | Uint8Array | null;
}

/**
 * A store in a SQLite file. One process at a time has the file, so all objects are also kept in memory and
 * reading touches no disk. A commit is one transaction in the write-ahead log, which is synced before it is
 * acknowledged (synchronous = FULL).
 * @throws StoreError `locked`, `newer_schema`, `sealed`, `damaged`
 */
export function openSqliteStore(options: SqliteStoreOptions): Store {
  const { path } = options;
  try {
    const made = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    closeSync(made);
    // The log beside it takes its mode from the file.
    chmodSync(path, 0o600);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new StoreError(
      'damaged',
      `the store "${path}" cannot be opened (${code})`,
      'check folder and rights',
      {
        cause: error,
      },
    );
  }
  const database = new Database(path);
  try {
    return new SqliteStore(database, options);
  } catch (error) {
    release(database);
    throw explain(error, path);
  }
}

/**
 * Closes the database. Statements that await their garbage collection keep the file open behind `close`, and its
 * lock with it: the lock is given back first, which in this locking mode takes leaving the write-ahead log.
 */
function release(database: Database.Database): void {
  try {
    database.exec('PRAGMA journal_mode = DELETE');
    database.exec('PRAGMA locking_mode = NORMAL');
    database.prepare('SELECT count(*) FROM sqlite_master').get();
  } catch {
    // It was never ours, or cannot be used at all.
  } finally {
    database.close();
  }
}

class SqliteStore implements Store {
  readonly #database: Database.Database;
  readonly #secretFields: Readonly<Record<string, readonly string[]>>;
  readonly #sealer: Sealer;
  readonly #mostNotes: number;
  readonly #path: string;
  readonly #statements: ReturnType<typeof prepareAll>;
  readonly #watchers: Watchers;
  #image: ObjectImage;
  /** Why nothing more can be done with this store. */
  #over: StoreError | undefined;

  constructor(database: Database.Database, options: SqliteStoreOptions) {
    this.#database = database;
    this.#path = options.path;
    this.#secretFields = options.secretFields ?? {};
    this.#sealer = options.sealer ?? plainSealer;
    this.#mostNotes = options.mostNotes ?? MOST_NOTES;
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = FULL');
    // What is deleted or sealed anew is overwritten, not only forgotten.
    database.exec('PRAGMA secure_delete = ON');
    // In this locking mode the first transaction takes the lock and keeps it.
    database.exec('BEGIN IMMEDIATE');
    database.exec('COMMIT');
    migrate(database);
    this.#statements = prepareAll(database);
    this.#image = this.#load();
    this.#watchers = new Watchers(this.#image.revision);
  }

  async snapshot(): Promise<Snapshot> {
    this.#check();
    return this.#image;
  }

  async commit(changes: readonly Change[], options: CommitOptions = {}): Promise<Revision> {
    this.#check();
    const copies = changes.map((change) =>
      change.type === 'put' ? { ...change, value: JSON.parse(JSON.stringify(change.value)) } : change,
    );
    const { image, commit } = this.#image.after(copies, options);
    this.#write(commit, options.note);
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
    const rows = this.#statements.notes.all(after, limit) as { revision: number; note: string }[];
    return rows.map(({ revision, note }) => ({ revision, note: JSON.parse(note) }));
  }

  async close(): Promise<void> {
    if (this.#over?.code === 'closed') return;
    this.#over = new StoreError('closed', 'this store was closed', 'open it again');
    this.#watchers.close();
    release(this.#database);
  }

  #check(): void {
    if (this.#over !== undefined) throw this.#over;
  }

  #write({ revision, events }: Commit, note: unknown): void {
    const { put, remove, setRevision, addNote, trimNotes } = this.#statements;
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      for (const event of events) {
        if (event.type === 'delete') {
          remove.run(event.before.kind, event.before.id);
        } else {
          const { kind, id, created, value } = event.object;
          const parts = this.#divide(kind, id, value);
          put.run(kind, id, created, revision, parts.value, parts.secrets);
        }
      }
      if (note !== undefined) {
        addNote.run(revision, JSON.stringify(note));
        trimNotes.run(revision - this.#mostNotes);
      }
      setRevision.run(revision);
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#undo();
      throw explain(error, this.#path);
    }
  }

  /** When even that fails, what is in the file is not known any more: nothing is done with it from then on. */
  #undo(): void {
    try {
      this.#database.exec('ROLLBACK');
    } catch (error) {
      const message = `the store "${this.#path}" failed in the middle of a write`;
      this.#over = new StoreError('damaged', message, 'look at the disk, then start again', { cause: error });
    }
  }

  /** A value without its secrets, and these. */
  #divide(kind: string, id: string, value: unknown): { value: string; secrets: Buffer | null } {
    const fields = this.#secretFields[kind] ?? [];
    const entries = Object.entries(value as object);
    const secrets = entries.filter(([field]) => fields.includes(field));
    if (secrets.length === 0) return { value: JSON.stringify(value), secrets: null };
    const open = entries.filter(([field]) => !fields.includes(field));
    return {
      value: JSON.stringify(Object.fromEntries(open)),
      secrets: this.#sealer.seal(JSON.stringify(Object.fromEntries(secrets)), `${kind}/${id}`),
    };
  }

  #load(): ObjectImage {
    const { all, revision } = this.#statements;
    const rows = (all.all() as Row[]).map((row) => ({ ...row, secrets: octetsOf(row.secrets) }));
    const objects = rows.map((row): StoredObject => {
      const { kind, id, created, revision } = row;
      const value = JSON.parse(row.value);
      if (row.secrets === null) return { kind, id, created, revision, value };
      const secrets = JSON.parse(this.#sealer.open(row.secrets, `${kind}/${id}`));
      return { kind, id, created, revision, value: { ...value, ...secrets } };
    });
    const other = rows.flatMap((row, index) =>
      row.secrets === null || isSealedBy(this.#sealer, row.secrets) ? [] : [objects[index]!],
    );
    if (other.length > 0) this.#sealAnew(other);
    const state = revision.get() as { value: number };
    return ObjectImage.of(state.value, objects);
  }

  /** Secrets from before there was a key: sealed, and no copy of them left in file or log. */
  #sealAnew(objects: readonly StoredObject[]): void {
    this.#database.exec('BEGIN IMMEDIATE');
    for (const { kind, id, created, revision, value } of objects) {
      const parts = this.#divide(kind, id, value);
      this.#statements.put.run(kind, id, created, revision, parts.value, parts.secrets);
    }
    this.#database.exec('COMMIT');
    this.#database.exec('VACUUM');
    this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').all();
  }
}

function prepareAll(database: Database.Database) {
  return {
    all: database.prepare(
      'SELECT kind, id, created, revision, value, secrets FROM objects ORDER BY created, id',
    ),
    put: database.prepare('INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)'),
    remove: database.prepare('DELETE FROM objects WHERE kind = ? AND id = ?'),
    revision: database.prepare(`SELECT value FROM state WHERE name = 'revision'`),
    setRevision: database.prepare(`UPDATE state SET value = ? WHERE name = 'revision'`),
    addNote: database.prepare('INSERT INTO notes VALUES (?, ?)'),
    trimNotes: database.prepare('DELETE FROM notes WHERE revision <= ?'),
    notes: database.prepare('SELECT revision, note FROM notes WHERE revision > ? ORDER BY revision LIMIT ?'),
  };
}

function octetsOf(blob: Row['secrets']): Buffer | null {
  if (blob === null) return null;
  return Buffer.from(new Uint8Array(blob));
}

/** An error of the engine in our words. */
function explain(error: unknown, path: string): Error {
  if (error instanceof StoreError) return error;
  const { code, message } = error as { code?: string; message?: string };
  if (code?.startsWith('SQLITE_BUSY') || code?.startsWith('SQLITE_LOCKED') || /locked/.test(message ?? '')) {
    return new StoreError(
      'locked',
      `the store "${path}" is used by another process`,
      'end that process, or name another file',
      { cause: error },
    );
  }
  return new StoreError(
    'damaged',
    `the store "${path}" cannot be used (${code ?? message ?? 'unknown error'})`,
    'check that the disk has room, or restore the file from a backup',
    { cause: error },
  );
}
