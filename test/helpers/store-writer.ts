import { writeSync } from 'node:fs';
import { openSqliteStore } from '../../src/store/sqlite-store.js';

/**
 * Writes to the store in argv[2] until argv[3] writes are in it: write n puts the counter to n and makes the
 * object `n`, in one commit. Each acknowledged write is told to standard output, one number a line; the first
 * line says how many were there at the start.
 */
const store = openSqliteStore({ path: process.argv[2]! });
const target = Number(process.argv[3]);
const before = (await store.snapshot()).get<{ n: number }>('counter', 'n');
let n = before?.value.n ?? 0;
let revision = before?.revision ?? 0;
writeSync(1, `${n}\n`);
while (n < target) {
  n++;
  revision = await store.commit([
    { type: 'put', kind: 'counter', id: 'n', value: { n }, expect: revision },
    { type: 'put', kind: 'write', id: String(n), value: { n }, expect: 0 },
  ]);
  writeSync(1, `${n}\n`);
}
await store.close();
