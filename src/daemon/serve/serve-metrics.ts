import type { Credential } from '../../api/auth/credentials.js';
import type { ApiObserver } from '../../api/observer.js';
import type { EtcdReport } from '../../store/etcd/etcd-store.js';
import type { Site } from '../../store/site.js';
import type { Store } from '../../store/store.js';
import type { HealthSource } from '../../telemetry/health.js';
import type { Logger } from '../../telemetry/log.js';
import { MeasuredStore } from '../metrics/measured-store.js';
import { isLocalPlace } from '../metrics/place.js';
import { ScrapeListener } from '../metrics/scrape-listener.js';
import { ServerMetrics } from '../metrics/server-metrics.js';
import type { ProcessRunner } from './process-runner.js';
import type { MetricsSettings } from './serve-file.js';
import type { TlsMaterial } from './tls-files.js';

/** What the metrics of a server are read from, and who may read them. */
export interface ServeMetricsParts {
  readonly store: Store;
  readonly runner: Pick<ProcessRunner, 'metrics' | 'routes' | 'observe'>;
  site(): Site;
  tokens(): readonly Credential[];
  readonly tls?: TlsMaterial;
  readonly health: HealthSource;
  readonly logger: Logger;
}

/** The metrics of a server and of all its gateways: counted from the start, and served when everything runs. */
export class ServeMetrics {
  readonly #settings: MetricsSettings;
  readonly #metrics = new ServerMetrics();
  #listener: ScrapeListener | undefined;

  constructor(settings: MetricsSettings) {
    this.#settings = settings;
  }

  /** Hears of requests. */
  get observer(): ApiObserver {
    return this.#metrics;
  }

  /** The store with its commits measured. */
  measured(store: Store): Store {
    return new MeasuredStore(store, (result, seconds) => this.#metrics.committed(result, seconds));
  }

  /** Hears of what becomes of a store in etcd. */
  stored(event: EtcdReport): void {
    this.#metrics.stored(event);
  }

  /** @throws StartError when it cannot listen */
  async open({ store, runner, site, tokens, tls, health, logger }: ServeMetricsParts): Promise<void> {
    const { place, auth } = this.#settings;
    this.#listener = await ScrapeListener.open({
      ...{ place, health, logger },
      ...(auth === 'none' ? {} : { tokens }),
      ...(tls === undefined ? {} : { tls }),
      collect: async () => {
        const [objects, members] = await Promise.all([store.snapshot(), runner.metrics()]);
        return await this.#metrics.document({ objects, members, site: site() }, runner);
      },
    });
    const { where } = this.#listener;
    logger.info(`metrics are served at ${where}`);
    if (auth === 'none' && !isLocalPlace(place))
      logger.warn(`everybody who reaches ${where} can read the metrics, with names and addresses`);
  }

  /** Takes another certificate, from the next connection on. */
  setCertificate(tls: TlsMaterial): void {
    this.#listener?.setCertificate(tls);
  }

  async close(): Promise<void> {
    await this.#listener?.close();
  }
}
