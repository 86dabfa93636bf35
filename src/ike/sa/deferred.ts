import type { Millis } from '../../util/units.js';
import { Agenda } from './agenda.js';

interface Entry {
  readonly name: string;
  readonly at: Millis;
}

const deadlineOf = ({ at }: Entry): Millis => at;

/** Connections that wait for their time to be brought up. */
export class Deferred {
  readonly #entries = new Map<string, Entry>();
  readonly #agenda = new Agenda<Entry>();

  /** The connection's turn is at `at`, whatever was said before. */
  set(name: string, at: Millis): void {
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

  /** The next turn, infinite when nobody waits. */
  earliest(): Millis {
    return this.#agenda.earliest(deadlineOf);
  }
}
