import t, { type Test } from 'tap';
import type { EtcdReport } from '../../src/store/etcd/etcd-store.js';
import { openEtcdStore } from '../../src/store/etcd/etcd-store.js';
import { createSealer } from '../../src/store/sealing.js';
import type { Commit, Snapshot, Store, StoredObject } from '../../src/store/store.js';
import { SecretKey } from '../../src/util/secret.js';
import { ModelEtcd, type ModelFaults, ModelKv, NO_FAULTS } from '../helpers/model-etcd.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import { VirtualTime } from '../helpers/virtual-time.js';

/*
 * The store against a model of etcd in virtual time: lost answers, writes that arrive late or twice, reads from the past,
 * watches that lose a transaction, end, or say nothing any more. What etcd itself does is tested in etcd.test.ts.
 */

const SEEDS = Number(process.env.CULVERT_ETCD_SEEDS ?? 60);
const FIRST_SEED = Number(process.env.CULVERT_ETCD_SEED ?? 1);
const HOSTS = 3;
const COMMITS = 25;

const secretFields = { door: ['key'] };
const sealer = createSealer(new SecretKey(new Uint8Array(32).fill(7)));

interface Host {
  readonly kv: ModelKv;
  readonly store: Store;
  readonly reports: EtcdReport[];
  /** What a watcher makes of the commits that it hears. */
  readonly shadow: Map<string, StoredObject>;
  readonly heard: number[];
}

class World {
  readonly time = new VirtualTime();
  readonly etcd = new ModelEtcd();
  readonly random: SeededRandom;
  readonly hosts: Host[] = [];

  constructor(seed: number) {
    this.random = new SeededRandom(seed);
  }

  async host(): Promise<Host> {
    const kv = new ModelKv(this.etcd, this.time, this.random);
    const reports: EtcdReport[] = [];
    const store = await openEtcdStore({
      ...{ kv, cluster: 'model', secretFields, sealer, timers: this.time },
      report: (event) => void reports.push(event),
    });
    const { revision } = await store.snapshot();
    const shadow = new Map<string, StoredObject>();
    const heard: number[] = [];
    for (const object of (await store.snapshot()).list('door')) shadow.set(object.id, object);
    store.watch(revision, (commit) => {
      heard.push(commit.revision);
      follow(shadow, commit);
    });
    const host = { kv, store, reports, shadow, heard };
    this.hosts.push(host);
    return host;
  }

  /** Runs it in virtual time. */
  run<T>(work: () => Promise<T>): Promise<T> {
    return this.time.until(work());
  }

  /** Everything works again, and time has passed. */
  async mend(): Promise<void> {
    for (const { kv } of this.hosts) {
      kv.faults = NO_FAULTS;
      kv.cutUntil = 0;
    }
    // A write that is under way may arrive for a while, and a check finds what the watch has lost.
    await this.time.wait(20_000);
    for (const { store } of this.hosts) await store.snapshot();
    await this.time.wait(100);
  }

  async close(): Promise<void> {
    for (const { store } of this.hosts) await store.close();
  }
}

function follow(shadow: Map<string, StoredObject>, { events }: Commit): void {
  for (const event of events) {
    if (event.type === 'put') shadow.set(event.object.id, event.object);
    else shadow.delete(event.before.id);
  }
}

const put = (id: string, value: unknown, expect?: number) =>
  ({ type: 'put', kind: 'door', id, value, ...(expect === undefined ? {} : { expect }) }) as const;

/** Those of one commit have no order of their own. */
function sorted(objects: Iterable<StoredObject>): StoredObject[] {
  return [...objects].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function byId(snapshot: Snapshot): StoredObject[] {
  return sorted(snapshot.list('door'));
}

/** The commits in etcd, oldest first: their revision and the id in their note. */
function committed({
  log,
}: ModelEtcd): { n: number; prev: number; commit: string; note: string | undefined }[] {
  return log.flatMap(({ events }) => {
    const values = events.flatMap((event) => (event.type === 'put' ? [event.entry] : []));
    const head = values.find(({ key }) => key.endsWith('/s/head'));
    const record = values.find(({ key }) => /\/s\/n\/[0-9]+$/.test(key));
    // The head is put again, without a record, when a large commit was folded.
    if (head === undefined || record === undefined) return [];
    const { n, prev, commit } = JSON.parse(head.value);
    return [{ n, prev, commit, note: JSON.parse(record.value).note }];
  });
}

/** Writes of one host: each its own object and a counter, sometimes so many objects that they have to be staged. */
async function writer(world: World, host: Host, name: string, fates: Map<string, string>): Promise<void> {
  for (let n = 0; n < COMMITS; n++) {
    const id = `${name}-${n}`;
    const { store } = host;
    try {
      const sum = (await store.snapshot()).get<{ n: number }>('door', 'sum');
      const many = world.random.below(12) === 0 ? 150 : 0;
      const more = Array.from({ length: many }, (_, at) => put(`${name}-many-${at}`, { n, key: `k${n}` }));
      fates.set(id, 'open');
      await store.commit(
        [
          put('sum', { n: (sum?.value.n ?? 0) + 1 }, sum?.revision ?? 0),
          put(id, { n, key: `secret-${id}` }),
          ...more,
        ],
        { note: id },
      );
      fates.set(id, 'done');
    } catch (error) {
      fates.set(id, (error as { code?: string }).code ?? String(error));
    }
    await world.time.wait(world.random.below(400));
  }
}

function randomFaults(random: SeededRandom): ModelFaults {
  const rate = (most: number): number => (random.below(2) === 0 ? 0 : random.fraction() * most);
  return {
    ...{ refused: rate(0.3), unknown: rate(1), doubled: rate(0.3), stale: rate(0.3) },
    ...{ gap: rate(0.2), ended: rate(0.2), mute: rate(0.1) },
  };
}

async function fateOfCommits(t: Test, seed: number): Promise<Map<string, string>> {
  const world = new World(seed);
  const fates = new Map<string, string>();
  await world.run(async () => {
    for (let n = 0; n < HOSTS; n++) await world.host();
    for (const { kv } of world.hosts) kv.faults = randomFaults(world.random);
    let isOver = false;
    const nemesis = (): void => {
      if (isOver) return;
      const host = world.hosts[world.random.below(HOSTS)]!;
      const fault = world.random.below(3);
      if (fault === 0) host.kv.cutUntil = world.time.now() + world.random.below(15_000);
      else if (fault === 1) world.etcd.compact(world.etcd.revision - world.random.below(3));
      else host.kv.faults = randomFaults(world.random);
      world.time.after(world.random.below(3000), nemesis);
    };
    nemesis();
    await Promise.all(world.hosts.map((host, n) => writer(world, host, `h${n}`, fates)));
    isOver = true;
    await world.mend();
  });
  const commits = committed(world.etcd);
  const notes = commits.map(({ note }) => note);
  const [first] = world.hosts;
  const state = await world.run(() => first!.store.snapshot());
  const wrong: string[] = [];
  const expectThat = (holds: boolean, what: string): void => void (holds || wrong.push(what));
  expectThat(new Set(notes).size === notes.length, 'a commit was made twice');
  expectThat(
    commits.every(({ n, prev }, at) => n === at + 1 && prev === at),
    'revisions do not follow each other',
  );
  for (const [id, fate] of fates) {
    const isMade = notes.includes(id);
    if (fate === 'done') expectThat(isMade, `${id} was acknowledged and is not there`);
    else if (fate !== 'uncertain') expectThat(!isMade, `${id} was refused (${fate}) and is there`);
    const key = state.get<{ key: string }>('door', id)?.value.key;
    expectThat(isMade === (key === `secret-${id}`), `${id} has the key ${key}`);
  }
  expectThat(
    state.get<{ n: number }>('door', 'sum')?.value.n === notes.length || notes.length === 0,
    'the sum is wrong',
  );
  for (const [at, { store, shadow, heard }] of world.hosts.entries()) {
    const own = await world.run(() => store.snapshot());
    expectThat(own.revision === commits.length, `host ${at} is at ${own.revision} of ${commits.length}`);
    t.same(byId(own), byId(state), `seed ${seed}: host ${at} has the same objects`);
    t.same(sorted(shadow.values()), byId(own), `seed ${seed}: so has its watcher`);
    expectThat(
      heard.every((revision, index) => index === 0 || revision > heard[index - 1]!),
      `the watcher of host ${at} heard ${heard}`,
    );
  }
  t.same(wrong, [], `seed ${seed}`);
  t.notMatch(JSON.stringify(world.etcd.log), /secret-h/, 'secrets are sealed');
  await world.close();
  return fates;
}

t.test('whatever is lost, late or doubled: no commit is lost or made twice', async (t) => {
  const seen = new Map<string, number>();
  for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed++) {
    for (const fate of (await fateOfCommits(t, seed)).values()) seen.set(fate, (seen.get(fate) ?? 0) + 1);
    if (!t.passing()) break;
  }
  t.comment(JSON.stringify(Object.fromEntries(seen)));
  for (const fate of ['done', 'unavailable', 'uncertain', 'conflict']) {
    t.ok((seen.get(fate) ?? 0) > 0, `some were ${fate}`);
  }
});

t.test('a host reads what another one has just written', async (t) => {
  const world = new World(1);
  await world.run(async () => {
    const [a, b] = [await world.host(), await world.host()];
    for (let n = 1; n < 50; n++) {
      t.equal(await (n % 2 === 0 ? a : b).store.commit([put('x', { n })]), n);
      t.same((await (n % 2 === 0 ? b : a).store.snapshot()).get('door', 'x')?.value, { n });
    }
    t.same([a.reports, b.reports], [[], []], 'without reading everything again');
    await world.close();
  });
});

t.test('without etcd reads go on, and a write says at once that it was not made', async (t) => {
  const world = new World(2);
  await world.run(async () => {
    const { store, kv, reports } = await world.host();
    await store.commit([put('x', { n: 1 })]);
    kv.faults = { ...NO_FAULTS, refused: 1 };
    t.same((await store.snapshot()).get('door', 'x')?.value, { n: 1 });
    const began = world.time.now();
    await t.rejects(store.commit([put('x', { n: 2 })]), { code: 'unavailable' });
    await t.rejects(store.probe(), { code: 'unavailable' });
    t.ok(world.time.now() - began < 1000, 'those who wait in line do not wait for it each');
    t.match(reports, [{ kind: 'lost' }]);
    kv.faults = NO_FAULTS;
    await world.time.wait(3000);
    t.match(reports.slice(1), [{ kind: 'found' }]);
    t.equal(await store.commit([put('x', { n: 2 })]), 2);
    await world.close();
  });
});

t.test('an outcome that cannot be known is reported as such, and shows later', async (t) => {
  for (let seed = 1; seed < 20; seed++) {
    const world = new World(seed);
    await world.run(async () => {
      const { store, kv, reports, shadow } = await world.host();
      await store.commit([put('x', { n: 1 })]);
      kv.faults = { ...NO_FAULTS, unknown: 1 };
      await t.rejects(store.commit([put('x', { n: 2 })]), { code: 'uncertain' });
      t.match(
        reports.map(({ kind }) => kind).filter((kind) => kind === 'uncertain'),
        ['uncertain'],
      );
      await world.mend();
      const now = await store.snapshot();
      const commits = committed(world.etcd).length;
      t.equal(now.revision, commits);
      t.same(now.get('door', 'x')?.value, { n: commits });
      t.same(shadow.get('x')?.value, { n: commits }, 'the watcher knows, too');
      t.equal(await store.commit([put('y', {})]), commits + 1);
      await world.close();
    });
  }
});

t.test('a commit that is too large for a transaction', async (t) => {
  const world = new World(3);
  await world.run(async () => {
    const [a, b] = [await world.host(), await world.host()];
    const many = Array.from({ length: 1500 }, (_, n) => put(`d${n}`, { n, key: 'k'.repeat(900) }));
    const note = { who: 'ann', long: 'ä😀'.repeat(400_000) };
    t.equal(await a.store.commit(many, { note }), 1);
    const expected = (await a.store.snapshot()).list('door');
    t.equal(expected.length, 1500);
    t.same((await b.store.snapshot()).list('door'), expected, 'while it is staged');
    const c = await world.host();
    t.same((await c.store.snapshot()).list('door').length, 1500, 'by reading it, too');
    await world.time.wait(2000);
    t.notMatch(JSON.stringify(world.etcd.read({ from: 'culvert/model/s/head' })), 'staged', 'it was folded');
    t.same(world.etcd.read({ from: 'culvert/model/s/x/', to: 'culvert/model/s/x0' }).entries, []);
    const d = await world.host();
    t.same(byId(await d.store.snapshot()), sorted(expected));
    t.same(await d.store.notes(0, 9), [{ revision: 1, note }]);
    const removed = Array.from(
      { length: 1400 },
      (_, n) => ({ type: 'delete', kind: 'door', id: `d${n}` }) as const,
    );
    t.equal(await b.store.commit([...removed, put('d1499', { n: 0 })]), 2);
    for (const { store } of [a, b, c, d]) {
      const now = await store.snapshot();
      t.equal(now.list('door').length, 100);
      t.match(now.get('door', 'd1499'), { created: 1, revision: 2, value: { n: 0 } });
    }
    t.same(
      [a, b, c, d].map(({ reports }) => reports),
      [[], [], [], []],
    );
    await world.close();
  });
});

t.test('a host that dies before it has folded its commit leaves it to the others', async (t) => {
  const world = new World(4);
  await world.run(async () => {
    const [a, b] = [await world.host(), await world.host()];
    const many = Array.from({ length: 300 }, (_, n) => put(`d${n}`, { n }));
    await a.store.commit(many);
    await a.store.close();
    t.match(JSON.stringify(world.etcd.read({ from: 'culvert/model/s/head' })), 'staged');
    t.equal(await b.store.commit([put('d0', { n: 'new' })]), 2);
    const c = await world.host();
    t.same((await c.store.snapshot()).get('door', 'd0')?.value, { n: 'new' });
    t.equal((await c.store.snapshot()).list('door').length, 300);
    await world.close();
  });
});

t.test('etcd that was restored from an older snapshot is followed, and revisions go on rising', async (t) => {
  const world = new World(5);
  await world.run(async () => {
    const [a, b] = [await world.host(), await world.host()];
    await a.store.commit([put('x', { n: 1 })]);
    const snapshot = world.etcd.revision;
    for (let n = 2; n < 10; n++) await a.store.commit([put('x', { n }), put(`new-${n}`, {})]);
    world.etcd.restore(snapshot);
    await world.time.wait(10_000);
    for (const { store, shadow, reports } of [a, b]) {
      const now = await store.snapshot();
      t.same(
        now.list('door').map(({ id }) => id),
        ['x'],
      );
      t.same(now.get('door', 'x')?.value, { n: 1 });
      t.ok(now.revision > 9, `at ${now.revision}`);
      t.same([...shadow.keys()], ['x']);
      t.match(reports.at(-1), { kind: /resynced|found/ });
    }
    const next = await b.store.commit([put('y', {})]);
    t.equal((await a.store.snapshot()).revision, next);
    await world.close();
  });
});

t.test('an etcd that has lost the store ends no gateway', async (t) => {
  const world = new World(6);
  await world.run(async () => {
    const { store, shadow } = await world.host();
    await store.commit([put('x', { n: 1 })]);
    world.etcd.restore(1);
    await world.time.wait(5000);
    t.same((await store.snapshot()).get('door', 'x')?.value, { n: 1 });
    t.same([...shadow.keys()], ['x']);
    await t.rejects(store.commit([put('y', {})]), {
      code: 'unavailable',
      message: /no longer has the store/,
    });
    await world.close();
  });
});

t.test('another sealing key, a newer format, and a newer program that takes the store over', async (t) => {
  const world = new World(7);
  await world.run(async () => {
    const { store } = await world.host();
    await store.commit([put('x', { n: 1, key: 'k' })]);
    const open = (more: object) =>
      openEtcdStore({
        kv: new ModelKv(world.etcd, world.time, world.random),
        ...{ cluster: 'model', secretFields, timers: world.time, ...more },
      });
    await t.rejects(open({}), { code: 'sealed' });
    await t.rejects(open({ sealer: createSealer(new SecretKey(new Uint8Array(32).fill(8))) }), {
      code: 'sealed',
    });
    const meta = world.etcd.read({ from: 'culvert/model/s/meta' }).entries[0]!;
    const value = JSON.stringify({ ...JSON.parse(meta.value), format: 99 });
    world.etcd.transact({ conditions: [], changes: [{ type: 'put', key: meta.key, value }] });
    await t.rejects(open({ sealer }), { code: 'newer_schema' });
    await t.rejects(
      store.commit([put('x', {})]),
      { code: 'newer_schema' },
      'nor does one that runs already write',
    );
    t.same((await store.snapshot()).get('door', 'x')?.value, { n: 1, key: 'k' }, 'reads go on');
    await world.close();
  });
});

t.test('only the newest notes are kept', async (t) => {
  const world = new World(8);
  await world.run(async () => {
    const kv = new ModelKv(world.etcd, world.time, world.random);
    const store = await openEtcdStore({ kv, cluster: 'model', maxNotes: 3, timers: world.time });
    for (let n = 1; n <= 9; n++) await store.commit([], { note: n === 8 ? 'x'.repeat(1_000_000) : n });
    t.same(
      (await store.notes(0, 99)).map(({ revision }) => revision),
      [7, 8, 9],
    );
    for (let n = 10; n <= 13; n++) await store.commit([]);
    t.same(await store.notes(0, 99), []);
    t.equal(world.etcd.read({ from: 'culvert/model/s/m/', to: 'culvert/model/s/m0' }).entries.length, 0);
    await store.close();
  });
});
