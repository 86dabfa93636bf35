import type { ChildTraffic } from '../../connection/sa-status.js';
import type { ConnectionTracker } from '../../connection/tracker.js';
import type { TrafficTotals } from '../../connection/traffic-totals.js';
import type { ChildCounters } from '../../dataplane/dataplane.js';
import type { Input } from '../../ike/inputs.js';
import type { EventLines } from '../../telemetry/event-lines.js';
import type { Logger } from '../../telemetry/log.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';
import type { Clock } from '../system/clock.js';
import type { Keepalives } from './keepalives.js';
import type { PeerNames } from './peer-names.js';
import type { ConnectionSampler } from './sampler.js';
import { StandstillWatch } from './standstill.js';
import type { TrafficReports } from './traffic-reports.js';

/** The parts of the core that are visited every second. */
export interface UpkeepDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly tracker: Pick<ConnectionTracker, 'traffic' | 'stoodStill'>;
  readonly reports: Pick<TrafficReports, 'report'>;
  readonly sampler: Pick<ConnectionSampler, 'look'>;
  readonly keepalives: Pick<Keepalives, 'take'>;
  readonly peerNames: Pick<PeerNames, 'refreshDue'>;
  readonly lines: Pick<EventLines, 'flush'>;
  readonly totals: Pick<TrafficTotals, 'mark'>;
  counters(): readonly ChildCounters[];
  input(input: Input): void;
  sendKeepalive(remote: Endpoint): void;
}

/** Between two looks at counters, keepalives and folded log lines. */
const TICK: Millis = 1000;

/** What is looked at every second, and has no deadline of its own. */
export class Upkeep {
  readonly #deps: UpkeepDeps;
  #timer: NodeJS.Timeout | undefined;

  constructor(deps: UpkeepDeps) {
    this.#deps = deps;
  }

  start(): void {
    const standstill = new StandstillWatch(this.#deps.clock, TICK);
    this.#timer = setInterval(() => this.look(standstill.look()), TICK);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** One look. `standstill`: nothing ran here for so long before it. */
  look(standstill?: Millis): void {
    const { tracker, totals, reports, sampler, keepalives, peerNames, lines, clock, logger } = this.#deps;
    const now = clock.now();
    if (standstill !== undefined) {
      logger.warn(
        { seconds: Math.round(standstill / 1000) },
        'this machine or process was paused for some time',
      );
      tracker.stoodStill(standstill, now);
    }
    const counters = this.#deps.counters();
    tracker.traffic(trafficById(counters), now);
    totals.mark(counters, now);
    sampler.look(counters);
    reports.report(counters, (input) => this.#deps.input(input));
    for (const peer of keepalives.take(now)) this.#deps.sendKeepalive(peer);
    peerNames.refreshDue();
    lines.flush(now);
  }
}

/** The counters by child SA. */
export function trafficById(counters: readonly ChildCounters[]): ReadonlyMap<number, ChildTraffic> {
  return new Map(counters.map((one) => [one.id, one]));
}
