import { subjectOf } from '../../ike/event-subject.js';
import type { IkeEvent } from '../../ike/events.js';
import type { IkeId } from '../../util/ids.js';
import type { Millis } from '../../util/units.js';
import { type HistoryKind, historyOf } from '../event-catalogue.js';
import type { Moment, Projection } from '../projection.js';

/** Entries that are kept of one connection: a few attempts with all their messages. */
const MAX_ENTRIES = 100;
/** Characters of one entry. */
const MAX_TEXT = 500;
/** IKE SAs of unknown connection whose lines are kept until it is known, and lines of each. */
const MAX_STRANGERS = 64;
const MAX_LINES = 8;
/** How far back an equal entry is looked for, so that repetitions are counted and not listed. */
const FOLD_DEPTH = 4;

/** A line of a connection's history; equal events in a row share one. */
export interface HistoryEntry {
  readonly kind: HistoryKind;
  readonly text: string;
  /** First and last time, and how often. */
  readonly firstAt: Millis;
  readonly lastAt: Millis;
  readonly count: number;
}

/** What happened to one connection lately, in a bounded memory. It contains no secrets, since events contain none. */
export class ConnectionHistory implements Projection {
  readonly #entries: HistoryEntry[] = [];

  on(event: IkeEvent, { now }: Moment): void {
    const line = historyOf(event);
    if (line !== undefined) this.add(line.kind, line.text, now);
  }

  /** An event without a connection, for the history of an address. */
  takeFromAddress(event: IkeEvent, now: Millis): void {
    // What belongs to an IKE SA comes by `take` when it is known whose that is.
    if (subjectOf(event).ikeId !== undefined) return;
    const line = historyOf(event);
    if (line !== undefined) this.add(line.kind, line.text, now);
  }

  stoodStill(length: Millis, now: Millis): void {
    this.add('changed', `this machine stood still for ${Math.round(length / 1000)} s`, now);
  }

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

/** The newest entries of several histories as one, oldest first. */
export function mergedHistory(histories: readonly ConnectionHistory[]): readonly HistoryEntry[] {
  const all = histories.flatMap(({ entries }) => entries).sort((a, b) => a.lastAt - b.lastAt);
  return all.slice(-MAX_ENTRIES);
}

/** What happened to IKE SAs whose connection is not known yet, in a bounded memory. */
export class StrangersHistory {
  readonly #lines = new Map<IkeId, HistoryEntry[]>();

  /** Keeps the line of an event about an IKE SA. */
  add(event: IkeEvent, ikeId: IkeId, now: Millis): void {
    const line = historyOf(event);
    if (line === undefined) return;
    const kept = this.#lines.get(ikeId) ?? [];
    if (kept.length < MAX_LINES) kept.push({ ...line, firstAt: now, lastAt: now, count: 1 });
    this.#lines.set(ikeId, kept);
    if (this.#lines.size > MAX_STRANGERS) this.#lines.delete(this.#lines.keys().next().value!);
  }

  /** Gives away what was kept of an IKE SA. */
  take(ikeId: IkeId): readonly HistoryEntry[] {
    const kept = this.#lines.get(ikeId) ?? [];
    this.#lines.delete(ikeId);
    return kept;
  }
}
