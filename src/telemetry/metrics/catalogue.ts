import { CONNECTION_METRICS } from './connection-metrics.js';
import type { MetricDefinition } from './definition.js';
import { GATEWAY_METRICS } from './gateway-metrics.js';
import { SERVER_METRICS } from './server-metrics.js';

/** Metrics that every program has. Those of the process itself (`process_*`, `nodejs_*`) are prom-client's own. */
const PROCESS_METRICS = {
  culvert_build_info: {
    ...{ type: 'gauge', source: 'process', labels: ['version', 'node', 'openssl'] },
    help: 'Always 1: versions of the program, of Node.js and of its OpenSSL.',
  },
} as const satisfies Readonly<Record<string, MetricDefinition>>;

/**
 * Every metric there is, by its whole name: what is collected, the documentation, dashboards and alert rules are made of
 * this table. No label has values that a peer or a client can choose.
 */
const METRICS = {
  ...CONNECTION_METRICS,
  ...GATEWAY_METRICS,
  ...SERVER_METRICS,
  ...PROCESS_METRICS,
} as const satisfies Readonly<Record<string, MetricDefinition>>;

/** The name of a metric. */
export type MetricName = keyof typeof METRICS;

/** The whole name of each metric, in the order of the catalogue. */
export const METRIC_NAMES = Object.keys(METRICS) as readonly MetricName[];

/** The entry of a metric. */
export function metricOf(name: MetricName): MetricDefinition {
  return METRICS[name];
}
