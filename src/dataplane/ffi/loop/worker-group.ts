import type { Spi } from '../../../util/ids.js';
import type { ThreadPulse } from '../../dataplane.js';
import { createHandoverRing } from '../memory/handover-ring.js';
import type { GroupSetup } from './messages.js';
import { PacketWorker } from './packet-worker.js';

/** Each worker has a ring from every other one: their memory grows with the square of the number. */
export const MAX_WORKERS = 16;

/** The most workers by default: beyond this the kernel's part of the work is the limit. */
const MAX_BY_DEFAULT = 4;

/** Whether a gateway can have so many workers: a power of two up to `MAX_WORKERS`. */
export function isWorkerCount(workers: number): boolean {
  return (
    Number.isInteger(workers) && workers >= 1 && workers <= MAX_WORKERS && (workers & (workers - 1)) === 0
  );
}

/**
 * Workers on a machine with so many processors by default: half of them, rounded down to a power
 * of two. The other half is for the kernel, which spends as much time on a packet as the worker does, and for
 * IKE. Hence 1 on up to three processors, 2 on four to seven, and 4 from eight on.
 */
export function defaultWorkers(processors: number): number {
  let workers = 1;
  while (workers < MAX_BY_DEFAULT && 4 * workers <= processors) workers *= 2;
  return workers;
}

/** The packet threads of one gateway, with the rings between each two of them. */
export class WorkerGroup {
  readonly workers: readonly PacketWorker[];
  /** By number of the reader, then of the writer. */
  readonly #rings: readonly (readonly (SharedArrayBuffer | undefined)[])[];
  readonly #alarms: SharedArrayBuffer;
  #closing: Promise<void> | undefined;

  /** @throws RangeError for a number that `isWorkerCount` refuses */
  constructor(workers: number) {
    if (!isWorkerCount(workers)) {
      throw new RangeError(`${workers} packet workers: use a power of two from 1 to ${MAX_WORKERS}`);
    }
    const numbers = Array.from({ length: workers }, (_, i) => i);
    this.workers = numbers.map(() => new PacketWorker());
    this.#rings = numbers.map((to) =>
      numbers.map((from) => (from === to ? undefined : createHandoverRing())),
    );
    this.#alarms = new SharedArrayBuffer(4 * workers);
  }

  /** Makes the threads, which load what they need while they wait for work; see `PacketWorker.load`. */
  load(entry?: URL): void {
    this.workers.forEach((worker, i) => {
      worker.load(this.size === 1 ? 'culvert packets' : `culvert packets ${i}`, entry);
    });
  }

  get size(): number {
    return this.workers.length;
  }

  /** What worker `index` needs to deal with the others; undefined for one that is alone. */
  setupOf(index: number): GroupSetup | undefined {
    if (this.size === 1) return undefined;
    return {
      index,
      workers: this.size,
      wakeFds: this.workers.map(({ wakeFd }) => wakeFd),
      inbox: this.#rings[index]!,
      outbox: this.#rings.map((inbox) => inbox[index]),
      alarms: this.#alarms,
    };
  }

  /** The number of the worker that owns SAs with this inbound SPI. */
  ownerOf(spiIn: Spi): number {
    return (spiIn & (this.size - 1)) >>> 0;
  }

  /** Asks every thread for a sign of life; see `DataPlane.pulse`. */
  pulse(): readonly ThreadPulse[] {
    return this.workers.map((worker) => worker.pulse());
  }

  stop(): void {
    for (const worker of this.workers) worker.stop();
  }

  /** Resolves when all threads have ended and nothing of theirs is left. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.stop();
    await Promise.all(this.workers.map((worker) => worker.ended()));
    for (const worker of this.workers) worker.dispose();
    for (const inbox of this.#rings) {
      for (const ring of inbox) if (ring !== undefined) new Uint8Array(ring).fill(0);
    }
  }
}

/**
 * Packet threads that are made before it is known how many a gateway wants: they load while the main thread loads, and
 * are ready when it is. They hold the process until they are taken or closed.
 */
export class PreparedWorkers {
  #group: WorkerGroup | undefined;

  /** @throws LinuxError without FFI; RangeError for a number that `isWorkerCount` refuses */
  constructor(workers: number) {
    this.#group = new WorkerGroup(workers);
    this.#group.load();
  }

  /** The threads, if they are as many and have not been taken; otherwise they are ended. */
  take(workers: number): WorkerGroup | undefined {
    const group = this.#group;
    this.#group = undefined;
    if (group?.size === workers) return group;
    void group?.close();
    return undefined;
  }

  /** Ends those that have not been taken. */
  async close(): Promise<void> {
    await this.#group?.close();
    this.#group = undefined;
  }
}
