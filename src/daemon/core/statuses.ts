import type { ConnectionNames } from '../../connection/connection-names.js';
import {
  type CarriedRoute,
  type ConnectionNote,
  type ConnectionProblem,
  effectiveStatus,
} from '../../connection/document.js';
import { type Explanation, explain } from '../../connection/explain.js';
import type { ConnectionView } from '../../connection/reconcile-types.js';
import type { ConnectionStatus, ConnectionStatusDocument, StatusReason } from '../../connection/status.js';
import type { ConnectionTracker } from '../../connection/tracker.js';
import type { ChildCounters } from '../../dataplane/dataplane.js';
import type { Logger } from '../../telemetry/log.js';
import type { ChildId, ConnectionId } from '../../util/ids.js';
import { type Clock, utcText } from '../system/clock.js';
import type { ConfigInForce } from './config-in-force.js';
import { trafficById } from './upkeep.js';

/** Everything that a status document is put together from. All of it is read when a document is asked for. */
export interface StatusesDeps {
  readonly tracker: Pick<ConnectionTracker, 'status' | 'statusOf' | 'carried' | 'history'>;
  readonly config: Pick<ConfigInForce, 'connections' | 'isStopped'>;
  readonly names: Pick<ConnectionNames, 'nameOf'>;
  /** What the reconciler is doing. */
  readonly reconciler: { view(connection: ConnectionId): ConnectionView | undefined };
  readonly devices: { nameOf(connection: ConnectionId): string | undefined };
  /** How the networks in the `routes` of a connection are carried. */
  readonly routesOf?: ((connection: ConnectionId) => readonly CarriedRoute[]) | undefined;
  counters(): readonly ChildCounters[];
  countersOf(child: ChildId): ChildCounters | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What there is to say of a connection that is not up. */
export interface Outage {
  /** It is to be up. */
  readonly isWanted: boolean;
  readonly reasons: readonly StatusReason[];
}

/** The status of connections, put together of what the parts of the daemon know of them. */
export class Statuses {
  readonly #deps: StatusesDeps;
  #problems: ReadonlyMap<ConnectionId, readonly ConnectionProblem[]> = new Map();

  constructor(deps: StatusesDeps) {
    this.#deps = deps;
  }

  /** Of every configured connection, in the order of the configuration. */
  all(): ConnectionStatusDocument[] {
    const { tracker, config, clock } = this.#deps;
    const notes = new Map(config.connections.map(({ id }) => [id, this.noteOf(id)]));
    return tracker.status(trafficById(this.#deps.counters()), notes, clock.now());
  }

  /** Of one connection; undefined when there is none of this id. */
  of(id: ConnectionId): ConnectionStatusDocument | undefined {
    const { tracker, clock } = this.#deps;
    const traffic = { get: (child: ChildId) => this.#deps.countersOf(child) };
    return tracker.statusOf(id, traffic, this.noteOf(id), clock.now());
  }

  /** The status of one connection alone, without the work of its document; undefined when there is none of this id. */
  standing(id: ConnectionId): ConnectionStatus | undefined {
    const carried = this.#deps.tracker.carried(id);
    if (carried === undefined) return undefined;
    const problems = this.#problems.get(id);
    return effectiveStatus(carried, problems && { problems });
  }

  /** Whether one connection is to be up, and why it is not, without looking at any counter. */
  outage(id: ConnectionId): Outage {
    const { tracker, clock, config } = this.#deps;
    const document = tracker.statusOf(id, new Map(), this.noteOf(id), clock.now());
    const isWanted = document?.admin_state_up === true && !config.isStopped(id);
    return { isWanted, reasons: document?.status_reasons ?? [] };
  }

  /** Why a connection is as it is, with evidence. Undefined when there is none of this id. */
  explain(id: ConnectionId): Explanation | undefined {
    const status = this.of(id);
    if (status === undefined) return undefined;
    const { tracker, clock } = this.#deps;
    return explain(status, tracker.history(id), {
      now: clock.now(),
      toUtc: (at) => utcText(clock, at),
    });
  }

  /** What this host lacks for the traffic of connections; replaces what was said before. */
  setProblems(problems: ReadonlyMap<ConnectionId, readonly ConnectionProblem[]>): void {
    const { logger, names } = this.#deps;
    for (const id of this.#problems.keys()) {
      if (problems.has(id)) continue;
      logger.info({ connection: names.nameOf(id) }, 'nothing on this host is in its way any longer');
    }
    this.#problems = problems;
  }

  /** What is known of a connection beside its events. */
  noteOf(id: ConnectionId): ConnectionNote {
    const { reconciler, config, devices } = this.#deps;
    const view = reconciler.view(id);
    const problems = this.#problems.get(id);
    const device = devices.nameOf(id);
    const routes = this.#deps.routesOf?.(id) ?? [];
    return {
      stopped: config.isStopped(id),
      ...(view === undefined ? {} : { view }),
      ...(problems === undefined ? {} : { problems }),
      ...(device === undefined ? {} : { interface: device }),
      ...(routes.length === 0 ? {} : { routes }),
    };
  }
}
