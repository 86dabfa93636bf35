import type { Millis } from '../../util/units.js';
import type { V1Child } from './child-record.js';

/** The ESP SAs of one connection. */
interface Family {
  readonly children: Set<V1Child>;
  /** When one of them is to be looked after next; holds while none is `touched`. */
  at: Millis;
  /** Somebody who may change one of them has got it since. */
  touched: boolean;
}

/**
 * ESP SAs by id and by connection. An SA that is got from the table counts as touched, with its connection's
 * others, until `earliest` has looked at them: an input about one connection costs nothing for all others.
 */
export class ChildTable {
  readonly #byId = new Map<number, V1Child>();
  readonly #byConnection = new Map<string, Family>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: number): V1Child | undefined {
    const child = this.#byId.get(id);
    if (child !== undefined) this.#byConnection.get(child.connection)!.touched = true;
    return child;
  }

  has(id: number): boolean {
    return this.#byId.has(id);
  }

  add(child: V1Child): void {
    this.#byId.set(child.id, child);
    const family = this.#byConnection.get(child.connection);
    if (family === undefined) {
      const children = new Set([child]);
      this.#byConnection.set(child.connection, { children, at: Number.POSITIVE_INFINITY, touched: true });
      return;
    }
    family.children.add(child);
    family.touched = true;
  }

  /** Whether it was there. */
  remove(child: V1Child): boolean {
    if (!this.#byId.delete(child.id)) return false;
    const family = this.#byConnection.get(child.connection)!;
    family.children.delete(child);
    family.touched = true;
    if (family.children.size === 0) this.#byConnection.delete(child.connection);
    return true;
  }

  /** Those of a connection, oldest first. A copy. */
  of(connection: string): V1Child[] {
    const family = this.#byConnection.get(connection);
    if (family === undefined) return [];
    family.touched = true;
    return [...family.children];
  }

  /** Those of every connection of which one may be due by now. A copy. */
  maybeDue(now: Millis): V1Child[] {
    const out: V1Child[] = [];
    for (const family of this.#byConnection.values()) {
      if (!family.touched && family.at > now) continue;
      family.touched = true;
      out.push(...family.children);
    }
    return out;
  }

  /**
   * When one is to be looked after next, infinite when none is. From now on none is touched: it may be called only
   * when nobody holds one any more.
   */
  earliest(deadlineOf: (child: V1Child) => Millis): Millis {
    let next = Number.POSITIVE_INFINITY;
    for (const family of this.#byConnection.values()) {
      if (family.touched) {
        family.at = Number.POSITIVE_INFINITY;
        for (const child of family.children) family.at = Math.min(family.at, deadlineOf(child));
        family.touched = false;
      }
      next = Math.min(next, family.at);
    }
    return next;
  }
}
