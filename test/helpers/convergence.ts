import t from 'tap';
import type { Pair } from './engine-pair.js';
import type { NetConditions } from './virtual-net.js';

/** A fifth of all packets is lost, a tenth arrives twice, and delays of 5 to 400 ms mix up the order. */
const ROUGH: NetConditions = { latency: [5, 400], loss: 0.2, duplicate: 0.1 };
/** Once it has converged it must stay as it is, for so many milliseconds. */
const REST = 30_000;

export interface Convergence {
  /** How many networks are tried, a half of them for each test. */
  readonly seeds: number;
  /** Milliseconds of virtual time a pair has to converge, retries of whole attempts included. */
  readonly patience: number;
  make(seed: number, conditions: NetConditions): Pair;
  /** What is still wrong between the two ends. */
  faults(made: Pair): string | undefined;
}

/** Tests that pairs come up over networks that lose, double and reorder, whoever begins. */
export function testConvergence(rules: Convergence): void {
  const half = rules.seeds / 2;
  t.test('one end initiates, over a network that loses, doubles and reorders', async (t) => {
    const failed: string[] = [];
    for (let seed = 1; seed <= half; seed++) {
      const reason = rough(rules, seed, ({ sim, east }) => {
        east.reconnect = 'site';
        sim.initiate(east);
      });
      if (reason !== undefined) failed.push(`seed ${seed}: ${reason}`);
    }
    t.strictSame(failed, [], `${half} seeds converge`);
  });

  t.test('both ends initiate at nearly the same time', async (t) => {
    const failed: string[] = [];
    for (let seed = half + 1; seed <= rules.seeds; seed++) {
      const reason = rough(rules, seed, ({ sim, east, west }) => {
        east.reconnect = 'site';
        west.reconnect = 'site';
        sim.initiate(east);
        sim.run(seed % 7 === 0 ? 0 : (seed * 37) % 900);
        sim.initiate(west);
      });
      if (reason !== undefined) failed.push(`seed ${seed}: ${reason}`);
    }
    t.strictSame(failed, [], `${half} seeds converge`);
  });
}

function rough(
  { make, faults, patience }: Convergence,
  seed: number,
  begin: (made: Pair) => void,
): string | undefined {
  const made = make(seed, ROUGH);
  const { sim, east, west } = made;
  sim.net.record = false;
  for (const node of [east, west]) node.record = false;
  begin(made);
  const settled = (): boolean => faults(made) === undefined;
  if (!sim.run(patience, settled)) return `${faults(made)} after ${sim.now} ms`;
  // It may have looked settled in the middle of something: the rest must not change it any more.
  sim.run(sim.now + REST);
  return sim.run(sim.now + patience, settled) ? undefined : `${faults(made)} in the end`;
}
