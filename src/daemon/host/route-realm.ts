import { createHash } from 'node:crypto';
import type { SourceRule } from '../../linux/policy-rules.js';

/**
 * Which routing tables, rules and next hops of a network namespace are those of one owner, a server or a gateway of its
 * own. Numbers and preferences contain a number of the owner, so that each recognises its own after a crash, and two in
 * one namespace leave each other's alone.
 */
export class RouteRealm {
  readonly #first: number;
  readonly #tables: number;

  /** @param owner what is the owner's alone, and the same at every start */
  constructor(owner: string) {
    const number = hash16(owner) % OWNERS;
    this.#first = FIRST_PREFERENCE + number * PREFERENCES;
    this.#tables = FIRST_TABLE + number * TABLES;
  }

  /** Preferences of rules, in the order in which the kernel asks them. */
  preference(step: RuleStep): number {
    return this.#first + STEPS.indexOf(step);
  }

  isOwnRule({ preference }: SourceRule): boolean {
    return preference >= this.#first && preference < this.#first + PREFERENCES;
  }

  /** Of a table, or of a next hop: they are counted apart, within the same bounds. */
  isOwnNumber(number: number): boolean {
    return number >= this.#tables && number < this.#tables + TABLES;
  }

  /** A number for each key: the same whatever other keys there are, as long as no two hash alike. */
  numbersFor(keys: readonly string[]): ReadonlyMap<string, number> {
    const taken = new Set<number>();
    const numbers = new Map<string, number>();
    for (const key of [...keys].sort()) {
      let number = hash16(key);
      while (taken.has(number)) number = (number + 1) % TABLES;
      taken.add(number);
      numbers.set(key, this.#tables + number);
    }
    return numbers;
  }
}

/**
 * Own addresses of gateways first, which no table is for; then the table; then, for routes that delegate to all but
 * the internet, the namespace without its default route, and the end for what found nothing there.
 */
const STEPS = ['gateway', 'table', 'inside', 'end'] as const;
/** What a rule is for. */
export type RuleStep = (typeof STEPS)[number];

const OWNERS = 4096;
const PREFERENCES = STEPS.length;
/** Behind 0, the host's own addresses; the last owner ends before 32766, the main table. */
const FIRST_PREFERENCE = 10_000;
const TABLES = 0x1_0000;
const FIRST_TABLE = 0x4000_0000;

function hash16(text: string): number {
  return createHash('sha256').update(text).digest().readUInt16BE(0);
}
