import type { DataPlane } from '../../dataplane/dataplane.js';

/**
 * How long a rekeyed child SA keeps receiving after both ends have agreed that it is gone. Its last packets
 * come by another socket than the DELETE, where a burst may be waiting, and by a path that may be longer. It is
 * the peer who sent them, so nothing is risked (RFC 7296 §2.8 leaves it to the receiver).
 */
const LAST_PACKETS_MS = 2000;
/**
 * Child SAs that wait so at once. They hold places of the data plane that are not in the engine's count, which
 * leaves room for these: then a child SA that is agreed on finds its place, however fast some peer rekeys.
 */
export const MAX_LEAVING = 1024;

/** Child SAs that were replaced by a rekeying: they send no more, and are removed a moment later. */
export class LeavingChildren {
  readonly #plane: Pick<DataPlane, 'retire' | 'remove'>;
  /** In the order in which they came. */
  readonly #timers = new Map<number, NodeJS.Timeout>();

  constructor(plane: Pick<DataPlane, 'retire' | 'remove'>) {
    this.#plane = plane;
  }

  add(id: number): void {
    this.#plane.retire(id);
    if (this.#timers.size >= MAX_LEAVING) {
      const [first] = this.#timers.keys();
      this.#remove(first!);
    }
    const timer = setTimeout(() => this.#remove(id), LAST_PACKETS_MS);
    timer.unref();
    this.#timers.set(id, timer);
  }

  /** Removes all of them now. */
  end(): void {
    for (const id of [...this.#timers.keys()]) this.#remove(id);
  }

  #remove(id: number): void {
    clearTimeout(this.#timers.get(id));
    this.#timers.delete(id);
    this.#plane.remove(id);
  }
}
