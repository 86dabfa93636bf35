import t from 'tap';
import { faults, type Pair, pair } from '../helpers/engine-pair.js';
import type { NetConditions } from '../helpers/virtual-net.js';

/** A fifth of all packets is lost, a tenth arrives twice, and delays of 5 to 400 ms mix up the order. */
const ROUGH: NetConditions = { latency: [5, 400], loss: 0.2, duplicate: 0.1 };
const SEEDS = 2000;
/** Virtual time a pair has to converge, retries of whole attempts included. */
const PATIENCE = 600_000;
/** After that it must stay as it is. */
const REST = 30_000;

function rough(seed: number, begin: (made: Pair) => void): string | undefined {
  const made = pair({ seed, conditions: ROUGH });
  const { sim, east, west } = made;
  sim.net.record = false;
  for (const node of [east, west]) node.record = false;
  begin(made);
  const settled = (): boolean => faults(made) === undefined;
  if (!sim.run(PATIENCE, settled)) return `${faults(made)} after ${sim.now} ms`;
  // It may have looked settled in the middle of something: the rest must not change it any more.
  sim.run(sim.now + REST);
  return sim.run(sim.now + PATIENCE, settled) ? undefined : `${faults(made)} in the end`;
}

t.test('one end initiates, over a network that loses, doubles and reorders', async (t) => {
  const failed: string[] = [];
  for (let seed = 1; seed <= SEEDS / 2; seed++) {
    const reason = rough(seed, ({ sim, east }) => {
      east.reconnect = 'site';
      sim.initiate(east);
    });
    if (reason !== undefined) failed.push(`seed ${seed}: ${reason}`);
  }
  t.strictSame(failed, [], `${SEEDS / 2} seeds converge`);
});

t.test('both ends initiate at nearly the same time', async (t) => {
  const failed: string[] = [];
  for (let seed = SEEDS / 2 + 1; seed <= SEEDS; seed++) {
    const reason = rough(seed, ({ sim, east, west }) => {
      east.reconnect = 'site';
      west.reconnect = 'site';
      sim.initiate(east);
      sim.run(seed % 7 === 0 ? 0 : (seed * 37) % 900);
      sim.initiate(west);
    });
    if (reason !== undefined) failed.push(`seed ${seed}: ${reason}`);
  }
  t.strictSame(failed, [], `${SEEDS / 2} seeds converge`);
});
