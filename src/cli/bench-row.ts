/** One figure measured by a benchmark. `ratio` compares it with `ratioOf`, measured in the same run. */
export interface BenchRow {
  readonly part: string;
  readonly name: string;
  /** What was measured, and which figure of it, where several things have the same figures. */
  readonly subject?: string;
  readonly figure?: string;
  readonly value: number;
  /** Empty where there is no figure but a note. */
  readonly unit: string;
  readonly ratio?: number;
  readonly ratioOf?: string;
  /** The subject that `ratio` compares with. */
  readonly ratioTo?: string;
  readonly note?: string;
}
