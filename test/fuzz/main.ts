import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { type CampaignReport, runCampaign } from './campaign.js';
import { FUZZ_PARTS } from './parts.js';

const USAGE = `usage: npm run fuzz -- [--seconds N] [--seed S] [${Object.keys(FUZZ_PARTS).join('|')}]...

Mutated inputs of all kinds, for N seconds in all (60), shared by the parts that are named (all).
The seed of a failed case gives that case again, as the first one of its part.`;

function fail(message: string): never {
  console.error(`${message}\n\n${USAGE}`);
  process.exit(2);
}

function wholeNumber(text: string, name: string, most: number): number {
  if (!/^[0-9]{1,10}$/.test(text) || Number(text) > most) fail(`--${name} ${text}: a number up to ${most}`);
  return Number(text);
}

function readArguments(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: { seconds: { type: 'string' }, seed: { type: 'string' }, help: { type: 'boolean' } },
    });
  } catch (error) {
    fail((error as Error).message);
  }
}

function describe({ part, cases, inputs, slowest }: CampaignReport): string {
  const slow = `slowest ${Math.round(slowest.milliseconds)} ms (seed ${slowest.seed})`;
  return `${part.padEnd(8)} ${cases} cases, ${inputs} inputs, ${slow}`;
}

async function main(): Promise<number> {
  const { values, positionals } = readArguments(process.argv.slice(2));
  if (values.help === true) {
    console.log(USAGE);
    return 0;
  }
  const unknown = positionals.find((name) => !Object.hasOwn(FUZZ_PARTS, name));
  if (unknown !== undefined) fail(`there is no part "${unknown}"`);
  const seconds = wholeNumber(values.seconds ?? '60', 'seconds', 1_000_000);
  const seed = values.seed === undefined ? randomInt(2 ** 32) : wholeNumber(values.seed, 'seed', 2 ** 32 - 1);
  const wanted = Object.entries(FUZZ_PARTS).filter(
    ([name]) => positionals.length === 0 || positionals.includes(name),
  );
  console.log(`seed ${seed}, ${seconds} s`);
  let failures = 0;
  for (const [, load] of wanted) {
    const part = await load();
    const end = performance.now() + (seconds * 1000) / wanted.length;
    const report = await runCampaign(part, {
      seed,
      goOn: () => performance.now() < end,
      now: () => performance.now(),
    });
    console.log(describe(report));
    if (report.failure === undefined) continue;
    failures++;
    console.log(`FAILED: npm run fuzz -- --seconds 0 --seed ${report.failure.seed} ${part.name}`);
    console.log(report.failure.error);
  }
  return failures === 0 ? 0 : 1;
}

process.exit(await main());
