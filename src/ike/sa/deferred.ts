import type { Millis } from '../../util/units.js';
import { Agenda } from './agenda.js';
import type { SaTable, TabledSa } from './table.js';

/**
 * When the oldest half-open SA began that may become a connection's. Anyone can begin one with a forged address: only
 * the first waiting time of a series counts.
 */
export function oldestBegin<T extends TabledSa & { readonly createdAt: Millis }>(
  table: SaTable<T>,
  states: readonly T['state'][],
  mayBecome: (sa: T) => boolean,
): Millis | undefined {
  let began: Millis | undefined;
  for (const state of states) {
    for (const sa of table.oldest(state)) {
      if (!mayBecome(sa)) continue;
      began = Math.min(began ?? sa.createdAt, sa.createdAt);
      break;
    }
  }
  return began;
}

interface Entry {
  readonly name: string;
  readonly at: Millis;
}

const deadlineOf = ({ at }: Entry): Millis => at;

/**
 * Connections that are brought up later, unless the peer has done it by then: a negotiation that the peer has begun is
 * given some time before one of ours begins.
 */
export class Deferred {
  /** How long a negotiation of the peer has priority. */
  readonly #patience: Millis;
  readonly #entries = new Map<string, Entry>();
  readonly #agenda = new Agenda<Entry>();

  constructor(patience: Millis) {
    this.#patience = patience;
  }

  /** When ours may begin where the peer's began at `began`; minus infinity where it did not. */
  turn(began: Millis | undefined): Millis {
    return began === undefined ? Number.NEGATIVE_INFINITY : began + this.#patience;
  }

  /** Puts the connection off when the peer's negotiation still has priority. Says whether it was put off. */
  yields(name: string, began: Millis | undefined, now: Millis): boolean {
    const at = this.turn(began);
    if (at <= now) return false;
    this.#set(name, at);
    return true;
  }

  /** The connection's turn is at `at`, whatever was said before. */
  #set(name: string, at: Millis): void {
    this.delete(name);
    const entry = { name, at };
    this.#entries.set(name, entry);
    this.#agenda.add(entry);
  }

  delete(name: string): void {
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    this.#entries.delete(name);
    this.#agenda.remove(entry);
  }

  clear(): void {
    for (const name of this.names()) this.delete(name);
  }

  names(): string[] {
    return [...this.#entries.keys()];
  }

  /** Those whose turn it is. They wait no longer. */
  take(now: Millis): string[] {
    const due = Array.from(this.#agenda.due(now, deadlineOf), ({ name }) => name);
    for (const name of due) this.delete(name);
    return due;
  }

  /** The next turn, infinite when nothing waits. */
  earliest(): Millis {
    return this.#agenda.earliest(deadlineOf);
  }
}
