import type { EventConsumer } from '../../connection/projection.js';
import type { ConnectionStatus } from '../../connection/status.js';
import { subjectOf } from '../../ike/event-subject.js';
import type { IkeEvent } from '../../ike/events.js';
import type { PublishEvent } from '../../telemetry/events/event-document.js';
import { describeOperatorEvent } from '../../telemetry/events/operator-events.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Outage, Statuses } from './statuses.js';

/** What status events are made of. */
export interface StatusEventsDeps {
  readonly statuses: Pick<Statuses, 'standing' | 'outage'>;
  readonly names: { nameOf(connection: ConnectionId): string };
  readonly publish: PublishEvent;
  /** Called after each change. */
  readonly changed?: ((connection: ConnectionId) => void) | undefined;
}

const IS_UP: Outage = { isWanted: true, reasons: [] };

/**
 * Publishes changes of the status of connections. They are looked at when a step is over, so that an SA that takes over
 * from another one is no change.
 */
export class StatusEvents implements EventConsumer {
  readonly #deps: StatusEventsDeps;
  readonly #known = new Map<ConnectionId, ConnectionStatus>();
  readonly #touched = new Set<ConnectionId>();

  constructor(deps: StatusEventsDeps) {
    this.#deps = deps;
  }

  on(event: IkeEvent): void {
    const { connection } = subjectOf(event);
    if (connection !== undefined) this.#touched.add(connection);
  }

  /** These are configured now, and their status may have changed by that. Others are forgotten. */
  configure(connections: readonly { readonly id: ConnectionId }[]): void {
    const ids = new Set(connections.map(({ id }) => id));
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
    for (const id of ids) this.#touched.add(id);
  }

  /** Looks at the connections that something happened to. */
  settle(): void {
    for (const connection of this.#touched) this.#look(connection);
    this.#touched.clear();
  }

  #look(connection: ConnectionId): void {
    const status = this.#deps.statuses.standing(connection);
    if (status === undefined) return;
    const before = this.#known.get(connection) ?? 'down';
    this.#known.set(connection, status);
    if (status === before) return;
    const { names, statuses, publish } = this.#deps;
    const name = names.nameOf(connection);
    const { isWanted, reasons } = status === 'up' ? IS_UP : statuses.outage(connection);
    const [reason] = reasons;
    const cause = reason?.details?.cause;
    publish({
      ...describeOperatorEvent({
        ...{ kind: 'connection-status', name, status, before, isWanted },
        ...(typeof cause === 'string' ? { cause } : {}),
        ...(reason === undefined ? {} : { reason: reason.message }),
      }),
      connection: { id: connection, name },
    });
    this.#deps.changed?.(connection);
  }
}
