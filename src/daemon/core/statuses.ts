import { type Explanation, explain } from '../../connection/explain.js';
import type { ConnectionView } from '../../connection/reconcile.js';
import type { ConnectionStatusDocument } from '../../connection/status.js';
import type { ConnectionNote, ConnectionProblem, ConnectionTracker } from '../../connection/tracker.js';
import type { ChildCounters } from '../../dataplane/dataplane.js';
import type { Logger } from '../../telemetry/log.js';
import { type Clock, utcText } from '../system/clock.js';
import { trafficById } from './upkeep.js';

export interface StatusesDeps {
  readonly tracker: Pick<ConnectionTracker, 'status' | 'history'>;
  readonly config: { names(): readonly string[]; isStopped(connection: string): boolean };
  /** What the reconciler is doing. */
  readonly reconciler: { view(connection: string): ConnectionView | undefined };
  readonly devices: { nameOf(connection: string): string | undefined };
  counters(): readonly ChildCounters[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The status of connections, put together of what the parts of the daemon know of them. */
export class Statuses {
  readonly #deps: StatusesDeps;
  #problems: ReadonlyMap<string, readonly ConnectionProblem[]> = new Map();

  constructor(deps: StatusesDeps) {
    this.#deps = deps;
  }

  /** Of every configured connection, in the order of the configuration. */
  all(): ConnectionStatusDocument[] {
    const { tracker, config, clock } = this.#deps;
    const notes = new Map(config.names().map((name) => [name, this.#note(name)]));
    return tracker.status(trafficById(this.#deps.counters()), notes, clock.now());
  }

  /** Of one connection; undefined when there is none of this name. */
  of(name: string): ConnectionStatusDocument | undefined {
    return this.all().find((one) => one.name === name);
  }

  /** Why a connection is as it is, with evidence. Undefined when there is none of this name. */
  explain(name: string): Explanation | undefined {
    const status = this.of(name);
    if (status === undefined) return undefined;
    const { tracker, clock } = this.#deps;
    return explain(status, tracker.history(name), {
      now: clock.now(),
      toUtc: (at) => utcText(clock, at),
    });
  }

  /** What this host lacks for the traffic of connections, by name; replaces what was said before. */
  setProblems(problems: ReadonlyMap<string, readonly ConnectionProblem[]>): void {
    for (const name of this.#problems.keys()) {
      if (!problems.has(name))
        this.#deps.logger.info({ connection: name }, 'nothing on this host is in its way any more');
    }
    this.#problems = problems;
  }

  #note(name: string): ConnectionNote {
    const { reconciler, config, devices } = this.#deps;
    const view = reconciler.view(name);
    const problems = this.#problems.get(name);
    const device = devices.nameOf(name);
    return {
      stopped: config.isStopped(name),
      ...(view === undefined ? {} : { view }),
      ...(problems === undefined ? {} : { problems }),
      ...(device === undefined ? {} : { interface: device }),
    };
  }
}
