import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { EtcdClient } from '../../src/store/etcd/client.js';
import { openEtcdStore } from '../../src/store/etcd/etcd-store.js';
import { openSqliteStore } from '../../src/store/sqlite-store.js';
import type { Commit, Store } from '../../src/store/store.js';
import { EtcdLab, skipWithoutEtcd } from '../helpers/etcd-lab.js';
import { openMemoryStore } from '../helpers/memory-store.js';

type Open = (folder: string) => Store | Promise<Store>;

interface Engine {
  readonly skip?: string | false;
  /** Makes what all stores of the test share. */
  begin(t: Test): Promise<Open>;
}

const secretFields = { door: ['key'] };

/** What every engine of the store has to do; a further engine joins by one more line here. */
const ENGINES: Readonly<Record<string, Engine>> = {
  memory: { begin: async () => () => openMemoryStore() },
  sqlite: {
    begin: async () => (folder) => openSqliteStore({ path: join(folder, 'store.db'), secretFields }),
  },
  etcd: {
    skip: skipWithoutEtcd(),
    begin: async (t) => {
      const lab = await (await EtcdLab.open(t)).ready();
      let count = 0;
      return () => {
        const cluster = `c${count++}`;
        return openEtcdStore({ kv: new EtcdClient(lab.place(cluster, count % 3)), cluster, secretFields });
      };
    },
  },
};

const put = (id: string, value: unknown, expect?: number) =>
  ({ type: 'put', kind: 'door', id, value, ...(expect === undefined ? {} : { expect }) }) as const;
const remove = (id: string, expect?: number) =>
  ({ type: 'delete', kind: 'door', id, ...(expect === undefined ? {} : { expect }) }) as const;

for (const [name, { skip = false, begin }] of Object.entries(ENGINES)) {
  t.test(name, { skip }, async (t) => {
    const open = await begin(t);
    const folder = mkdtempSync(join(tmpdir(), 'culvert-store-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    let count = 0;
    const fresh = async (t: Test): Promise<Store> => {
      const own = join(folder, String(count++));
      rmSync(own, { recursive: true, force: true });
      const store = await open(mkdtempSync(`${own}-`));
      t.teardown(() => store.close());
      return store;
    };

    t.test('objects have the revisions of the commits that made and changed them', async (t) => {
      const store = await fresh(t);
      t.equal((await store.snapshot()).revision, 0);
      t.equal(await store.commit([put('a', { open: true, key: 'k1' }), put('b', { open: false })]), 1);
      t.equal(await store.commit([put('a', { open: false, key: 'k2' })]), 2);
      const now = await store.snapshot();
      t.equal(now.revision, 2);
      t.same(now.get('door', 'a'), {
        kind: 'door',
        id: 'a',
        created: 1,
        revision: 2,
        value: { open: false, key: 'k2' },
      });
      t.equal(now.get('door', 'c'), undefined);
      t.equal(now.get('window', 'a'), undefined, 'ids are unique within a kind');
      t.same(
        now.list('door').map(({ id }) => id),
        ['a', 'b'],
        'in the order in which they were made',
      );
      t.same(now.list('window'), []);
      await store.commit([remove('a'), put('c', {})]);
      t.same(
        (await store.snapshot()).list('door').map(({ id }) => id),
        ['b', 'c'],
      );
    });

    t.test('a snapshot is of one moment, and nobody can change it', async (t) => {
      const store = await fresh(t);
      const given = { list: [1] };
      await store.commit([put('a', given)]);
      given.list.push(2);
      const before = await store.snapshot();
      t.same(before.get<typeof given>('door', 'a')?.value, { list: [1] }, 'it keeps a copy');
      t.throws(() => before.get<typeof given>('door', 'a')?.value.list.push(3), TypeError);
      await store.commit([put('a', { list: [] }), put('b', {})]);
      t.same(before.get<typeof given>('door', 'a')?.value, { list: [1] });
      t.equal(before.list('door').length, 1);
    });

    t.test('compare-and-set', async (t) => {
      const store = await fresh(t);
      await store.commit([put('a', { n: 1 }, 0)]);
      await t.rejects(store.commit([put('a', { n: 2 }, 0)]), { code: 'conflict' }, 'it is there already');
      await store.commit([put('a', { n: 2 }, 1)]);
      await t.rejects(store.commit([put('a', { n: 3 }, 1)]), { code: 'conflict' }, 'it was changed');
      await t.rejects(store.commit([remove('a', 1)]), { code: 'conflict' });
      await t.rejects(store.commit([remove('z', 1)]), { code: 'conflict' });
      await store.commit([remove('z')]);
      await t.rejects(
        store.commit([put('c', {})], { at: 1 }),
        { code: 'conflict' },
        'something was committed',
      );
      await store.commit([put('c', {})], { at: (await store.snapshot()).revision });
      await store.commit([remove('a', 2)]);
      t.equal((await store.snapshot()).get('door', 'a'), undefined);
    });

    t.test('all changes of a commit are made, or none', async (t) => {
      const store = await fresh(t);
      await store.commit([put('a', { n: 1 })]);
      await t.rejects(store.commit([put('b', {}), remove('a'), put('c', {}, 7)]), { code: 'conflict' });
      const now = await store.snapshot();
      t.equal(now.revision, 1);
      t.same(
        now.list('door').map(({ id }) => id),
        ['a'],
      );
    });

    t.test('50 writers that compare lose nothing', async (t) => {
      const store = await fresh(t);
      await store.commit([put('sum', { n: 0 })]);
      const add = async (): Promise<void> => {
        for (;;) {
          const object = (await store.snapshot()).get<{ n: number }>('door', 'sum')!;
          await turn();
          try {
            await store.commit([put('sum', { n: object.value.n + 1 }, object.revision)]);
            return;
          } catch (error) {
            if ((error as { code?: string }).code !== 'conflict') throw error;
          }
        }
      };
      await Promise.all(Array.from({ length: 50 }, add));
      t.same((await store.snapshot()).get('door', 'sum')?.value, { n: 50 });
    });

    t.test('a watch hears every commit once and in order', async (t) => {
      const store = await fresh(t);
      await store.commit([put('a', { n: 1 })]);
      await store.commit([put('a', { n: 2 })]);
      const heard: Commit[] = [];
      const stop = store.watch(1, (commit) => heard.push(commit));
      t.same(heard, [], 'not from within');
      await store.commit([put('b', {}), remove('a')]);
      const late: number[] = [];
      store.watch(0, ({ revision }) => late.push(revision));
      await store.commit([put('c', {})]);
      await turn();
      await turn();
      t.same(
        heard.map(({ revision }) => revision),
        [2, 3, 4],
      );
      t.same(late, [1, 2, 3, 4]);
      t.same(
        heard[1]?.events.map((event) => [event.type, event.before?.id]),
        [
          ['put', undefined],
          ['delete', 'a'],
        ],
      );
      t.match(heard[0]?.events[0], { object: { value: { n: 2 } }, before: { value: { n: 1 } } });
      stop();
      await store.commit([put('d', {})]);
      await turn();
      t.equal(heard.length, 3, 'it is over');
    });

    t.test('objects from a backup have their old places, and the store a revision above them', async (t) => {
      const store = await fresh(t);
      const heard: number[] = [];
      store.watch(0, ({ revision }) => heard.push(revision));
      await store.commit([put('c', {})]);
      const old = (id: string, created: number) => ({ ...put(id, { id }), created });
      const ids = async () => (await store.snapshot()).list('door').map(({ id }) => id);
      t.equal(await store.commit([old('b', 40), old('a', 7), old('c', 41)], { above: 41 }), 42);
      t.same(await ids(), ['a', 'b', 'c']);
      t.equal((await store.snapshot()).get('door', 'c')?.created, 41);
      await store.commit([put('0', {}), put('a', {})], { above: 3 });
      t.same(await ids(), ['a', 'b', 'c', '0'], 'what is new is younger than all of them');
      t.match((await store.snapshot()).get('door', 'a'), { created: 7, revision: 43 });
      await turn();
      await turn();
      t.same(heard, [1, 42, 43], 'a watch goes on over the leap');
      const late: number[] = [];
      store.watch(20, ({ revision }) => late.push(revision));
      await turn();
      await turn();
      t.same(late, [42, 43], 'and may begin within it');
    });

    t.test('a watch from long ago is refused rather than incomplete', async (t) => {
      const store = await fresh(t);
      for (let n = 0; n < 2002; n++) await store.commit([put('a', { n })]);
      t.throws(() => store.watch(0, () => undefined), { code: 'compacted' });
      t.doesNotThrow(() => store.watch(2002, () => undefined));
    });

    t.test('a commit may be large, and so may its note', async (t) => {
      const store = await fresh(t);
      const heard: Commit[] = [];
      store.watch(0, (commit) => heard.push(commit));
      const many = Array.from({ length: 1000 }, (_, n) => put(`d${n}`, { n, text: 'ä'.repeat(1000) }, 0));
      const note = { changes: many.map(({ value }) => value) };
      t.equal(await store.commit([...many, remove('d7')], { note }), 1);
      t.equal(await store.commit([put('d8', { n: 8 }, 1)], { note: 'small' }), 2);
      const doors = (await store.snapshot()).list<{ n: number }>('door');
      t.same(
        doors.map(({ id }) => id),
        many.map(({ id }) => id).filter((id) => id !== 'd7'),
      );
      t.match(doors[7], { id: 'd8', created: 1, revision: 2, value: { n: 8 } });
      t.same(await store.notes(0, 9), [
        { revision: 1, note },
        { revision: 2, note: 'small' },
      ]);
      await turn();
      await turn();
      t.same(
        heard.map(({ revision }) => revision),
        [1, 2],
      );
    });

    t.test('notes go with their commits', async (t) => {
      const store = await fresh(t);
      await store.commit([put('a', {})], { note: { who: 'ann' } });
      await store.commit([put('a', {})]);
      await store.commit([put('a', {})], { note: { who: 'bob' } });
      await t.rejects(store.commit([put('a', {}, 1)], { note: { who: 'eve' } }));
      t.same(await store.notes(0, 10), [
        { revision: 1, note: { who: 'ann' } },
        { revision: 3, note: { who: 'bob' } },
      ]);
      t.same(await store.notes(1, 10), [{ revision: 3, note: { who: 'bob' } }]);
      t.same(await store.notes(0, 1), [{ revision: 1, note: { who: 'ann' } }]);
    });

    t.test('whether it can be written is no commit', async (t) => {
      const store = await fresh(t);
      await store.commit([{ type: 'put', kind: 'thing', id: 'a', value: {} }], { note: 'one' });
      const seen: number[] = [];
      store.watch(0, ({ revision }) => seen.push(revision));
      await store.probe();
      await store.probe();
      t.equal((await store.snapshot()).revision, 1);
      t.equal((await store.notes(0, 10)).length, 1);
      t.equal(await store.commit([]), 2, 'no revision is skipped');
      await new Promise((resolve) => setTimeout(resolve, 0));
      t.same(seen, [1, 2]);
    });

    t.test('behind its end it says so', async (t) => {
      const store = await fresh(t);
      await store.close();
      await store.close();
      await t.rejects(store.snapshot(), { code: 'closed' });
      await t.rejects(store.commit([]), { code: 'closed' });
      await t.rejects(store.notes(0, 1), { code: 'closed' });
      await t.rejects(store.probe(), { code: 'closed' });
      t.throws(() => store.watch(0, () => undefined), { code: 'closed' });
    });
  });
}
