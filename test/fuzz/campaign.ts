import { SeededRandom } from '../helpers/seeded-random.js';
import type { FuzzPart } from './part.js';

export interface CampaignOptions {
  /** The seed of the first case; the others follow from it. */
  readonly seed: number;
  /** Whether there is time for another case. At least one is run. */
  goOn(cases: number): boolean;
  /** Milliseconds, for the slowest case. */
  now(): number;
}

export interface CampaignReport {
  readonly part: string;
  readonly cases: number;
  readonly inputs: number;
  readonly slowest: { readonly seed: number; readonly milliseconds: number };
  /** The case that failed; it was the last. */
  readonly failure?: { readonly seed: number; readonly error: unknown };
}

/** Runs cases of a part until there is no time left or one fails. */
export async function runCampaign(part: FuzzPart, options: CampaignOptions): Promise<CampaignReport> {
  let { seed } = options;
  let slowest = { seed, milliseconds: 0 };
  let cases = 0;
  let inputs = 0;
  do {
    const random = new SeededRandom(seed);
    const next = random.u32();
    const start = options.now();
    cases++;
    try {
      inputs += await part.run(random);
    } catch (error) {
      return { part: part.name, cases, inputs, slowest, failure: { seed, error } };
    }
    const milliseconds = options.now() - start;
    if (milliseconds > slowest.milliseconds) slowest = { seed, milliseconds };
    seed = next;
  } while (options.goOn(cases));
  return { part: part.name, cases, inputs, slowest };
}
