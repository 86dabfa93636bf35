import { noteMtu, type ReadCounters } from '../../connection/traffic-totals.js';
import { addDrops } from '../../esp/drop-counter.js';
import type { DropCounts } from '../../esp/drops.js';
import { threadSeconds } from '../../linux/threads.js';
import type { WorkerIndex } from '../../util/ids.js';
import type { Millis } from '../../util/units.js';
import type { Writable } from '../../util/writable.js';
import type { ChildCounters, WorkerState } from '../dataplane.js';
import type { WorkerGroup } from './loop/worker-group.js';
import {
  addChild,
  GLOBAL_BLOCK,
  monotonicMillis,
  readChild,
  readDrops,
  readWorker,
} from './memory/counters.js';
import type { KnownMtus } from './path-mtus.js';

/** A child SA as far as its counters are concerned: where they are, and what is counted by others. */
export interface CountedInstallation {
  readonly worker: WorkerIndex;
  /** Number of its block of counters in the memory of the worker. */
  readonly block: number;
  readonly mtus: KnownMtus;
}

/** Reads what the workers count, at any time and without their help. */
export class PlaneCounters {
  readonly #children: ReadonlyMap<number, CountedInstallation>;
  readonly #group: WorkerGroup;
  readonly #now: () => Millis;

  /** @param now the daemon's clock */
  constructor(children: ReadonlyMap<number, CountedInstallation>, group: WorkerGroup, now: () => Millis) {
    this.#children = children;
    this.#group = group;
    this.#now = now;
  }

  all(): ChildCounters[] {
    const toClock = this.#toClock();
    return Array.from(this.#children, ([id, child]) => this.#read(id, child, toClock));
  }

  of(id: number): ChildCounters | undefined {
    const child = this.#children.get(id);
    return child && this.#read(id, child, this.#toClock());
  }

  readonly addTo: ReadCounters = (totalOf) => {
    const toClock = this.#toClock();
    for (const [id, child] of this.#children) {
      const total = totalOf(id);
      addChild(this.#group.workers[child.worker]!.arena, child.block, { id, total, toClock });
      noteMtu(total, child.mtus.innerMtu ?? 0);
    }
  };

  /** Drops that belong to no child SA. */
  drops(): DropCounts {
    return addDrops(this.#group.workers.map(({ arena }) => readDrops(arena, GLOBAL_BLOCK)));
  }

  /** @param threads numbers that the kernel has for the threads of the workers, as far as they are known */
  workers(threads: readonly (number | undefined)[]): WorkerState[] {
    const children = new Int32Array(this.#group.size);
    for (const { worker } of this.#children.values()) children[worker] = children[worker]! + 1;
    return this.#group.workers.map(({ arena }, i) => ({
      ...readWorker(arena),
      children: children[i]!,
      cpuSeconds: threadSeconds(threads[i]),
    }));
  }

  #read(id: number, child: CountedInstallation, toClock: (monotonic: number) => Millis): ChildCounters {
    const { arena } = this.#group.workers[child.worker]!;
    const counters: Writable<ChildCounters> = readChild(arena, child.block, id, toClock);
    // Field by field: ten thousand are read every second.
    if (this.#group.size > 1) counters.worker = child.worker;
    const { pathMtu, innerMtu } = child.mtus;
    if (pathMtu !== undefined) counters.pathMtu = pathMtu;
    if (innerMtu !== undefined) counters.innerMtu = innerMtu;
    return counters;
  }

  /** Makes times on the kernel's monotonic clock times on the daemon's. */
  #toClock(): (monotonic: number) => Millis {
    const offset = this.#now() - monotonicMillis();
    return (monotonic) => monotonic + offset;
  }
}
