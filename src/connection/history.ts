import type { Millis } from '../util/units.js';
import type { HistoryKind } from './event-catalogue.js';

/** Entries that are kept of one connection: a few attempts with all their messages. */
const MAX_ENTRIES = 100;
/** Characters of one entry. */
const MAX_TEXT = 500;
/** How far back an equal entry is looked for, so that repetitions are counted and not listed. */
const FOLD_DEPTH = 4;

export interface HistoryEntry {
  readonly kind: HistoryKind;
  readonly text: string;
  /** First and last time, and how often. */
  readonly firstAt: Millis;
  readonly lastAt: Millis;
  readonly count: number;
}

/** What happened to one connection lately, in a bounded memory. Holds no secrets, since events hold none. */
export class ConnectionHistory {
  readonly #entries: HistoryEntry[] = [];

  add(kind: HistoryKind, text: string, now: Millis): void {
    const short = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
    const from = Math.max(0, this.#entries.length - FOLD_DEPTH);
    const same = this.#entries.findIndex((one, i) => i >= from && one.kind === kind && one.text === short);
    const firstAt = same < 0 ? now : this.#entries[same]!.firstAt;
    const count = same < 0 ? 1 : this.#entries[same]!.count + 1;
    if (same >= 0) this.#entries.splice(same, 1);
    this.#entries.push({ kind, text: short, firstAt, lastAt: now, count });
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift();
  }

  /** Takes over what was noted elsewhere before it was known whose it is. */
  take(entries: readonly HistoryEntry[]): void {
    this.#entries.push(...entries);
    this.#entries.splice(0, Math.max(0, this.#entries.length - MAX_ENTRIES));
  }

  /** Oldest first. */
  get entries(): readonly HistoryEntry[] {
    return this.#entries;
  }
}
