/**
 * Which packet worker each connection has. All its child SAs belong to that one for as long as it is configured:
 * a rekeyed pair then takes over within one thread, so that no packet passes another on the way. A new connection
 * goes to the worker that has the fewest.
 */
export class WorkerShares {
  readonly #workers: number;
  readonly #byConnection = new Map<string, number>();

  constructor(workers: number) {
    this.#workers = workers;
  }

  /** The number of the connection's worker, from 0. */
  of(connection: string): number {
    const known = this.#byConnection.get(connection);
    if (known !== undefined) return known;
    const loads = new Array<number>(this.#workers).fill(0);
    for (const worker of this.#byConnection.values()) loads[worker] = loads[worker]! + 1;
    const chosen = loads.indexOf(Math.min(...loads));
    this.#byConnection.set(connection, chosen);
    return chosen;
  }

  rename(from: string, to: string): void {
    const worker = this.#byConnection.get(from);
    if (worker === undefined) return;
    this.#byConnection.delete(from);
    this.#byConnection.set(to, worker);
  }

  /** Takes over the connections that are configured now, in their order. */
  configure(connections: readonly string[]): void {
    const wanted = new Set(connections);
    for (const name of [...this.#byConnection.keys()]) {
      if (!wanted.has(name)) this.#byConnection.delete(name);
    }
    for (const name of connections) this.of(name);
  }
}
