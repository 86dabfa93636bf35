/** One measured figure. `ratio` compares it with `ratioOf`, measured in the same run. */
export interface BenchRow {
  readonly part: string;
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly ratio?: number;
  readonly ratioOf?: string;
  readonly note?: string;
}
