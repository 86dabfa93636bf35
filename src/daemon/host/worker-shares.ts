import type { ConnectionId, WorkerIndex } from '../../util/ids.js';

/**
 * Which packet worker each connection has. All its child SAs belong to that one for as long as it is configured:
 * a rekeyed pair then takes over within one thread, so that no packet passes another on the way. A new connection
 * goes to the worker that has the fewest.
 */
export class WorkerShares {
  readonly #workers: number;
  readonly #byConnection = new Map<ConnectionId, WorkerIndex>();

  constructor(workers: number) {
    this.#workers = workers;
  }

  /** The number of the connection's worker, from 0. */
  of(connection: ConnectionId): WorkerIndex {
    const known = this.#byConnection.get(connection);
    if (known !== undefined) return known;
    const loads = new Array<number>(this.#workers).fill(0);
    for (const worker of this.#byConnection.values()) loads[worker] = loads[worker]! + 1;
    const chosen = loads.indexOf(Math.min(...loads));
    this.#byConnection.set(connection, chosen);
    return chosen;
  }

  /** Takes over the connections that are configured now, in their order. */
  configure(connections: readonly ConnectionId[]): void {
    const wanted = new Set(connections);
    for (const id of [...this.#byConnection.keys()]) {
      if (!wanted.has(id)) this.#byConnection.delete(id);
    }
    for (const id of connections) this.of(id);
  }
}
