import { openLibsql, type SqlDatabase } from '../../src/store/sqlite-database.js';

/**
 * When the fault strikes: before the statement does anything; before it, after SQLite has rolled the transaction back
 * by itself (as after SQLITE_FULL and most I/O errors); or after it took effect, so that only its answer is lost.
 */
export type FaultMoment = 'before' | 'rolled-back' | 'after';

/** A driver whose statements can be made to fail, each call of `exec` and `run` being one place for it. */
export class FaultyDatabases {
  /** Statements until the fault strikes; undefined: never. */
  #countdown: number | undefined;
  #moment: FaultMoment = 'before';
  #code = '';
  #lasting = false;
  #isDown = false;
  /** Statements that changed something or tried to since `arm`. */
  statements: string[] = [];

  /** Makes the statement after `skipped` others fail, and with `lasting` every one from there until `mend`. */
  arm(skipped: number, moment: FaultMoment, code: string, lasting = false): void {
    this.#countdown = skipped;
    this.#moment = moment;
    this.#code = code;
    this.#lasting = lasting;
    this.statements = [];
  }

  mend(): void {
    this.#countdown = undefined;
    this.#isDown = false;
  }

  /** Whether the armed fault has struck. */
  get struck(): boolean {
    return this.#isDown || (this.#countdown !== undefined && this.#countdown < 0);
  }

  readonly open = (path: string): SqlDatabase => {
    if (this.#isDown) throw this.#error();
    const inner = openLibsql(path);
    const place = (sql: string, run: () => unknown): unknown => this.#place(inner, sql, run);
    return {
      get inTransaction() {
        return inner.inTransaction;
      },
      exec: (sql) => place(sql, () => inner.exec(sql)),
      prepare: (sql) => {
        const statement = inner.prepare(sql);
        const reads = (run: () => unknown): unknown => {
          if (this.#isDown) throw this.#error();
          return run();
        };
        return {
          run: (...values) => place(sql, () => statement.run(...values)),
          get: (...values) => reads(() => statement.get(...values)),
          all: (...values) => reads(() => statement.all(...values)) as unknown[],
        };
      },
      close: () => inner.close(),
    };
  };

  #place(inner: SqlDatabase, sql: string, run: () => unknown): unknown {
    this.statements.push(sql);
    if (this.#isDown) throw this.#error();
    if (this.#countdown === undefined || this.#countdown-- > 0) return run();
    if (this.#countdown < -1) return run();
    this.#isDown = this.#lasting;
    if (this.#moment === 'after') run();
    if (this.#moment === 'rolled-back' && inner.inTransaction) inner.exec('ROLLBACK');
    throw this.#error();
  }

  #error(): Error {
    return Object.assign(new Error(`made to fail with ${this.#code}`), { code: this.#code });
  }
}
