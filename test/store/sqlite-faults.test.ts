import { spawnSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { openLibsql } from '../../src/store/sqlite-database.js';
import { openSqliteStore } from '../../src/store/sqlite-store.js';
import type { Change, Commit, Store } from '../../src/store/store.js';
import { type FaultMoment, FaultyDatabases } from '../helpers/faulty-database.js';

const FAST = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

function folderOf(t: Test): string {
  const folder = mkdtempSync(join(FAST, 'culvert-faults-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const put = (id: string, value: unknown): Change => ({ type: 'put', kind: 'thing', id, value });
/** One of every statement that a commit is made of. */
const CHANGES: readonly Change[] = [
  put('a', { n: 2 }),
  { type: 'delete', kind: 'thing', id: 'b' },
  put('c', { n: 1 }),
];
const NOTE = { note: { who: 'ann' } };

/** Everything that a reader sees of a store. */
async function contentOf(store: Store): Promise<unknown> {
  const { revision, list } = await store
    .snapshot()
    .then((s) => ({ revision: s.revision, list: s.list('thing') }));
  const byId = [...list].sort((a, b) => (a.id < b.id ? -1 : 1));
  return { revision, list: byId, notes: await store.notes(0, 99) };
}

async function prepared(path: string, faults: FaultyDatabases) {
  const store = openSqliteStore({ path, open: faults.open, quietAfter: 60_000 });
  await store.commit([put('a', { n: 1 }), put('b', { n: 1 })], { note: { who: 'bob' } });
  const seen: Commit[] = [];
  store.watch((await store.snapshot()).revision, (commit) => seen.push(commit));
  return { store, seen };
}

t.test('a fault at any statement of a commit, of any kind', async (t) => {
  const folder = folderOf(t);
  const probe = new FaultyDatabases();
  const { store: whole } = await prepared(join(folder, 'probe.db'), probe);
  probe.arm(Number.POSITIVE_INFINITY, 'before', '');
  await whole.commit(CHANGES, NOTE);
  const count = probe.statements.length;
  t.match(probe.statements, [
    'BEGIN IMMEDIATE',
    /INSERT/,
    /DELETE/,
    /INSERT/,
    /notes/,
    /notes/,
    /UPDATE/,
    'COMMIT',
  ]);
  await whole.close();
  let cases = 0;
  for (let at = 0; at < count; at++) {
    for (const moment of ['before', 'rolled-back', 'after'] as const) {
      for (const lasting of [false, true]) {
        for (const code of [
          'SQLITE_FULL',
          'SQLITE_IOERR_WRITE',
          'SQLITE_READONLY',
          'SQLITE_BUSY',
          'SQLITE_CORRUPT',
        ]) {
          const name = `${code} ${moment} statement ${at}${lasting ? ', lasting' : ''}`;
          await oneFault(
            t,
            join(folder, `${cases++}.db`),
            { at, moment, code, lasting, last: at === count - 1 },
            name,
          );
        }
      }
    }
  }
});

t.test('a probe meets what a commit would, writes each time, and hurts nothing', async (t) => {
  const folder = folderOf(t);
  const path = join(folder, 'store.db');
  const faults = new FaultyDatabases();
  const { store } = await prepared(path, faults);
  const before = await contentOf(store);
  const sizeOfLog = () => statSync(`${path}-wal`).size;
  const empty = sizeOfLog();
  await store.probe();
  const once = sizeOfLog();
  await store.probe();
  t.ok(once > empty && sizeOfLog() > once, 'what is the same as before would not reach the disk');
  for (const moment of ['before', 'rolled-back', 'after'] as const) {
    for (let at = 0; at < 3; at++) {
      faults.arm(at, moment, 'SQLITE_FULL', true);
      await t.rejects(store.probe(), { code: 'full' }, `${moment} statement ${at}`);
      await t.rejects(store.probe(), { code: 'full' }, 'again');
      faults.mend();
      await store.probe();
    }
  }
  t.same(await contentOf(store), before);
  await store.commit([put('z', {})]);
  await store.close();
  const reopened = openSqliteStore({ path });
  await reopened.probe();
  t.equal((await reopened.snapshot()).revision, (before as { revision: number }).revision + 1);
  await reopened.close();
});

interface Fault {
  readonly at: number;
  readonly moment: FaultMoment;
  readonly code: string;
  readonly lasting: boolean;
  readonly last: boolean;
}

async function oneFault(t: Test, path: string, { at, moment, code, lasting, last }: Fault, name: string) {
  const faults = new FaultyDatabases();
  const { store, seen } = await prepared(path, faults);
  const before = await store.snapshot();
  faults.arm(at, moment, code, lasting);
  const failure = await store.commit(CHANGES, NOTE).then(
    () => undefined,
    (error: { code: string }) => error.code,
  );
  if (!faults.struck) throw new Error(`${name} did not strike`);
  // Only a COMMIT that took place can have succeeded after all.
  const landed = last && moment === 'after';
  const expected = landed && !lasting ? undefined : code === 'SQLITE_FULL' ? 'full' : 'unavailable';
  const reads = await store.snapshot();
  const again = lasting
    ? await store.commit([put('d', {})]).then(
        () => 'done',
        (error: { code: string }) => error.code,
      )
    : undefined;
  faults.mend();
  await store.commit([put('e', { n: 1 })]);
  await pause(0);
  const content = await contentOf(store);
  await store.close();
  const reopened = openSqliteStore({ path });
  const onDisk = await contentOf(reopened);
  await reopened.close();
  const revisions = seen.map(({ revision }) => revision);
  const wanted = landed ? [2, 3] : [2];
  const right =
    failure === expected &&
    (expected === undefined || reads.revision === before.revision) &&
    (again === undefined || again === (code === 'SQLITE_FULL' ? 'full' : 'unavailable'));
  t.ok(right, `${name}: refused with its cause, reads go on (${failure}, ${again})`);
  t.same(revisions, wanted, `${name}: watchers see every commit once`);
  t.same(onDisk, content, `${name}: file and memory agree`);
}

t.test('a store whose file may not grow, and may again', async (t) => {
  const path = join(folderOf(t), 'store.db');
  let limit: (pages: number) => void = () => undefined;
  const open = (file: string) => {
    const database = openLibsql(file);
    limit = (pages) => void database.prepare(`PRAGMA max_page_count = ${pages}`).get();
    return database;
  };
  const store = openSqliteStore({ path, open });
  await store.commit([put('a', { n: 1 })]);
  limit(1);
  const large = put('big', { text: 'x'.repeat(50_000) });
  for (const _ of [1, 2]) {
    await t.rejects(store.commit([large]), { code: 'full', remedy: /free space/ });
    t.equal((await store.snapshot()).revision, 1, 'reads go on');
  }
  limit(1_000_000);
  t.equal(await store.commit([large]), 2, 'and so do writes once there is room');
  await store.close();
});

const skipMount = process.getuid?.() === 0 ? false : 'mounting a file system needs root';

t.test('a disk that is really full', { skip: skipMount }, async (t) => {
  const disk = mkdtempSync(join(tmpdir(), 'culvert-disk-'));
  t.teardown(() => {
    spawnSync('umount', ['--lazy', disk]);
    rmSync(disk, { recursive: true, force: true });
  });
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=400k', 'none', disk]);
  if (mounted.status !== 0) throw new Error(`mount failed: ${mounted.stderr}`);
  const path = join(disk, 'store.db');
  const store = openSqliteStore({ path, quietAfter: 60_000 });
  await store.commit([put('a', { n: 1 })]);
  const filler = join(disk, 'filler');
  const handle = openSync(filler, 'w');
  t.throws(
    () => {
      for (;;) writeSync(handle, Buffer.alloc(4096));
    },
    { code: 'ENOSPC' },
  );
  for (let n = 0; n < 3; n++) {
    await t.rejects(store.commit([put('a', { text: 'y'.repeat(20_000) })]), { code: 'full' });
    t.same((await store.snapshot()).get('thing', 'a')?.value, { n: 1 });
  }
  closeSync(handle);
  rmSync(filler);
  t.equal(await store.commit([put('a', { n: 2 })]), 2);
  await store.close();
  const again = openSqliteStore({ path });
  t.same((await again.snapshot()).get('thing', 'a')?.value, { n: 2 });
  await again.close();
});

t.test('a damaged page is found at the start', async (t) => {
  const path = join(folderOf(t), 'store.db');
  const store = openSqliteStore({ path });
  for (let n = 0; n < 50; n++) await store.commit([put(`t${n}`, { text: 'z'.repeat(500) })]);
  await store.close();
  const octets = readFileSync(path);
  octets.fill(0xa5, 4096 * 3, 4096 * 3 + 24);
  writeFileSync(path, octets);
  t.throws(() => openSqliteStore({ path }), {
    code: 'damaged',
    message: /is damaged: /,
    remedy: /culvert restore/,
  });
});

t.test('a plain copy of a quiet store is whole', async (t) => {
  const folder = folderOf(t);
  const path = join(folder, 'store.db');
  const store = openSqliteStore({ path, quietAfter: 20 });
  await store.commit([put('a', { n: 1 })]);
  while (readFileSync(`${path}-wal`).length > 0) await pause(10);
  copyFileSync(path, join(folder, 'copy.db'));
  const copy = openSqliteStore({ path: join(folder, 'copy.db') });
  t.same((await copy.snapshot()).get('thing', 'a')?.value, { n: 1 });
  await copy.close();
  await store.close();
});
