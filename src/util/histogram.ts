/** The observations of a histogram as they are written: per bucket, not cumulative; the last count is of +Inf. */
export interface HistogramCounts {
  readonly counts: readonly number[];
  readonly sum: number;
}

/** Counts observations by size, in a constant number of buckets. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds upper bounds, inclusive and ascending; what is above the last one has a bucket of its own */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Array<number>(bounds.length + 1).fill(0);
  }

  observe(value: number): void {
    const found = this.#bounds.findIndex((bound) => value <= bound);
    const bucket = found < 0 ? this.#bounds.length : found;
    this.#counts[bucket] = this.#counts[bucket]! + 1;
    this.#sum += value;
  }

  /** The counts now: a live view, which is written down or copied at once. */
  get counts(): HistogramCounts {
    return { counts: this.#counts, sum: this.#sum };
  }
}
