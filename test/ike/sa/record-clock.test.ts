import t from 'tap';
import { Engine } from '../../../src/ike/engine.js';
import { DEFAULT_LIMITS } from '../../../src/ike/limits.js';
import type { Output } from '../../../src/ike/outputs.js';
import { type SaRecord, wipeRecord } from '../../../src/ike/sa/record.js';
import { shiftRecord } from '../../../src/ike/sa/record-clock.js';
import { isV1Record } from '../../../src/ike/v1/record.js';
import { isV2Record } from '../../../src/ike/v2/record.js';
import { SecretKey } from '../../../src/util/secret.js';
import { type Pair, pair, type SimNode } from '../../helpers/engine-pair.js';
import { SeededRandom } from '../../helpers/seeded-random.js';
import { createToyBackend } from '../../helpers/toy-crypto.js';
import { v1 } from '../../helpers/v1-pair.js';

const toy = createToyBackend();

/** So late that no other number of a record is near: whatever is within `LIFE` of it is a point in time. */
const CLOCK = 712_345_678_901_234;
const LIFE = 1_000_000_000;
const BY = -3_141_592_653;

/** Every number of a plain value, by the path to it. */
function numbersOf(value: unknown, path = ''): (readonly [path: string, number: number])[] {
  if (typeof value === 'number') return [[path, value]];
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return [];
  if (value instanceof SecretKey) return [];
  return Object.entries(value).flatMap(([name, one]) => numbersOf(one, `${path}.${name}`));
}

/** Names without the places in lists, by which the test says what it has seen. */
const named = (path: string): string => path.replace(/\.\d+(?=\.|$)/g, '');

function engineOf(node: SimNode): Engine {
  const random = new SeededRandom(7);
  return new Engine({ crypto: toy, random, limits: DEFAULT_LIMITS, config: node.config });
}

/** What an engine sends and reports, from one of its deadlines to the next, without the times in it. */
function goOn(records: readonly SaRecord[], node: SimNode, now: number): string[] {
  const engine = engineOf(node);
  const { outputs, refused } = engine.adopt(records, now);
  const start = now;
  const log: string[] = refused.map(({ reason }) => reason);
  const note = (list: readonly Output[]): void => {
    for (const output of list) {
      const what = output.kind === 'event' ? output.event.kind : output.kind;
      const octets = output.kind === 'send' ? Buffer.from(output.bytes).toString('hex') : '';
      log.push(`${now - start} ${what} ${octets}`);
    }
  };
  note(outputs);
  for (let step = 0; step < 60; step++) {
    const at = engine.nextDeadline();
    if (at === undefined) break;
    now = Math.max(at, now);
    note(engine.handle({ kind: 'timer' }, now));
  }
  return log;
}

/** A life in which as many kinds of points in time as possible are set, and what it is looked at by. */
function live(version: 1 | 2, look: (pair: Pair) => void): void {
  const lives = { ikeLifetime: 900, childLifetime: 300 };
  const east = { ...lives, local: { cidrs: ['10.1.0.0/24', '10.1.9.0/24'] } };
  const west = { ...lives, local: { cidrs: ['10.2.0.0/24'] } };
  const made = pair(version === 1 ? { east: v1(east), west: v1(west) } : { east, west });
  const { sim } = made;
  sim.now = CLOCK;
  sim.initiate(made.east);
  const looking = (duration: number): void => {
    sim.run(sim.now + duration, () => {
      look(made);
      return false;
    });
  };
  looking(20_000);
  for (const scope of ['children', 'ike'] as const) {
    sim.input(made.east, { kind: 'renew', connection: 'site', scope });
    looking(15_000);
  }
  sim.net.conditions = { latency: [5, 5], loss: 1, duplicate: 0 };
  looking(45_000);
  sim.net.conditions = { latency: [5, 5], loss: 0, duplicate: 0 };
  looking(20_000);
  sim.input(made.west, { kind: 'terminate', connection: 'site' });
  looking(2000);
}

/** Those that every life has; what else is set depends on the moment. */
const ALWAYS = {
  1: [
    '.ike.establishedAt .ike.lastInbound .ike.lastMessage .ike.nextRekeyAt .ike.completeAt .ike.superseded.deleteAt',
    '.ike.quicks.startedAt .ike.quicks.forgetAt .ike.quicks.retransmission.nextAt .ike.liveness.askedAt',
    '.ike.liveness.askAgainAt .ike.pairRetries.notBefore .children.nextRekeyAt .children.deleteAt .children.switchAt',
  ],
  2: [
    '.ike.createdAt .ike.lastInbound .ike.service.rekeyAt .ike.service.renewAt .ike.service.childlessSince',
    '.ike.service.gapsAt .ike.service.gaps.notBefore .ike.active.sentAt .ike.active.retransmission.nextAt',
    '.ike.phase.forgetAt .children.renewAt .children.nextRekeyAt',
  ],
} as const;

for (const version of [1, 2] as const) {
  t.test(
    `version ${version}: all points in time of a record, and nothing else, are put on another clock`,
    async (t) => {
      const seen = new Set<string>();
      const wrong = new Set<string>();
      let records = 0;
      live(version, ({ east, west }) => {
        for (const record of [...east.engine.export(), ...west.engine.export()]) {
          records++;
          const before = numbersOf(record);
          const after = new Map(numbersOf(shiftRecord(record, BY)));
          for (const [path, number] of before) {
            const isTime = Math.abs(number - CLOCK) < LIFE;
            if (isTime) seen.add(named(path));
            if (after.get(path) !== (isTime ? number + BY : number)) wrong.add(named(path));
          }
          if (after.size !== before.length) wrong.add('a field is missing');
          wipeRecord(record);
        }
      });
      t.ok(records > 50, `${records} records`);

      t.strictSame([...wrong], []);
      for (const path of ALWAYS[version].join(' ').split(' ')) t.ok(seen.has(path), `${path} was among them`);
    },
  );

  t.test(`version ${version}: an engine with another clock goes on as one with the same would`, async (t) => {
    let looks = 0;
    const failed: number[] = [];
    live(version, ({ sim, east }) => {
      if (++looks % 4 !== 0) return;
      const records = east.engine.export();
      if (records.length === 0) return;
      const here = goOn(records, east, sim.now);
      const there = goOn(
        records.map((record) => shiftRecord(record, BY)),
        east,
        sim.now + BY,
      );
      if (here.length < 2 || here.join() !== there.join()) failed.push(looks);
    });
    t.ok(looks > 30, `${looks} moments`);
    t.strictSame(failed, []);
  });
}

/** The record of one end of a pair that is established. */
function recordOf(version: 1 | 2): SaRecord {
  const made = pair(version === 1 ? { east: v1(), west: v1() } : {});
  made.sim.initiate(made.east);
  made.sim.run(5000);
  return made.east.engine.export()[0]!;
}

t.test('points in time that few lives have, and lengths of time', async (t) => {
  const one = recordOf(1);
  if (!isV1Record(one) || one.ike === undefined) throw new Error('no record of version 1');
  const path = { ikeId: 1, remote: one.ike.remote, natTraversalPort: false, natReport: undefined };
  const shifted1 = shiftRecord(
    {
      ...one,
      closing: { ike: { ...one.ike, demands: [['a', { tries: 1, notBefore: 100 }]] }, forgetAt: 200 },
      orphans: { path, lastInbound: 300, notBefore: 400, wait: 500 },
      askedOrphans: 600,
    },
    50,
  );
  t.match(shifted1.closing, { forgetAt: 250, ike: { demands: [['a', { tries: 1, notBefore: 150 }]] } });
  t.match(shifted1.orphans, { lastInbound: 350, notBefore: 450, wait: 500 });
  t.equal(shifted1.askedOrphans, 600);

  const two = recordOf(2);
  if (!isV2Record(two)) throw new Error('no record of version 2');
  const { ike, children, peer } = two;
  const shifted2 = shiftRecord(
    {
      ...two,
      ike: {
        ...ike,
        service: {
          ...ike.service,
          busy: { since: 100, times: 3 },
          standing: { kind: 'redundant', to: 9, retireAt: 200 },
          reauthenticateAt: 300,
          retryChildAt: Number.POSITIVE_INFINITY,
        },
      },
      children: children.map((child) => ({ ...child, verifyPfsAt: 400 })),
      peer: { ...peer, startedOver: 500 },
    },
    50,
  );
  t.match(shifted2.ike.service, {
    busy: { since: 150, times: 3 },
    standing: { to: 9, retireAt: 250 },
    reauthenticateAt: 350,
    retryChildAt: Number.POSITIVE_INFINITY,
  });
  t.match(shifted2.children, [{ verifyPfsAt: 450, volume: children[0]!.volume }]);
  t.equal(shifted2.peer.startedOver, 550);
});

t.test('a shifted record has the keys of the one it was made of', async (t) => {
  const made = pair();
  made.sim.initiate(made.east);
  made.sim.run(5000);
  const [record] = made.east.engine.export();
  const shifted = shiftRecord(record!, 5000);
  wipeRecord(shifted);
  t.match(
    engineOf(made.east)
      .adopt([record!], made.sim.now)
      .refused.map(({ reason }) => reason),
    ['the keys of the record were wiped'],
  );
});
