import { oneLine } from '../../util/operator-error.js';
import { type Gateway, startGateway } from '../gateway/gateway.js';
import type { AfterStop, GatewayOptions } from '../gateway/gateway-options.js';
import { rereadFile } from '../gateway/reread-file.js';
import type { MetricsPlace } from '../metrics/place.js';
import type { ManagedService, ServiceManager } from './service-manager.js';
import { EndRequest, type SignalSource, withSignals } from './signals.js';

/** What a daemon of its own is started with: the options of its gateway, and how it ends. */
export interface DaemonOptions extends Omit<GatewayOptions, 'onStopRequest'> {
  /** Where signals come from; the process unless given. */
  readonly signals?: SignalSource;
  /** Ends the process at once; `process.exit` unless given. */
  readonly exit?: (code: number) => void;
  /** Where its metrics are served; nowhere when left out. */
  readonly metrics?: MetricsPlace;
  /** Is informed of the state of the gateway; none when left out. */
  readonly manager?: ServiceManager;
  /** Called when the gateway runs. */
  readonly started?: (gateway: Gateway) => void;
}

/**
 * Runs a gateway until it is asked to end: by SIGTERM or SIGINT, by SIGUSR2 for a restart, by a client of the control
 * socket, or because its data plane failed. Only the end that an operator asks for opens the peers' networks again;
 * before a restart, and after a failure, they stay unreachable. A second signal ends the process at once.
 * @returns the exit code: 0 after a clean end, 1 when it could not start or go on; the log has one line why
 */
export async function runDaemon(options: DaemonOptions): Promise<0 | 1> {
  const { logger, manager } = options;
  const end = new EndRequest<AfterStop>(options.exit);
  let running: Gateway | undefined;
  const handlers = {
    SIGTERM: () => end.signal('open'),
    SIGINT: () => end.signal('open'),
    SIGUSR2: () => end.signal('closed'),
    // Its default would end the process in the middle, with nothing undone.
    SIGHUP: () => {
      if (running === undefined) logger.warn('SIGHUP during startup: the file is already being read');
      else if (!end.signalled) reload(running, manager);
    },
  };
  return await withSignals(options.signals ?? process, handlers, async () => {
    let gateway: Gateway | undefined;
    let scrapes: Closable | undefined;
    try {
      gateway = await startGateway({
        reread: () => rereadFile(options.file.source),
        ...options,
        onStopRequest: () => end.ask('open'),
      });
      scrapes = await serveMetrics(options, gateway);
    } catch (error) {
      logger.fatal(oneLine(error));
      await gateway?.stop();
      return 1;
    }
    running = gateway;
    options.started?.(gateway);
    manager?.attend(serviceOf(gateway));
    const how = await Promise.race([end.asked, gateway.failed.then(() => undefined)]);
    manager?.stopping();
    if (how !== undefined) logger.info('shutting down: deleting the SAs at the peers');
    await gateway.stop(how ?? 'closed');
    await scrapes?.close();
    return how === undefined ? 1 : 0;
  });
}

interface Closable {
  close(): Promise<void>;
}

/** What it takes is loaded only where it is wanted. */
async function serveMetrics(
  { metrics: place, logger }: DaemonOptions,
  gateway: Gateway,
): Promise<Closable | undefined> {
  if (place === undefined) return undefined;
  const { serveGatewayMetrics } = await import('../metrics/run-metrics.js');
  return await serveGatewayMetrics(place, gateway, logger);
}

function reload(gateway: Gateway, manager: ServiceManager | undefined): void {
  const work = (): void => void gateway.reload();
  if (manager === undefined) work();
  else void manager.reload(work);
}

function serviceOf(gateway: Gateway): ManagedService {
  return {
    health: gateway.health,
    describe() {
      const { address } = gateway.gatewayStatus();
      const all = gateway.core.statuses.all();
      const count = (wanted: string): number => all.filter(({ status }) => status === wanted).length;
      return `listening on ${address}; connections: ${count('up')} up, ${count('degraded')} degraded, ${count('down')} down`;
    },
    changed: (listener) => gateway.core.watchers.subscribe(listener),
  };
}
