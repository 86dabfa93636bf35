import { spawn } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import Database from 'libsql';
import t, { type Test } from 'tap';
import { MIGRATIONS, migrate } from '../../src/store/migrations.js';
import { createSealer, readSealingKey } from '../../src/store/sealing.js';
import { openSqliteStore } from '../../src/store/sqlite-store.js';
import { SecretKey } from '../../src/util/secret.js';

const WRITER = fileURLToPath(new URL('../helpers/store-writer.ts', import.meta.url));
/** A file system in memory: SIGKILL is no power cut, and here a sync costs nothing. */
const FAST = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(FAST, 'culvert-sqlite-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}

const secretFields = { connection: ['psk'] };
const connection = (psk: string) =>
  ({ type: 'put', kind: 'connection', id: 'c1', value: { name: 'to-b', psk } }) as const;
const keyOf = (octet: number) => new SecretKey(new Uint8Array(32).fill(octet));
const onDisk = (path: string): string =>
  [path, `${path}-wal`]
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'latin1'))
    .join('');

t.test('the file belongs to its owner alone', async (t) => {
  const path = join(folderOf(t), 'store.db');
  writeFileSync(path, '');
  chmodSync(path, 0o644);
  const store = openSqliteStore({ path });
  await store.commit([connection('secret-key')]);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.equal(statSync(`${path}-wal`).mode & 0o777, 0o600);
  await store.close();
});

t.test('what was committed is there again, revisions and notes too', async (t) => {
  const path = join(folderOf(t), 'store.db');
  const first = openSqliteStore({ path, secretFields });
  await first.commit([connection('secret-key')], { note: { who: 'ann' } });
  await first.commit([{ type: 'put', kind: 'gateway', id: 'g', value: { name: 'ü' } }]);
  const before = await first.snapshot();
  await first.close();
  const second = openSqliteStore({ path, secretFields });
  const after = await second.snapshot();
  t.equal(after.revision, 2);
  t.same(after.get('connection', 'c1'), before.get('connection', 'c1'));
  t.same(after.list('gateway'), before.list('gateway'));
  t.same(await second.notes(0, 9), [{ revision: 1, note: { who: 'ann' } }]);
  t.throws(() => second.watch(1, () => undefined), { code: 'compacted' }, 'commits of an earlier life');
  await second.close();
});

t.test('a plain copy of a quiet store is whole', async (t) => {
  const folder = folderOf(t);
  const [path, copy] = [join(folder, 'store.db'), join(folder, 'copy.db')];
  const store = openSqliteStore({ path, secretFields, quietAfter: 1 });
  t.teardown(() => store.close());
  for (const n of [1, 2]) {
    await store.commit([{ ...connection(`secret-key-${n}`), id: `c${n}` }]);
    // The log is emptied into the file: it is the file alone that is copied.
    while (statSync(`${path}-wal`).size > 0) await pause(5);
    copyFileSync(path, copy);
    const copied = openSqliteStore({ path: copy, secretFields });
    t.same(
      (await copied.snapshot()).list('connection'),
      (await store.snapshot()).list('connection'),
      `after commit ${n}`,
    );
    await copied.close();
  }
});

t.test('only the newest notes are kept', async (t) => {
  const store = openSqliteStore({ path: join(folderOf(t), 'store.db'), maxNotes: 2 });
  for (const who of ['a', 'b', 'c']) await store.commit([connection('x')], { note: who });
  t.same(
    (await store.notes(0, 9)).map(({ note }) => note),
    ['b', 'c'],
  );
  await store.close();
});

t.test('one process at a time has the file', async (t) => {
  const path = join(folderOf(t), 'store.db');
  const store = openSqliteStore({ path });
  t.throws(() => openSqliteStore({ path }), { code: 'locked', message: /used by another process/ });
  await store.close();
  await openSqliteStore({ path }).close();
});

t.test('files that are not ours are refused', async (t) => {
  const folder = folderOf(t);
  const noise = join(folder, 'noise.db');
  writeFileSync(noise, 'this is no database, but long enough to look like a page of one. '.repeat(100));
  t.throws(() => openSqliteStore({ path: noise }), { code: 'damaged' });
  t.throws(() => openSqliteStore({ path: join(folder, 'no', 'where.db') }), { code: 'damaged' });
});

t.test('schema versions', async (t) => {
  const path = join(folderOf(t), 'store.db');
  const old = new Database(path);
  migrate(old, MIGRATIONS.slice(0, 1));
  old.exec(`INSERT INTO objects VALUES ('gateway', 'g1', 3, 4, '{"name":"old"}', NULL)`);
  old.exec(`UPDATE state SET value = 4`);
  old.close();
  const store = openSqliteStore({ path });
  t.same((await store.snapshot()).get('gateway', 'g1')?.value, { name: 'old' });
  t.equal(await store.commit([connection('x')], { note: 'new' }), 5, 'revisions go on');
  await store.close();

  const newer = new Database(path);
  t.match(newer.prepare('PRAGMA user_version').get(), { user_version: MIGRATIONS.length });
  newer.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`);
  newer.close();
  t.throws(() => openSqliteStore({ path }), { code: 'newer_schema' });
});

t.test('a migration that fails leaves the version it began with', async (t) => {
  const database = new Database(':memory:');
  const steps = ['CREATE TABLE a (x)', 'CREATE TABLE b (x); CREATE TABLE a (y)'];
  t.throws(() => migrate(database, steps));
  t.match(database.prepare('PRAGMA user_version').get(), { user_version: 1 });
  t.same(
    database
      .prepare(`SELECT name FROM sqlite_master`)
      .all()
      .map((row) => (row as { name: string }).name),
    ['a'],
  );
  database.close();
});

t.test('sealed secrets', async (t) => {
  const path = join(folderOf(t), 'store.db');
  const open = (octet?: number) =>
    openSqliteStore({
      path,
      secretFields,
      ...(octet === undefined ? {} : { sealer: createSealer(keyOf(octet)) }),
    });
  const plain = open();
  await plain.commit([connection('correct-horse-battery')]);
  t.match(onDisk(path), 'correct-horse-battery', 'without a key they lie open');
  await plain.close();

  const sealed = open(1);
  t.notMatch(onDisk(path), 'correct-horse-battery', 'a key seals what was there, and no copy stays');
  await sealed.commit([connection('another-secret')]);
  t.notMatch(onDisk(path), 'another-secret');
  t.match(onDisk(path), 'to-b', 'the rest is readable');
  t.same((await sealed.snapshot()).get('connection', 'c1')?.value, { name: 'to-b', psk: 'another-secret' });
  await sealed.close();

  t.throws(() => open(), { code: 'sealed', message: /no key file is configured/ });
  t.throws(() => open(2), { code: 'sealed', message: /another key/ });

  const thief = new Database(path);
  thief.exec(`INSERT INTO objects SELECT kind, 'c2', created, revision, value, secrets FROM objects`);
  thief.close();
  t.throws(() => open(1), { code: 'damaged' }, 'a secret belongs to one object');
});

t.test('key files', async (t) => {
  const folder = folderOf(t);
  const file = (name: string, text: string, mode = 0o600): string => {
    writeFileSync(join(folder, name), text, { mode });
    return join(folder, name);
  };
  const octets = Buffer.alloc(32, 7);
  t.same(readSealingKey(file('hex', `${octets.toString('hex')}\n`)).expose(), Uint8Array.from(octets));
  t.same(readSealingKey(file('base64', octets.toString('base64'))).expose(), Uint8Array.from(octets));
  t.throws(() => readSealingKey(file('open', octets.toString('hex'), 0o644)), {
    message: /accessible by group or others/,
  });
  t.throws(() => readSealingKey(file('short', 'abcd')), { message: /no key of 32 octets/ });
  t.throws(() => readSealingKey(file('long', 'a'.repeat(300))), { message: /longer than/ });
  t.throws(() => readSealingKey(join(folder, 'none')), { message: /is not there/ });
  t.throws(() => readSealingKey(folder), { message: /not a regular file/ });
});

t.test(
  'kill -9 at any moment of 10,000 writes loses no acknowledged write',
  { timeout: 100_000 },
  async (t) => {
    const path = join(folderOf(t), 'store.db');
    const TARGET = 10_000;
    const KILLS = 6;
    let acknowledged = 0;
    for (let life = 0; acknowledged < TARGET; life++) {
      // Somewhere in the share of writes that this life has, at a moment that depends on nothing else.
      const victimAfter =
        life < KILLS ? Math.floor((TARGET / (KILLS + 1)) * (life + Math.random())) : Infinity;
      const child = spawn(process.execPath, [...process.execArgv, WRITER, path, String(TARGET)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      let lines = '';
      let first: number | undefined;
      let killed = false;
      child.stdout.setEncoding('latin1').on('data', (text: string) => {
        lines += text;
        const whole = lines.split('\n');
        lines = whole.pop()!;
        for (const line of whole) {
          if (first === undefined) {
            first = Number(line);
            // One write may have reached the file whose acknowledgement did not reach us.
            t.ok(first === acknowledged || first === acknowledged + 1, `life ${life} begins at ${first}`);
          }
          acknowledged = Number(line);
        }
        if (acknowledged >= victimAfter && !killed) {
          killed = true;
          setTimeout(() => child.kill('SIGKILL'), Math.random() * 5);
        }
      });
      await new Promise((resolve) => child.on('close', resolve));
      if (!killed && child.exitCode !== 0) throw new Error(`the writer ended with ${child.exitCode}`);
    }
    const store = openSqliteStore({ path });
    const now = await store.snapshot();
    t.same(now.get('counter', 'n')?.value, { n: TARGET });
    const writes = now.list<{ n: number }>('write').map(({ value }) => value.n);
    t.equal(writes.length, TARGET);
    t.ok(
      writes.every((n, index) => n === index + 1),
      'every write is there, whole, and in order',
    );
    await store.close();
  },
);

t.test('the log of a store that is never quiet stays small', async (t) => {
  const path = join(folderOf(t), 'store.db');
  const store = openSqliteStore({ path, quietAfter: 1e9 });
  t.teardown(() => store.close());
  for (let n = 0; n < 400; n++) await store.commit([connection(`key-${n}`)]);
  t.ok(statSync(`${path}-wal`).size < 2 * 1024 * 1024, `${statSync(`${path}-wal`).size} octets`);
});
