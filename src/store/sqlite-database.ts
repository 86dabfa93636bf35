import { chmodSync, closeSync, constants, openSync } from 'node:fs';
import Database from 'libsql';
import { migrate } from './migrations.js';
import { StoreError } from './store.js';

/** The part of the driver that the store uses; tests put one in its place that fails on demand. */
export interface SqlDatabase {
  readonly inTransaction: boolean;
  exec(sql: string): unknown;
  prepare(sql: string): SqlStatement;
  close(): void;
}

/** A prepared statement with positional parameters; `get` returns undefined when there is no row. */
export interface SqlStatement {
  run(...values: unknown[]): unknown;
  get(...values: unknown[]): unknown;
  all(...values: unknown[]): unknown[];
}

/** Opens the file at `path`, or throws an error of the driver. */
export type OpenDatabase = (path: string) => SqlDatabase;

/** The driver itself. A closed database aborts the process there when it is used, so it is not let through. */
export const openLibsql: OpenDatabase = (path) => {
  const database = new Database(path) as unknown as SqlDatabase;
  let closed = false;
  const living = (): SqlDatabase => {
    if (closed) throw new Error('the database is closed');
    return database;
  };
  return {
    get inTransaction() {
      return living().inTransaction;
    },
    exec: (sql) => living().exec(sql),
    prepare: (sql) => living().prepare(sql),
    close: () => {
      if (closed) return;
      closed = true;
      database.close();
    },
  };
};

/** Faults that an integrity check names; one is enough to refuse the file. */
const FAULTS_NAMED = 3;

/**
 * Opens a store's file for this process alone: creates it with mode 0600 where it is missing, takes the lock, brings
 * the schema up to date and checks every page.
 * @throws StoreError `locked`, `newer_schema`, `damaged`, `full`
 */
export function openExclusively(path: string, open: OpenDatabase): SqlDatabase {
  try {
    closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT, 0o600));
    // The write-ahead log beside it inherits its mode.
    chmodSync(path, 0o600);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    const message = `the store "${path}" cannot be opened (${code})`;
    throw new StoreError(
      'damaged',
      message,
      'check that the folder exists and that this user may write to it',
      {
        cause: error,
      },
    );
  }
  let database: SqlDatabase | undefined;
  try {
    database = open(path);
    database.exec('PRAGMA locking_mode = EXCLUSIVE');
    database.exec('PRAGMA journal_mode = WAL');
    database.exec('PRAGMA synchronous = FULL');
    // In pages of 4 KiB: a store that is never quiet has a log of some megabyte, too, and no disk is filled by it.
    database.exec(`PRAGMA wal_autocheckpoint = ${LOG_PAGES}`);
    // Deleted and resealed values are overwritten, not only unlinked.
    database.exec('PRAGMA secure_delete = ON');
    // In this locking mode the first transaction takes the lock and keeps it.
    database.exec('BEGIN IMMEDIATE');
    database.exec('COMMIT');
    checkIntegrity(database, path);
    migrate(database);
    return database;
  } catch (error) {
    if (database !== undefined) release(database);
    throw openError(error, path);
  }
}

const LOG_PAGES = 256;

/** A damaged page would otherwise surface months later, at the first change that touches it. */
function checkIntegrity(database: SqlDatabase, path: string): void {
  const rows = database.prepare(`PRAGMA integrity_check(${FAULTS_NAMED})`).all();
  const faults = rows.map((row) => Object.values(row as object).join(' ')).filter((text) => text !== 'ok');
  if (faults.length > 0) throw damaged(path, faults.join('; '));
}

function damaged(path: string, what: string, options?: ErrorOptions): StoreError {
  return new StoreError(
    'damaged',
    `the store "${path}" is damaged: ${what}`,
    'move the file and the files beside it that begin with its name aside, start again, and run "culvert restore" with a backup',
    options,
  );
}

/**
 * Closes the database. Statements that await garbage collection keep the file open beyond `close`, and its lock with
 * it: the lock is given up first, which in this locking mode means leaving the write-ahead log.
 */
export function release(database: SqlDatabase): void {
  try {
    if (database.inTransaction) database.exec('ROLLBACK');
    database.exec('PRAGMA journal_mode = DELETE');
    database.exec('PRAGMA locking_mode = NORMAL');
    database.prepare('SELECT count(*) FROM sqlite_master').get();
  } catch {
    // It was never ours, or its disk is gone.
  } finally {
    database.close();
  }
}

/** The primary result code in the driver's error, such as `FULL` or `IOERR`; undefined for other errors. */
function resultCode(error: unknown): string | undefined {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  const found = typeof code === 'string' ? /^SQLITE_([A-Z]+)/.exec(code)?.[1] : undefined;
  if (found !== undefined && found !== 'ERROR') return found;
  return typeof message === 'string' && /locked/.test(message) ? 'BUSY' : found;
}

/** Why the store cannot be opened. */
function openError(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error;
  const code = resultCode(error);
  if (code === 'BUSY' || code === 'LOCKED') {
    const message = `the store "${path}" is used by another process`;
    return new StoreError('locked', message, 'end that process, or name another file', { cause: error });
  }
  if (code === 'FULL') return writeError(error, path);
  if (code === 'CORRUPT') return damaged(path, messageOf(error), { cause: error });
  return new StoreError(
    'damaged',
    `the store "${path}" cannot be used (${describe(error)})`,
    'check that the disk has room and that the file is a store of Culvert, or restore it from a backup',
    { cause: error },
  );
}

/** Why a write to an open store failed. The cause may pass: the store tries again at the next write. */
export function writeError(error: unknown, path: string): StoreError {
  if (error instanceof StoreError) return error;
  const code = resultCode(error);
  if (code === 'FULL') {
    const message = `there is no room for a change of the store "${path}"`;
    return new StoreError('full', message, 'free space on its disk', { cause: error });
  }
  const remedies: Readonly<Record<string, string>> = {
    READONLY: 'mount its disk writable and check the rights of the file',
    CANTOPEN: 'check that its folder is there and that this user may write to it',
    CORRUPT: 'restore it from a backup with "culvert restore"',
    NOTADB: 'restore it from a backup with "culvert restore"',
  };
  const remedy = remedies[code ?? ''] ?? 'check its disk and the log of the kernel';
  const message = `the store "${path}" cannot be written (${describe(error)})`;
  return new StoreError('unavailable', message, remedy, { cause: error });
}

function describe(error: unknown): string {
  const { code } = error as { readonly code?: string };
  return code ?? messageOf(error);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
