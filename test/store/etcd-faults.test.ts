import { execFileSync } from 'node:child_process';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import { EtcdClient } from '../../src/store/etcd/client.js';
import { type EtcdReport, openEtcdStore } from '../../src/store/etcd/etcd-store.js';
import type { Commit, Store } from '../../src/store/store.js';
import { contentOf } from '../../src/store/store-content.js';
import { EtcdLab, type EtcdMember, skipWithoutEtcd } from '../helpers/etcd-lab.js';
import { enterOwnNamespace } from '../helpers/own-namespace.js';
import { skipWithoutProgram, skipWithoutRoot } from '../helpers/prerequisites.js';
import { SeededRandom } from '../helpers/seeded-random.js';

/*
 * Three hosts write into a cluster of three members, which are killed, paused and cut off at random, sometimes two at once
 * so that there is no majority: no commit is lost and none is made twice. `npm run test:etcd` makes 10,000 commits.
 */

const COMMITS = Number(process.env.CULVERT_ETCD_COMMITS ?? 600);
const FAULTS = Math.max(8, COMMITS / 100);
const SEED = Number(process.env.CULVERT_ETCD_SEED ?? Date.now() % 100_000);
const HOSTS = 3;
const CLUSTER = 'faults';
const TABLE = 'inet culvert_etcd_faults';

const skip = skipWithoutRoot() || skipWithoutEtcd() || skipWithoutProgram('nft') || skipWithoutProgram('ip');

interface Host {
  readonly store: Store;
  readonly heard: number[];
}

interface Fates {
  readonly done: Set<string>;
  readonly uncertain: Set<string>;
  readonly refused: Set<string>;
}

const nft = (rules: string): void => void execFileSync('nft', ['-f', '-'], { input: rules });

/** Everything that a member sends or is sent on its own ports is dropped. */
function cut({ user, ports }: EtcdMember): void {
  nft(
    `add rule ${TABLE} out meta skuid ${user} drop\n` +
      ports.map((port) => `add rule ${TABLE} out tcp dport ${port} drop\n`).join(''),
  );
}

function mendCuts(): void {
  nft(`flush chain ${TABLE} out\n`);
}

/** One fault, its time, and its end. */
async function fault(member: EtcdMember, random: SeededRandom): Promise<string> {
  const lasting = 300 + random.below(2700);
  switch (random.below(3)) {
    case 0:
      await member.kill();
      await pause(lasting);
      member.start();
      return 'kill';
    case 1:
      member.signal('SIGSTOP');
      await pause(lasting);
      member.signal('SIGCONT');
      return 'pause';
    default:
      cut(member);
      await pause(lasting);
      mendCuts();
      return 'cut';
  }
}

/** Adds one to a counter until enough was added, whatever happens. */
async function write(host: Host, name: string, enough: () => boolean, fates: Fates): Promise<void> {
  for (let n = 0; !enough(); n++) {
    await pause(Math.random() * 8);
    const id = `${name}-${n}`;
    const sum = (await host.store.snapshot()).get<{ n: number }>('counter', 'sum');
    try {
      await host.store.commit(
        [
          {
            type: 'put',
            kind: 'counter',
            id: 'sum',
            value: { n: (sum?.value.n ?? 0) + 1 },
            expect: sum?.revision ?? 0,
          },
          { type: 'put', kind: 'write', id: `${name}-${n % 50}`, value: { id } },
        ],
        { note: id },
      );
      fates.done.add(id);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === 'uncertain') fates.uncertain.add(id);
      else if (code === 'conflict') fates.refused.add(id);
      else if (code === 'unavailable') {
        fates.refused.add(id);
        await pause(200);
      } else throw error;
    }
  }
}

t.test('etcd members that are killed, paused and cut off', { skip, timeout: 3_600_000 }, async (t) => {
  enterOwnNamespace();
  execFileSync('ip', ['link', 'set', 'lo', 'up']);
  nft(`add table ${TABLE}\nadd chain ${TABLE} out { type filter hook output priority 0; }\n`);
  const random = new SeededRandom(SEED);
  const lab = await (await EtcdLab.open(t, { ownUsers: true })).ready();
  const reports: Record<string, number> = {};
  const report = (event: EtcdReport): void => {
    const name = event.kind === 'resynced' ? `resynced (${event.cause})` : event.kind;
    reports[name] = (reports[name] ?? 0) + 1;
  };
  // The last one gives up sooner than a majority comes back, and has to live with not knowing.
  const open = (first: number) =>
    openEtcdStore({
      ...{ kv: new EtcdClient(lab.place(CLUSTER, first)), cluster: CLUSTER, report },
      patience: first === 2 ? 500 : 10_000,
    });
  const hosts: Host[] = [];
  for (let n = 0; n < HOSTS; n++) {
    const store = await open(n);
    t.teardown(() => store.close());
    const heard: number[] = [];
    store.watch(0, ({ revision }: Commit) => void heard.push(revision));
    hosts.push({ store, heard });
  }
  const fates: Fates = { done: new Set(), uncertain: new Set(), refused: new Set() };
  const faults: Record<string, number> = {};
  let count = 0;
  const enough = (): boolean => fates.done.size >= COMMITS && count >= FAULTS;
  const nemesis = async (): Promise<void> => {
    while (!enough()) {
      await pause(100 + random.below(600));
      const victims = [...lab.members]
        .sort(() => random.fraction() - 0.5)
        .slice(0, random.below(4) === 0 ? 2 : 1);
      for (const kind of await Promise.all(victims.map((member) => fault(member, random)))) {
        faults[kind] = (faults[kind] ?? 0) + 1;
        count++;
      }
    }
  };
  await Promise.all([nemesis(), ...hosts.map((host, n) => write(host, `h${n}`, enough, fates))]);
  await lab.ready();
  // Nothing that was under way arrives any more.
  await pause(3000);

  const fresh = await open(0);
  t.teardown(() => fresh.close());
  const state = await fresh.snapshot();
  const { notes } = await contentOf(fresh);
  const made = notes.map(({ note }) => note as string);
  t.comment(
    `seed ${SEED}: ${made.length} commits, ${fates.uncertain.size} uncertain, ${fates.refused.size} refused`,
  );
  t.comment(`faults ${JSON.stringify(faults)}, hosts ${JSON.stringify(reports)}`);
  const there = new Set(made);
  t.equal(there.size, made.length, 'no commit was made twice');
  t.same(
    notes.map(({ revision }) => revision),
    made.map((_, index) => index + 1),
    'revisions follow each other',
  );
  t.same(
    [...fates.done].filter((id) => !there.has(id)),
    [],
    'no acknowledged commit is lost',
  );
  t.same(
    [...fates.refused].filter((id) => there.has(id)),
    [],
    'what was refused was not made',
  );
  t.same(
    made.filter((id) => !fates.done.has(id) && !fates.uncertain.has(id)),
    [],
    'nothing else is there',
  );
  t.same(state.get('counter', 'sum')?.value, { n: made.length }, 'each of them counts once');
  for (const [index, { store, heard }] of hosts.entries()) {
    const own = await store.snapshot();
    t.equal(own.revision, made.length, `host ${index} has all of them`);
    t.same(own.list('write'), state.list('write'));
    await pause(10);
    t.equal(heard.at(-1), made.length, 'its watchers have heard of the last one');
    t.ok(
      heard.every((revision, at) => at === 0 || revision > heard[at - 1]!),
      'in order',
    );
  }
});
