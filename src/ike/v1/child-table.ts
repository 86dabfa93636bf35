import type { ConnectionId } from '../../util/ids.js';
import type { Millis } from '../../util/units.js';
import { Agenda } from '../sa/agenda.js';
import type { V1Child } from './child-record.js';

/** The ESP SAs of one connection. */
type Family = Set<V1Child>;

/**
 * ESP SAs by id and by connection. An SA that is got from the table counts as touched, with its connection's
 * others, until `earliest` has looked at them: an input about one connection costs nothing for all others.
 */
export class ChildTable {
  readonly #byId = new Map<number, V1Child>();
  readonly #bySpiOut = new Map<string, V1Child>();
  readonly #byConnection = new Map<string, Family>();
  readonly #agenda = new Agenda<Family>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: number): V1Child | undefined {
    const child = this.#byId.get(id);
    const family = child && this.#byConnection.get(child.connection);
    if (family !== undefined) this.#agenda.touch(family);
    return child;
  }

  /** The one whose packets the connection's peer receives under this SPI. */
  byOutboundSpi(connection: ConnectionId, spi: number): V1Child | undefined {
    const child = this.#bySpiOut.get(spiKey(connection, spi));
    return child && this.get(child.id);
  }

  has(id: number): boolean {
    return this.#byId.has(id);
  }

  add(child: V1Child): void {
    this.#byId.set(child.id, child);
    this.#bySpiOut.set(spiKey(child.connection, child.spiOut), child);
    const family = this.#byConnection.get(child.connection);
    if (family !== undefined) {
      family.add(child);
      this.#agenda.touch(family);
      return;
    }
    const founded: Family = new Set([child]);
    this.#byConnection.set(child.connection, founded);
    this.#agenda.add(founded);
  }

  /** Whether it was there. */
  remove(child: V1Child): boolean {
    if (!this.#byId.delete(child.id)) return false;
    this.#bySpiOut.delete(spiKey(child.connection, child.spiOut));
    const family = this.#byConnection.get(child.connection);
    if (family === undefined) return true;
    family.delete(child);
    this.#agenda.touch(family);
    if (family.size > 0) return true;
    this.#byConnection.delete(child.connection);
    this.#agenda.remove(family);
    return true;
  }

  /** Names of the connections that have any. A copy. */
  connections(): string[] {
    return [...this.#byConnection.keys()];
  }

  /** Those of a connection, oldest first. A copy. */
  of(connection: ConnectionId): V1Child[] {
    const family = this.#byConnection.get(connection);
    if (family === undefined) return [];
    this.#agenda.touch(family);
    return [...family];
  }

  /** The same, to be looked at and not to be changed. */
  viewOf(connection: ConnectionId): V1Child[] {
    return [...(this.#byConnection.get(connection) ?? [])];
  }

  /** The connections whose SAs may have changed, until `earliest` has looked at them. */
  touched(): ConnectionId[] {
    return this.#agenda.touched().flatMap((family) => Array.from(family, ({ connection }) => connection));
  }

  /** What decides about all deadlines has changed. */
  touchAll(): void {
    for (const family of this.#byConnection.values()) this.#agenda.touch(family);
  }

  /** Those of every connection of which one may be due by now. A copy. */
  maybeDue(now: Millis, deadlineOf: (child: V1Child) => Millis): V1Child[] {
    return [...this.#agenda.due(now, familyDeadline(deadlineOf))].flatMap((family) => [...family]);
  }

  /** When one needs attention next, infinite when none is. @see Agenda.earliest */
  earliest(deadlineOf: (child: V1Child) => Millis): Millis {
    return this.#agenda.earliest(familyDeadline(deadlineOf));
  }
}

function familyDeadline(deadlineOf: (child: V1Child) => Millis): (family: Family) => Millis {
  return (family) => {
    let at = Number.POSITIVE_INFINITY;
    for (const child of family) at = Math.min(at, deadlineOf(child));
    return at;
  };
}

/** SPIs are the peer's choice: two peers may choose the same one. */
function spiKey(connection: ConnectionId, spi: number): string {
  return `${spi} ${connection}`;
}
