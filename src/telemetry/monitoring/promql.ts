import type { MetricName } from '../metrics/catalogue.js';

/** Labels that Prometheus puts on what it scrapes: which kind of program, and which one. */
const TARGET_LABELS = ['job', 'instance'] as const;

/** Conditions on labels, by name: a value, or with a leading "~" a regular expression. */
export type Matchers = Readonly<Record<string, string>>;

/** A selector of series of one metric of the catalogue, as PromQL. */
export function series(name: MetricName, matchers: Matchers = {}): string {
  return selector(name, matchers);
}

/** The buckets of a histogram of the catalogue. */
export function buckets(name: MetricName, matchers: Matchers = {}): string {
  return selector(`${name}_bucket`, matchers);
}

function selector(name: string, matchers: Matchers): string {
  const conditions = Object.entries(matchers).map(([label, wanted]) =>
    wanted.startsWith('~') ? `${label}=~"${wanted.slice(1)}"` : `${label}="${wanted}"`,
  );
  return conditions.length === 0 ? name : `${name}{${conditions.join(',')}}`;
}

/** `op by (target, …labels) (expression)`: what is said of one thing of one target. */
export function by(op: string, labels: readonly string[], expression: string): string {
  return `${op} by (${[...TARGET_LABELS, ...labels].join(', ')}) (${expression})`;
}
