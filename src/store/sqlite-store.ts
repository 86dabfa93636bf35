import { AtRest } from './at-rest.js';
import { copiesOf, ObjectImage } from './object-image.js';
import { isSealedBy, plainSealer, type Sealer } from './sealing.js';
import {
  type OpenDatabase,
  openExclusively,
  openLibsql,
  release,
  type SqlDatabase,
  writeError,
} from './sqlite-database.js';
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
import type { StoreContent } from './store-content.js';
import { Watchers } from './watchers.js';

/** Where the store lives and how it keeps secrets. */
export interface SqliteStoreOptions {
  /** The file; it is made with mode 0600 when it is not there, and brought to that mode when it is. */
  readonly path: string;
  /** Fields at the top of a value that are secrets, by kind: kept apart from the value and sealed. */
  readonly secretFields?: Readonly<Record<string, readonly string[]>>;
  /** Seals the secrets; without it they lie in the file as they are. */
  readonly sealer?: Sealer;
  /** Notes that are kept, the newest ones. */
  readonly maxNotes?: number;
  /** Milliseconds without a write after which the file alone holds everything, so that a copy of it is whole. */
  readonly quietAfter?: number;
  /** Opens the database; tests make it fail. */
  readonly open?: OpenDatabase;
}

const MAX_NOTES = 100_000;
const QUIET_AFTER_MS = 2000;

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
 * A store in a SQLite file. One process at a time has the file, so all objects are also kept in memory and reading
 * touches no disk. A commit is one transaction in the write-ahead log, which is synced before it is acknowledged
 * (synchronous = FULL). A write that fails (no room, a disk error, read-only) changes nothing and ends nothing: the
 * next one first brings file and memory together again.
 * @throws StoreError `locked`, `newer_schema`, `sealed`, `damaged`, `full`
 */
export function openSqliteStore(options: SqliteStoreOptions): Store {
  const database = openExclusively(options.path, options.open ?? openLibsql);
  try {
    return new SqliteStore(database, options);
  } catch (error) {
    release(database);
    throw writeError(error, options.path);
  }
}

/**
 * Fills an empty store in a file, which is made when it is not there, with the content of another store, revisions
 * included.
 * @throws StoreError `conflict` when it is not empty; those of `openSqliteStore`
 */
export function fillSqliteStore(
  { path, secretFields = {}, sealer = plainSealer, open = openLibsql }: SqliteStoreOptions,
  { revision, objects, notes }: StoreContent,
): void {
  const database = openExclusively(path, open);
  try {
    const statements = prepareAll(database);
    const found = statements.revision.get() as { value: number };
    if (found.value !== 0) {
      throw new StoreError('conflict', `the store "${path}" is not empty`, 'name a file that is not there');
    }
    const atRest = new AtRest(sealer, secretFields);
    database.exec('BEGIN IMMEDIATE');
    for (const object of objects) putObject(statements, atRest, object);
    for (const one of notes) statements.addNote.run(one.revision, JSON.stringify(one.note));
    statements.setRevision.run(revision);
    database.exec('COMMIT');
  } catch (error) {
    throw writeError(error, path);
  } finally {
    release(database);
  }
}

class SqliteStore implements Store {
  readonly #atRest: AtRest;
  readonly #maxNotes: number;
  readonly #quietAfter: number;
  readonly #path: string;
  readonly #watchers: Watchers;
  readonly #database: SqlDatabase;
  readonly #statements: ReturnType<typeof prepareAll>;
  #image: ObjectImage;
  /** A write failed: whether the file holds what memory holds is to be found out before the next one. */
  #unsettled = false;
  /** Not what the process before has left: see `probe`. */
  #probes = Date.now();
  #quiet: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(database: SqlDatabase, options: SqliteStoreOptions) {
    this.#database = database;
    this.#path = options.path;
    this.#atRest = new AtRest(options.sealer ?? plainSealer, options.secretFields ?? {});
    this.#maxNotes = options.maxNotes ?? MAX_NOTES;
    this.#quietAfter = options.quietAfter ?? QUIET_AFTER_MS;
    this.#statements = prepareAll(database);
    this.#image = this.#load();
    this.#watchers = new Watchers(this.#image.revision);
    this.#checkpoint();
  }

  async snapshot(): Promise<Snapshot> {
    this.#check();
    return this.#image;
  }

  async commit(changes: readonly Change[], options: CommitOptions = {}): Promise<Revision> {
    this.#check();
    this.#settle();
    const { image, commit } = this.#image.after(copiesOf(changes), options);
    try {
      this.#write(commit, options.note);
    } catch (error) {
      this.#unsettled = true;
      if (!this.#landed(image.revision)) throw writeError(error, this.#path);
      return image.revision;
    }
    this.#publish(image, commit);
    return image.revision;
  }

  watch(after: Revision, listener: (commit: Commit) => void): () => void {
    this.#check();
    return this.#watchers.add(after, listener);
  }

  async notes(after: Revision, limit: number): Promise<readonly Note[]> {
    this.#check();
    try {
      const rows = this.#statements.notes.all(after, limit) as { revision: number; note: string }[];
      return rows.map(({ revision, note }) => ({ revision, note: JSON.parse(note) }));
    } catch (error) {
      throw writeError(error, this.#path);
    }
  }

  async probe(): Promise<void> {
    this.#check();
    this.#settle();
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      // Another value each time: SQLite does not write a page that stays as it is.
      this.#statements.setProbe.run(++this.#probes);
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#unsettled = true;
      throw writeError(error, this.#path);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#quiet);
    this.#watchers.close();
    release(this.#database);
  }

  #check(): void {
    if (this.#closed) throw new StoreError('closed', 'this store was closed', 'open it again');
  }

  #publish(image: ObjectImage, commit: Commit): void {
    this.#image = image;
    this.#watchers.publish(commit);
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.#checkpoint(), this.#quietAfter);
    this.#quiet.unref();
  }

  /** Moves the write-ahead log into the file. What cannot be moved now stays in the log, which is as durable. */
  #checkpoint(): void {
    try {
      this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').all();
    } catch {
      // The next write meets the cause, and reports it.
    }
  }

  #write({ revision, events }: Commit, note: unknown): void {
    const { remove, setRevision, addNote, trimNotes } = this.#statements;
    this.#database.exec('BEGIN IMMEDIATE');
    for (const event of events) {
      if (event.type === 'delete') remove.run(event.before.kind, event.before.id);
      else putObject(this.#statements, this.#atRest, event.object);
    }
    if (note !== undefined) {
      addNote.run(revision, JSON.stringify(note));
      trimNotes.run(revision - this.#maxNotes);
    }
    setRevision.run(revision);
    this.#database.exec('COMMIT');
  }

  /**
   * Whether a write that reported an error is in the file all the same, and synced. Left unanswered (false) while the
   * file cannot be read.
   */
  #landed(revision: Revision): boolean {
    try {
      this.#settle();
      if (this.#image.revision !== revision) return false;
      // The sync may be what failed: a checkpoint syncs again.
      this.#database.exec('PRAGMA wal_checkpoint(FULL)');
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Brings file and memory together after a write that failed. SQLite rolls back by itself after some errors and not
   * after others (https://sqlite.org/lang_transaction.html, section 3.1), and an error of COMMIT does not say whether
   * the transaction took place. @throws StoreError `full`, `unavailable` while the cause lasts
   */
  #settle(): void {
    if (!this.#unsettled) return;
    try {
      if (this.#database.inTransaction) this.#database.exec('ROLLBACK');
      this.#reconcile();
    } catch (error) {
      throw writeError(error, this.#path);
    }
    // On a full disk the room that the log gives back may be all that the next write needs.
    this.#checkpoint();
    this.#unsettled = false;
  }

  /** Takes over a commit that the file holds and memory does not. */
  #reconcile(): void {
    const { value } = this.#statements.revision.get() as { value: number };
    if (value === this.#image.revision) return;
    const image = this.#load();
    this.#publish(image, image.since(this.#image));
  }

  #load(): ObjectImage {
    const { all, revision } = this.#statements;
    const rows = (all.all() as Row[]).map((row) => ({ ...row, secrets: octetsOf(row.secrets) }));
    const objects = rows.map((row): StoredObject => {
      const { kind, id, created, revision } = row;
      const divided = { open: JSON.parse(row.value), secrets: row.secrets };
      return { kind, id, created, revision, value: this.#atRest.join(kind, id, divided) };
    });
    const other = rows.flatMap((row, index) =>
      row.secrets === null || isSealedBy(this.#atRest.sealer, row.secrets) ? [] : [objects[index]!],
    );
    if (other.length > 0) this.#reseal(other);
    const state = revision.get() as { value: number };
    return ObjectImage.of(state.value, objects);
  }

  /** Secrets from before there was a key: sealed, and no copy of them left in file or log. */
  #reseal(objects: readonly StoredObject[]): void {
    this.#database.exec('BEGIN IMMEDIATE');
    for (const object of objects) putObject(this.#statements, this.#atRest, object);
    this.#database.exec('COMMIT');
    this.#database.exec('VACUUM');
    this.#database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').all();
  }
}

function prepareAll(database: SqlDatabase) {
  return {
    all: database.prepare(
      'SELECT kind, id, created, revision, value, secrets FROM objects ORDER BY created, id',
    ),
    put: database.prepare('INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)'),
    remove: database.prepare('DELETE FROM objects WHERE kind = ? AND id = ?'),
    revision: database.prepare(`SELECT value FROM state WHERE name = 'revision'`),
    setRevision: database.prepare(`UPDATE state SET value = ? WHERE name = 'revision'`),
    setProbe: database.prepare(`INSERT OR REPLACE INTO state VALUES ('probe', ?)`),
    addNote: database.prepare('INSERT INTO notes VALUES (?, ?)'),
    trimNotes: database.prepare('DELETE FROM notes WHERE revision <= ?'),
    notes: database.prepare('SELECT revision, note FROM notes WHERE revision > ? ORDER BY revision LIMIT ?'),
  };
}

function putObject(
  { put }: Pick<ReturnType<typeof prepareAll>, 'put'>,
  atRest: AtRest,
  { kind, id, created, revision, value }: StoredObject,
): void {
  const { open, secrets } = atRest.divide(kind, id, value);
  put.run(kind, id, created, revision, JSON.stringify(open), secrets);
}

function octetsOf(blob: Row['secrets']): Buffer | null {
  if (blob === null) return null;
  return Buffer.from(new Uint8Array(blob));
}
