/** The median; of an even number of values the lower middle one, which was really measured. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >>> 1]!;
}
