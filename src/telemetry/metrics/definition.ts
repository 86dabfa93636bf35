/** Who has the series of a metric: every gateway process, the API server that runs them, or each of the two for itself. */
export type MetricSource = 'gateway' | 'server' | 'process';

/** One metric as a catalogue has it. */
export interface MetricDefinition {
  readonly type: 'gauge' | 'counter' | 'histogram';
  /** One sentence, for people. The unit is the suffix of the name: seconds, bytes; a counter ends in `_total`. */
  readonly help: string;
  readonly source: MetricSource;
  /** In the order in which they are written. */
  readonly labels: readonly string[];
  /** Labels with a closed set of values: whatever has a series of the metric has one for each combination of them. */
  readonly values?: Readonly<Record<string, readonly string[]>>;
  /** Upper bounds of a histogram, in the unit of the name, without +Inf. */
  readonly buckets?: readonly number[];
}

/** Labels of what concerns one process of a gateway: the gateway's name, and the number of its member from 1. */
export const GATEWAY_LABELS = ['gateway', 'member'] as const;

/** Labels of what concerns one connection of it, by name. */
export const CONNECTION_LABELS = [...GATEWAY_LABELS, 'connection'] as const;

/** Labels of what concerns one packet thread of it, by number from 0. */
export const WORKER_LABELS = [...GATEWAY_LABELS, 'worker'] as const;
