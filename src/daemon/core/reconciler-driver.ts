import type { SaChange, SaView } from '../../connection/ledger.js';
import { Reconciler } from '../../connection/reconcile.js';
import type { Command, ConnectionView, ReconcileInput, State } from '../../connection/reconcile-types.js';
import type { IkeEvent } from '../../ike/events.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Random } from '../../util/random.js';
import type { Millis } from '../../util/units.js';
import type { Clock } from '../system/clock.js';
import type { Sleeper } from './engine-driver.js';
import type { Actor } from './event-bus.js';

/** What the reconciler's commands become. */
export interface Orders {
  initiate(connection: ConnectionId): void;
  /** Re-establishes the connection beside the SAs it has. */
  renew(connection: ConnectionId): void;
  /** Takes effect with the next order, or with `done`. */
  terminate(connection: ConnectionId): void;
  /** Whether an operator holds the connection down. */
  setStopped(connection: ConnectionId, stopped: boolean): void;
  /** An attempt was not made: the peer's host name has no address. */
  unresolved(connection: ConnectionId, problem: string): void;
  /** These were all orders for now. */
  done(): void;
}

/** What the reconciler reads, and who carries out its commands. */
export interface ReconcilerDriverDeps {
  readonly random: Random;
  readonly ledger: SaView;
  readonly clock: Pick<Clock, 'now'>;
  /** The peers that are configured by host name. */
  readonly peerNames: {
    has(connection: ConnectionId): boolean;
    refresh(connection: ConnectionId): Promise<string | undefined>;
  };
  readonly orders: Orders;
}

/** Asks the reconciler and carries out its commands; attempts wait until the peer's host name is resolved. */
export class ReconcilerDriver implements Sleeper, Actor {
  readonly #deps: ReconcilerDriverDeps;
  readonly #reconciler: Reconciler;
  #ended = false;

  constructor(deps: ReconcilerDriverDeps) {
    this.#deps = deps;
    this.#reconciler = new Reconciler(deps.random, deps.ledger);
  }

  on(event: IkeEvent, now: Millis, change: SaChange): void {
    if (!this.#ended) this.#reconciler.on(event, now, change);
  }

  act(): void {
    this.handle({ kind: 'step' });
  }

  handle(input: ReconcileInput): void {
    if (this.#ended) return;
    for (const command of this.#reconciler.handle(input, this.#deps.clock.now())) this.#command(command);
    this.#deps.orders.done();
  }

  get ended(): boolean {
    return this.#ended;
  }

  view(connection: ConnectionId): ConnectionView | undefined {
    return this.#reconciler.view(connection);
  }

  nextDeadline(): Millis | undefined {
    return this.#ended ? undefined : this.#reconciler.nextDeadline();
  }

  wake(): void {
    this.handle({ kind: 'timer' });
  }

  /** Gives no orders any more: all SAs are being deleted. */
  end(): void {
    this.#ended = true;
  }

  #command({ kind, connection }: Command): void {
    const { orders } = this.#deps;
    switch (kind) {
      case 'initiate':
        this.#resolved(connection, 'connecting', () => orders.initiate(connection));
        return;
      case 'renew':
        this.#resolved(connection, 'up', () => orders.renew(connection));
        return;
      case 'terminate':
        orders.terminate(connection);
        return;
      case 'refuse':
        orders.setStopped(connection, true);
        return;
      case 'admit':
        orders.setStopped(connection, false);
    }
  }

  /** Runs `step` once the peer's host name, if it has one, is resolved, if the state is still this one then. */
  #resolved(connection: ConnectionId, state: State, step: () => void): void {
    const { peerNames, orders } = this.#deps;
    if (!peerNames.has(connection)) {
      step();
      return;
    }
    void peerNames.refresh(connection).then((problem) => {
      if (this.#ended || this.view(connection)?.state !== state) return;
      if (problem === undefined) step();
      else orders.unresolved(connection, problem);
    });
  }
}
