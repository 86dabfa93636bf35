import type { IkeEvent } from '../ike/events.js';
import type { ConnectionId } from '../util/ids.js';

/** A connection as far as it has a name. */
interface Named {
  readonly id: ConnectionId;
  readonly name: string;
}

/**
 * The names that people know connections by. Everything else uses ids: through this map alone texts for people are
 * written, and what people say is read. Another name is another entry here, and no change anywhere else.
 */
export class ConnectionNames {
  #names: ReadonlyMap<ConnectionId, string> = new Map();
  /** Of connections that the last change has removed: events about their last SAs follow it. */
  #former: ReadonlyMap<ConnectionId, string> = new Map();

  /** Takes over the connections that are configured now. */
  configure(connections: readonly Named[]): void {
    this.#former = this.#names;
    this.#names = new Map(connections.map(({ id, name }) => [id, name]));
  }

  /** The name of a connection; its id when it has none. */
  nameOf(id: ConnectionId): string {
    return this.#names.get(id) ?? this.#former.get(id) ?? id;
  }

  /** The configured connection that a person means by its name, or by its id. */
  find(text: string): ConnectionId | undefined {
    for (const [id, name] of this.#names) if (name === text) return id;
    return this.#names.has(text) ? text : undefined;
  }

  /** In the order of the configuration. */
  all(): string[] {
    return [...this.#names.values()];
  }

  /** The event as people read it: with the name in place of the id. */
  named(event: IkeEvent): IkeEvent {
    if (!('connection' in event) || event.connection === undefined) return event;
    const name = this.nameOf(event.connection);
    return name === event.connection ? event : { ...event, connection: name };
  }
}
