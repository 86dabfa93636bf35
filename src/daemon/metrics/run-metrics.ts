import type { Logger } from '../../telemetry/log.js';
import type { GatewaySnapshot } from '../../telemetry/metrics/samples.js';
import { isLocalPlace, type MetricsPlace } from './place.js';
import { ProcessMetrics } from './process-metrics.js';
import { ScrapeListener } from './scrape-listener.js';

/** Serves the metrics of one gateway and of its process. @throws StartError */
export async function serveGatewayMetrics(
  place: MetricsPlace,
  snapshot: () => GatewaySnapshot,
  logger: Logger,
): Promise<ScrapeListener> {
  const processMetrics = new ProcessMetrics();
  const collect = async () => ({
    families: await processMetrics.families(),
    gateways: [{ member: 0, snapshot: snapshot() }],
  });
  const listener = await ScrapeListener.open({ place, collect, logger });
  logger.info(`metrics are served at ${listener.where}`);
  if (!isLocalPlace(place))
    logger.warn(
      `everybody who reaches ${listener.where} can read the metrics, with names and addresses: keep others away by a packet filter, or use a loopback address or a Unix socket`,
    );
  return listener;
}
