import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { runCampaign } from './campaign.js';
import type { FuzzPart } from './part.js';
import { FUZZ_PARTS } from './parts.js';

/** Fails for one input in about a hundred. */
const fragile: FuzzPart = {
  name: 'fragile',
  run(random) {
    if (random.below(100) === 42) throw new Error('found');
    return 3;
  },
};

const clock = { now: () => 0 };

t.test('a case that fails ends the campaign, and its seed gives it again', async (t) => {
  const report = await runCampaign(fragile, { seed: 1, goOn: () => true, ...clock });
  t.ok(report.cases > 1, `after ${report.cases} cases`);
  t.equal(report.inputs, 3 * (report.cases - 1));
  t.match(report.failure, { error: { message: 'found' } });
  const again = await runCampaign(fragile, { seed: report.failure!.seed, goOn: () => false, ...clock });
  t.match(again, { cases: 1, failure: { seed: report.failure!.seed } });
});

t.test('the same seed gives the same cases', async (t) => {
  const run = async () => {
    const seen: number[] = [];
    const part: FuzzPart = { name: 'seen', run: (random) => seen.push(random.u32()) };
    await runCampaign(part, { seed: 5, goOn: (cases) => cases < 20, ...clock });
    return seen;
  };
  const [one, two] = [await run(), await run()];
  t.same(one, two);
  t.equal(new Set(one).size, 20, 'all of them different');
});

for (const [name, load] of Object.entries(FUZZ_PARTS)) {
  t.test(`a few cases: ${name}`, async (t) => {
    const part = await load();
    t.equal(part.name, name);
    const report = await runCampaign(part, { seed: 20_261_129, goOn: (cases) => cases < 2, ...clock });
    t.equal(report.failure, undefined);
    t.ok(report.inputs > 50, `${report.inputs} inputs`);
  });
}

t.test('the command line', async (t) => {
  const main = fileURLToPath(new URL('main.ts', import.meta.url));
  const fuzz = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [...process.execArgv, main, ...args], {
      encoding: 'utf8',
    });
    return { status, out: stdout, err: stderr };
  };
  t.match(fuzz('nonsense'), { status: 2, err: /no part "nonsense"[\s\S]*usage: npm run fuzz/ });
  t.match(fuzz('--seconds', 'x'), { status: 2, err: /--seconds x/ });
  t.match(fuzz('--seed', '4294967296'), { status: 2, err: /--seed/ });
  t.match(fuzz('--seconds', '0', '--seed', '7', 'config'), {
    status: 0,
    out: /^seed 7, 0 s\nconfig +1 cases, 40 inputs/,
  });
});
