import { DROP_REASONS, type DropCounts, type DropReason } from './drops.js';

const INDEX = new Map<DropReason, number>(DROP_REASONS.map((reason, i) => [reason, i]));

/** Counts dropped packets by reason. Exact up to 2^53. */
export class DropCounter {
  readonly #counts = new Float64Array(DROP_REASONS.length);

  add(reason: DropReason, packets = 1): void {
    const at = INDEX.get(reason)!;
    this.#counts[at] = this.#counts[at]! + packets;
  }

  /** The counts now, all reasons present. */
  snapshot(): DropCounts {
    return dropCounts(this.#counts);
  }
}

/** The sums of several records, reason by reason. */
export function addDrops(records: readonly DropCounts[]): DropCounts {
  return dropCounts(DROP_REASONS.map((reason) => records.reduce((sum, one) => sum + one[reason], 0)));
}

/** The counts of an array in the order of `DROP_REASONS`, as a record. */
export function dropCounts(counts: ArrayLike<number>): DropCounts {
  return isNothing(counts) ? NOTHING : recordOf(counts);
}

/** Nearly always so, for ten thousand child SAs every second: one record serves for all of them. */
const NOTHING: DropCounts = recordOf([]);

function recordOf(counts: ArrayLike<number>): DropCounts {
  const out = {} as Record<DropReason, number>;
  for (const [i, reason] of DROP_REASONS.entries()) out[reason] = counts[i] ?? 0;
  return out;
}

function isNothing(counts: ArrayLike<number>): boolean {
  for (let i = 0; i < counts.length; i++) if (counts[i] !== 0) return false;
  return true;
}
