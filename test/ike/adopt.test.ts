import t from 'tap';
import type { RenewScope } from '../../src/ike/inputs.js';
import { describeSelector } from '../../src/wire/ike/describe.js';
import { connection, type Pair, pair, type SimNode } from '../helpers/engine-pair.js';
import { ALL_HYBRID } from '../helpers/hybrid.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import { v1, v1Faults } from '../helpers/v1-pair.js';
import type { NetConditions } from '../helpers/virtual-net.js';

/**
 * Lives of a pair in which another engine takes over at one end, at any step: what it gets is records, and nothing but
 * the configuration beside. CULVERT_HANDOVERS sets how many random lives, CULVERT_SEED runs one seed again.
 */
const LIVES = Number(process.env.CULVERT_HANDOVERS ?? 400);
const ONLY = process.env.CULVERT_SEED;
const ROUGH: NetConditions = { latency: [5, 400], loss: 0.2, duplicate: 0.1 };
const CALM: NetConditions = { latency: [5, 60], loss: 0, duplicate: 0 };
const DEAD: NetConditions = { latency: [5, 5], loss: 1, duplicate: 0 };
const NEVER = Number.POSITIVE_INFINITY;
/** Virtual time a pair has to agree. DELETE is not answered in version 1: what is left must expire there. */
const PATIENCE = 6_000_000;
const REST = 30_000;
const SCOPES: readonly RenewScope[] = ['children', 'ike', 'connection', 'lifetimes', 'networks'];
/** IKEv1 negotiates every pair of networks by itself, IKEv2 all of them together. */
const CIDRS = { east: ['10.1.0.0/24', '10.1.1.0/24'], west: ['10.2.0.0/24'] };
const CHILDREN = { 1: 2, 2: 1 } as const;

/** A life that may be interrupted after any step: `at` counts them. */
class Life {
  readonly pair: Pair;
  readonly #version: 1 | 2;
  readonly #victim: 'east' | 'west';
  /** Additional key exchanges in all SAs. */
  readonly #hybrid: boolean;
  #left: number;

  constructor(
    version: 1 | 2,
    seed: number,
    conditions: NetConditions,
    handover: { at: number; victim: 'east' | 'west' },
  ) {
    this.#version = version;
    this.#hybrid = version === 2 && seed % 2 === 0;
    this.#left = handover.at;
    this.#victim = handover.victim;
    this.pair = pair({ seed, conditions, east: this.patch('east'), west: this.patch('west') });
    this.pair.sim.net.record = false;
    for (const node of [this.pair.east, this.pair.west]) {
      node.record = false;
      node.reconnect = 'site';
    }
  }

  patch(
    side: 'east' | 'west',
    more: { readonly ikeLifetime?: number; readonly childLifetime?: number } = {},
  ) {
    const other = side === 'east' ? 'west' : 'east';
    const patch = {
      ikeLifetime: 900,
      childLifetime: 300,
      ...more,
      ...(this.#hybrid ? ALL_HYBRID : {}),
      local: { cidrs: CIDRS[side] },
      peer: { cidrs: CIDRS[other] },
    };
    return this.#version === 1 ? v1(patch) : patch;
  }

  get handedOver(): boolean {
    return this.#left <= 0;
  }

  /** Runs step by step, and hands over between two of them. */
  run(duration: number, done: () => boolean = () => false): boolean {
    const { sim } = this.pair;
    const until = sim.now + duration;
    return sim.run(until, () => {
      this.#step();
      return done();
    });
  }

  #step(): void {
    if (this.#left <= 0 || --this.#left > 0) return;
    this.pair.sim.handOver(this.pair[this.#victim]);
  }

  /** What is still wrong: the two must have the same SAs, pair by pair, and each pair of networks exactly once. */
  fault(): string | undefined {
    if (this.#version === 1) return v1Faults(this.pair, CHILDREN[1]);
    const { east, west } = this.pair;
    for (const node of [east, west]) {
      if (node.ikes.size !== 1) return `${node.name} has ${node.ikes.size} IKE SAs`;
      if (node.childInfo.size !== CHILDREN[2]) return `${node.name} has ${node.childInfo.size} child SAs`;
      const [installed, reported] = [node.children, node.childInfo].map((map) => [...map.keys()].join());
      if (installed !== reported) return `${node.name} reports ${reported} and has installed ${installed}`;
    }
    const [a, b] = [east, west].map((node) => [...node.ikes.values()][0]!);
    if (a!.initiatorSpi !== b!.initiatorSpi || a!.responderSpi !== b!.responderSpi)
      return 'two different IKE SAs';
    for (const one of east.childInfo.values()) {
      const other = [...west.childInfo.values()].find(
        (it) => it.spiIn === one.spiOut && it.spiOut === one.spiIn,
      );
      if (other === undefined) return 'two different child SAs';
    }
    return undefined;
  }

  /** The networks that the SAs of both ends carry, by connection. */
  carried(): string[] {
    return [this.pair.east, this.pair.west]
      .flatMap((node) =>
        [...node.childInfo.values()].map(({ localTs, peerTs }) =>
          [node.name, ...localTs.map(describeSelector), '=', ...peerTs.map(describeSelector)].join(' '),
        ),
      )
      .sort();
  }

  /** Both ends agree, stay so, and do so again if something was still under way. */
  settle(): string | undefined {
    const settled = (): boolean => this.fault() === undefined;
    if (!this.run(PATIENCE, settled)) return `${this.fault()} after ${this.pair.sim.now} ms`;
    this.run(REST);
    return this.run(PATIENCE, settled) ? undefined : `${this.fault()} in the end`;
  }
}

/** Brings the pair up, lets it rekey all it has, find its peer alive, change its lifetimes and renew itself. */
function wholeLife(life: Life): void {
  const { sim, east, west } = life.pair;
  sim.initiate(east);
  life.run(60_000);
  sim.input(west, { kind: 'renew', connection: 'site', scope: 'children' });
  life.run(5000);
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'ike' });
  sim.input(west, { kind: 'renew', connection: 'site', scope: 'ike' });
  life.run(20_000);
  for (const [side, node] of [
    ['east', east],
    ['west', west],
  ] as const) {
    node.config = {
      connections: [connection(side, life.patch(side, { childLifetime: 120, ikeLifetime: 400 }))],
    };
    sim.input(node, { kind: 'configure', config: node.config });
    sim.input(node, { kind: 'renew', connection: 'site', scope: 'lifetimes' });
  }
  life.run(150_000);
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'connection' });
  life.run(30_000);
  sim.input(west, { kind: 'terminate', connection: 'site' });
  sim.initiate(west);
  life.run(30_000);
}

/** Something goes wrong, or an operator does something. */
function happen({ sim, east, west }: Pair, random: SeededRandom): void {
  const node: SimNode = random.below(2) === 0 ? east : west;
  const scope = SCOPES[random.below(SCOPES.length)]!;
  switch (random.below(5)) {
    case 0:
      sim.now += random.below(200_000);
      break;
    case 1:
      sim.net.conditions = DEAD;
      sim.run(sim.now + random.below(60_000));
      sim.net.conditions = ROUGH;
      break;
    case 2:
      sim.input(node, { kind: 'terminate', connection: 'site' });
      sim.initiate(node);
      break;
    default:
      sim.input(node, { kind: 'renew', connection: 'site', scope });
      if (random.below(2) === 0)
        sim.input(node === east ? west : east, { kind: 'renew', connection: 'site', scope });
  }
}

function randomLife(version: 1 | 2, seed: number, at: number): { life: Life; reason: string | undefined } {
  const random = new SeededRandom(seed);
  const life = new Life(version, seed, ROUGH, { at, victim: random.below(2) === 0 ? 'east' : 'west' });
  const { sim, east, west } = life.pair;
  sim.initiate(random.below(2) === 0 ? east : west);
  for (let left = 1 + random.below(6); left > 0; left--) {
    life.run(random.below(40_000));
    happen(life.pair, random);
  }
  return { life, reason: life.settle() };
}

// Lives of version 2 with an even seed have additional key exchanges.
for (const [version, seed] of [
  [2, 1],
  [2, 2],
  [1, 1],
] as const) {
  t.test(`version ${version}, seed ${seed}: handed over after any step of a whole life`, async (t) => {
    const unbroken = new Life(version, seed, CALM, { at: NEVER, victim: 'east' });
    wholeLife(unbroken);
    t.equal(unbroken.settle(), undefined);
    const failed: string[] = [];
    let steps = 0;
    for (const victim of ['east', 'west'] as const) {
      for (let at = 1; ; at++) {
        const life = new Life(version, seed, CALM, { at, victim });
        let reason: string | undefined;
        try {
          wholeLife(life);
          if (!life.handedOver) break;
          reason = life.settle();
          if (reason === undefined && life.carried().join() !== unbroken.carried().join())
            reason = `${life.carried().join()} is carried`;
        } catch (error) {
          reason = (error as Error).stack;
        }
        steps++;
        if (reason !== undefined) failed.push(`${victim} after step ${at}: ${reason}`);
      }
    }
    t.strictSame(failed, [], `${steps} handovers`);
    t.ok(steps > 100, `${steps} steps`);
  });
}

for (const version of [2, 1] as const) {
  t.test(`version ${version}: handed over at some step of random lives`, async (t) => {
    const failed: string[] = [];
    const seeds = ONLY === undefined ? Array.from({ length: LIVES / 2 }, (_, n) => n + 1) : [Number(ONLY)];
    let handovers = 0;
    for (const seed of seeds) {
      let reason: string | undefined;
      try {
        const without = randomLife(version, seed, NEVER);
        const broken = randomLife(version, seed, 1 + new SeededRandom(seed + 77_777).below(100));
        reason = without.reason ?? broken.reason;
        if (broken.life.handedOver) handovers++;
        if (reason === undefined && broken.life.carried().join() !== without.life.carried().join())
          reason = `${broken.life.carried().join()} is carried`;
      } catch (error) {
        reason = (error as Error).stack;
      }
      if (reason !== undefined) failed.push(`seed ${seed}: ${reason}`);
    }
    t.strictSame(failed, [], `${seeds.length} lives`);
    if (ONLY === undefined) t.ok(handovers > seeds.length / 2, `${handovers} handovers`);
  });
}
