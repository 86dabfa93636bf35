import { type Metric, Registry, type RegistryContentType } from 'prom-client';
import { gatewayFamilies, type MetricFamily, type MetricsDocument } from './families.js';

/** The forms of an exposition: the text format of Prometheus, and OpenMetrics. */
export const CONTENT_TYPES = {
  prometheus: Registry.PROMETHEUS_CONTENT_TYPE,
  openmetrics: Registry.OPENMETRICS_CONTENT_TYPE,
} as const;

/** One of the forms of an exposition. */
export type Exposition = keyof typeof CONTENT_TYPES;

/** Writes everything that a scrape shows. */
export async function writeExposition(document: MetricsDocument, form: Exposition): Promise<string> {
  const registry = new Registry<RegistryContentType>();
  registry.setContentType(CONTENT_TYPES[form]);
  for (const family of document.families) register(registry, family);
  for (const family of gatewayFamilies(document.gateways)) register(registry, family);
  return await registry.metrics();
}

/** The registry asks a metric for its name and its values, and for nothing else. */
function register(registry: Registry<RegistryContentType>, family: MetricFamily): void {
  // A delay of which there is no measurement yet is not a number, and JSON has none of these.
  const values = family.values.filter(({ value }) => typeof value === 'number');
  if (values.length === 0) return;
  // prom-client puts it back in OpenMetrics, where the suffix is the samples' and not the family's.
  const bare = registry.contentType === CONTENT_TYPES.openmetrics && family.type === 'counter';
  const name = bare ? family.name.replace(/_total$/, '') : family.name;
  const metric = { name, get: async () => ({ ...family, name, values, aggregator: 'sum' }) };
  registry.registerMetric(metric as unknown as Metric);
}
