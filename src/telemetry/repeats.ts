import type { Millis } from '../util/units.js';

interface Kept<Line> {
  /** Lines held back since the last one that was let through. */
  held: number;
  nextAt: Millis;
  line: Line;
}

/** Repeats of a kind that were held back, and the last one of them. */
export interface HeldRepeats<Line> {
  readonly kind: string;
  readonly line: Line;
  readonly repeats: number;
}

/**
 * Lets the first line of a kind through and holds its repeats back for a while, so that a flood of datagrams
 * is not a flood of log lines. Kinds beyond `mostKinds` share one, `other`: what is said of one that was held back must
 * come from its line.
 */
export class RepeatFolder<Line = string> {
  readonly #kept = new Map<string, Kept<Line>>();
  readonly #interval: Millis;
  readonly #mostKinds: number;

  constructor(interval: Millis, mostKinds = 256) {
    this.#interval = interval;
    this.#mostKinds = mostKinds;
  }

  /** Whether `line` may be written now; with how many repeats were held back before it. */
  admit(kind: string, line: Line, now: Millis): { readonly write: boolean; readonly repeats: number } {
    const known = this.#kept.has(kind) || this.#kept.size < this.#mostKinds;
    const key = known ? kind : 'other';
    const kept = this.#kept.get(key);
    if (kept === undefined) {
      this.#kept.set(key, { held: 0, nextAt: now + this.#interval, line });
      return { write: true, repeats: 0 };
    }
    if (now < kept.nextAt) {
      kept.held++;
      kept.line = line;
      return { write: false, repeats: 0 };
    }
    const repeats = kept.held;
    kept.held = 0;
    kept.nextAt = now + this.#interval;
    return { write: true, repeats };
  }

  /** The next line of this kind is written again. What was held back is dropped. */
  forget(kind: string): void {
    this.#kept.delete(kind);
  }

  /** The last held-back line of each kind whose time is over, with the number of repeats; call it now and then. */
  due(now: Millis): HeldRepeats<Line>[] {
    const out: HeldRepeats<Line>[] = [];
    for (const [kind, kept] of this.#kept) {
      if (now < kept.nextAt) continue;
      if (kept.held > 0) {
        out.push({ kind, line: kept.line, repeats: kept.held });
        kept.held = 0;
        kept.nextAt = now + this.#interval;
      } else {
        this.#kept.delete(kind);
      }
    }
    return out;
  }
}
