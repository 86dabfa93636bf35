import type { SeededRandom } from '../helpers/seeded-random.js';

/** One subject of the standing fuzz. */
export interface FuzzPart {
  readonly name: string;
  /**
   * One case, which depends on nothing but its generator, so that its seed gives the same again. Answers with the
   * number of inputs that it tried.
   * @throws Error what is wrong; whatever the code under test lets through is a failure as well
   */
  run(random: SeededRandom): number | Promise<number>;
}

/** For the invariants of a case. */
export function hold(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

/** One of a list. */
export function pick<T>(random: SeededRandom, list: readonly T[]): T {
  return list[random.below(list.length)]!;
}
