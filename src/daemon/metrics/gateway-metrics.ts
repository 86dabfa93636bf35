import type { ConnectionNote } from '../../connection/document.js';
import type { ConnectionTracker } from '../../connection/tracker.js';
import { noTraffic, type TrafficTotals } from '../../connection/traffic-totals.js';
import type { DataPlane } from '../../dataplane/dataplane.js';
import { connectionSnapshot } from '../../telemetry/metrics/connection-samples.js';
import {
  type GatewayCounts,
  type GatewayFigures,
  gatewaySamples,
  workerSamples,
} from '../../telemetry/metrics/gateway-samples.js';
import type { GatewaySnapshot } from '../../telemetry/metrics/samples.js';
import type { ConnectionId } from '../../util/ids.js';
import { type Clock, utcText } from '../system/clock.js';
import { EventLoopDelay } from './event-loop-delay.js';

/** What a gateway is, as far as that does not change while it runs. */
export type GatewayAbout = Pick<
  GatewayFigures,
  'id' | 'address' | 'mode' | 'interface' | 'dataPlane' | 'version' | 'startedAt'
>;

/** Everything that the metrics of a gateway are read from, when they are asked for. */
export interface GatewayMetricsDeps {
  readonly about: GatewayAbout & { readonly mode: 'policy' | 'route' };
  /** Name of the gateway as it is now. */
  name(): string;
  readonly tracker: Pick<ConnectionTracker, 'look'>;
  /** What is known of a connection beside its events. */
  note(connection: ConnectionId): ConnectionNote;
  readonly plane: Pick<DataPlane, 'drops' | 'workers' | 'addCounters'>;
  readonly totals: TrafficTotals;
  readonly counts: GatewayCounts;
  /** Negotiations that are half-open. */
  halfOpen(): number;
  /** Packets that came in the clear and were discarded. */
  clearDiscarded(): number;
  readonly clock: Clock;
}

/** The metrics of a gateway. */
export class GatewayMetrics {
  readonly #deps: GatewayMetricsDeps;
  readonly #delay = new EventLoopDelay();

  constructor(deps: GatewayMetricsDeps) {
    this.#deps = deps;
  }

  snapshot(): GatewaySnapshot {
    const { about, tracker, plane, totals, counts, clock } = this.#deps;
    const now = clock.now();
    const { epoch } = clock;
    const { gateway: traffic, connections: byConnection } = totals.now(plane.addCounters);
    const toUtc = (at: number): string => utcText(clock, at);
    const connections = tracker.look((one) => {
      const { id } = one.connection.config;
      const total = byConnection.get(id) ?? noTraffic();
      const lastMinute = totals.lastMinute(id, total);
      const around = { mode: about.mode, note: this.#deps.note(id), traffic: total, lastMinute };
      return connectionSnapshot(one, { ...around, now, epoch, toUtc });
    });
    const samples = gatewaySamples({
      ...about,
      states: connections.map(({ state }) => state),
      traffic,
      drops: plane.drops(),
      clearDiscarded: this.#deps.clearDiscarded(),
      counts,
      halfOpen: this.#deps.halfOpen(),
      process: this.#process(),
    });
    return {
      name: this.#deps.name(),
      samples,
      workers: plane.workers().map(workerSamples),
      connections: connections.map(({ snapshot }) => snapshot),
    };
  }

  close(): void {
    this.#delay.close();
  }

  #process(): GatewayFigures['process'] {
    const { user, system } = process.cpuUsage();
    return {
      residentMemory: process.memoryUsage.rss(),
      heapUsed: process.memoryUsage().heapUsed,
      cpuSeconds: (user + system) / 1e6,
      delay: this.#delay.read(),
    };
  }
}
