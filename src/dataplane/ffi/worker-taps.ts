import type { PacketTap, TapOptions, TappedPacket } from '../packet-tap.js';
import type { PacketWorker, PendingOrder } from './loop/packet-worker.js';
import { monotonicMillis } from './memory/counters.js';
import { encodeId, encodeTap, Order } from './memory/orders.js';
import { createTapRing, TapReader } from './memory/tap-ring.js';

/** What a tap needs of its data plane. */
export interface TappedWorkers {
  readonly workers: readonly PacketWorker[];
  order(worker: PacketWorker, order: PendingOrder): void;
  /** Called once, when the tap is closed. */
  closed(): void;
}

/** Copies of the packets of all workers, from a ring of each. */
export class WorkerTaps implements PacketTap {
  readonly #plane: TappedWorkers;
  readonly #readers: readonly TapReader[];
  /** From the monotonic clock to that of the options. */
  readonly #offset: number;
  #closed = false;

  constructor(plane: TappedWorkers, options: TapOptions) {
    this.#plane = plane;
    this.#offset = options.now() - monotonicMillis();
    this.#readers = plane.workers.map((worker) => {
      const ring = createTapRing();
      worker.post(ring);
      plane.order(worker, { kind: Order.TAP, ...encodeTap(options) });
      return new TapReader(ring);
    });
  }

  watch(childId: number): void {
    if (this.#closed) return;
    for (const worker of this.#plane.workers)
      this.#plane.order(worker, { kind: Order.TAP_CHILD, ...encodeId(childId) });
  }

  take(octets: number): TappedPacket[] {
    const taken: TappedPacket[] = [];
    if (this.#closed) return taken;
    for (const reader of this.#readers) {
      let room = octets / this.#readers.length;
      while (room > 0) {
        const packet = reader.next();
        if (packet === undefined) break;
        room -= packet.bytes.length;
        taken.push({ ...packet, at: packet.at + this.#offset });
      }
    }
    return this.#readers.length === 1 ? taken : taken.sort((a, b) => a.at - b.at);
  }

  get lost(): number {
    return this.#readers.reduce((sum, { lost }) => sum + lost, 0);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const worker of this.#plane.workers) {
      this.#plane.order(worker, { kind: Order.TAP_END, length: 0, write: () => undefined });
    }
    this.#plane.closed();
  }
}
