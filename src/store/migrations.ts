import { StoreError } from './store.js';

/** What a migration needs of a database. */
export interface MigrationTarget {
  exec(sql: string): unknown;
  prepare(sql: string): { get(): unknown };
}

/**
 * The schema, step by step: step n brings a file from version n to n + 1 (`PRAGMA user_version`). Steps that
 * were in a release are never changed.
 */
export const MIGRATIONS: readonly string[] = [
  // Values are JSON without their secrets; `secrets` is one sealed JSON object, or NULL.
  `CREATE TABLE objects (
     kind TEXT NOT NULL,
     id TEXT NOT NULL,
     created INTEGER NOT NULL,
     revision INTEGER NOT NULL,
     value TEXT NOT NULL,
     secrets BLOB,
     PRIMARY KEY (kind, id)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
   INSERT INTO state VALUES ('revision', 0);`,
  // The audit record of a commit, written in its transaction.
  `CREATE TABLE notes (revision INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;`,
  // Routing tables and routes are objects like the others. A program that knows neither would delete connections that
  // routes name: it has to refuse the file.
  `INSERT INTO state VALUES ('routes', 1);`,
];

/**
 * Brings the schema up to date, each step in its own transaction together with its number: a process that dies
 * in between goes on at the step it died in.
 * @throws StoreError `newer_schema`
 */
export function migrate(database: MigrationTarget, steps: readonly string[] = MIGRATIONS): void {
  const row = database.prepare('PRAGMA user_version').get() as { user_version: number };
  const version = row.user_version;
  if (version > steps.length) {
    const message = `the store has schema version ${version}: this program knows versions up to ${steps.length}`;
    throw new StoreError('newer_schema', message, 'use the program that wrote it, or a newer one');
  }
  for (const [index, step] of steps.entries()) {
    if (index < version) continue;
    database.exec('BEGIN IMMEDIATE');
    try {
      database.exec(step);
      database.exec(`PRAGMA user_version = ${index + 1}`);
      database.exec('COMMIT');
    } catch (error) {
      database.exec('ROLLBACK');
      throw error;
    }
  }
}
