import t from 'tap';
import type { Pair } from '../../helpers/engine-pair.js';
import { v1Faults, v1Pair } from '../../helpers/v1-pair.js';
import type { NetConditions } from '../../helpers/virtual-net.js';

/** A fifth of all packets is lost, a tenth arrives twice, and delays of 5 to 400 ms mix up the order. */
const ROUGH: NetConditions = { latency: [5, 400], loss: 0.2, duplicate: 0.1 };
const SEEDS = 600;
/** Virtual time a pair has to converge: DELETE is not answered in version 1, so what is left must expire. */
const PATIENCE = 6_000_000;
const REST = 30_000;

const CIDRS = {
  east: { local: { cidrs: ['10.1.0.0/24', '10.1.1.0/24'] }, peer: { cidrs: ['10.2.0.0/24', '10.2.1.0/24'] } },
  west: { local: { cidrs: ['10.2.0.0/24', '10.2.1.0/24'] }, peer: { cidrs: ['10.1.0.0/24', '10.1.1.0/24'] } },
};
const LIVES = { ikeLifetime: 1200, childLifetime: 600 };

function rough(seed: number, begin: (made: Pair) => void): string | undefined {
  const made = v1Pair({
    seed,
    conditions: ROUGH,
    east: { ...CIDRS.east, ...LIVES },
    west: { ...CIDRS.west, ...LIVES },
  });
  const { sim, east, west } = made;
  sim.net.record = false;
  for (const node of [east, west]) node.record = false;
  begin(made);
  const settled = (): boolean => v1Faults(made, 4) === undefined;
  if (!sim.run(PATIENCE, settled)) return `${v1Faults(made, 4)} after ${sim.now} ms`;
  sim.run(sim.now + REST);
  return sim.run(sim.now + PATIENCE, settled) ? undefined : `${v1Faults(made, 4)} in the end`;
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
