import type { HealthSource } from '../../telemetry/health.js';
import type { Logger } from '../../telemetry/log.js';
import type { GatewaySnapshot } from '../../telemetry/metrics/samples.js';
import { isLocalPlace, type MetricsPlace } from './place.js';
import { ProcessMetrics } from './process-metrics.js';
import { ScrapeListener } from './scrape-listener.js';

/** What is served of one gateway. */
export interface ServedGateway {
  readonly metrics: { snapshot(): GatewaySnapshot };
  readonly health: HealthSource;
}

/** Serves the metrics of one gateway and of its process, and probes. @throws StartError */
export async function serveGatewayMetrics(
  place: MetricsPlace,
  { metrics, health }: ServedGateway,
  logger: Logger,
): Promise<ScrapeListener> {
  const processMetrics = new ProcessMetrics();
  const collect = async () => ({
    families: await processMetrics.families(),
    gateways: [{ member: 0, snapshot: metrics.snapshot() }],
  });
  const listener = await ScrapeListener.open({ place, collect, health, logger });
  logger.info(`metrics are served at ${listener.where}`);
  if (!isLocalPlace(place))
    logger.warn(
      `everybody who reaches ${listener.where} can read the metrics, with names and addresses: keep others away by a packet filter, or use a loopback address or a Unix socket`,
    );
  return listener;
}
