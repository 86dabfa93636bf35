import { type EventFd, useEventFd } from '../../../linux/eventfd.js';
import type { Spi, WorkerIndex } from '../../../util/ids.js';
import { HandoverReader, HandoverWriter } from '../memory/handover-ring.js';
import type { GroupSetup } from './messages.js';

/** Octets taken from one ring before the sockets and TUN have their turn. */
const MAX_TAKEN = 256 * 1024;

interface Neighbour {
  readonly writer: HandoverWriter;
  readonly wake: EventFd;
  /** Whether something was given since the last flush. */
  news: boolean;
}

/**
 * One worker's dealings with the others. An SA is in one worker only, but its packets may reach any: the kernel
 * spreads what is routed to TUN over the queues by flow, and one train of datagrams (UDP_GRO) may contain several
 * SPIs. Such packets go to the owner through a ring, and the owner is woken once per burst.
 */
export class Handover {
  readonly index: number;
  /** Worker by id of the child SAs that belong to others. */
  readonly owners = new Map<number, number>();
  readonly #mask: number;
  readonly #neighbours: (Neighbour | undefined)[];
  readonly #readers: HandoverReader[] = [];
  readonly #alarms: Int32Array;
  readonly #ownWake: EventFd;

  constructor(setup: GroupSetup) {
    this.index = setup.index;
    this.#mask = setup.workers - 1;
    this.#alarms = new Int32Array(setup.alarms);
    this.#ownWake = useEventFd(setup.wakeFds[setup.index]!);
    this.#neighbours = setup.outbox.map((ring, i) =>
      ring === undefined
        ? undefined
        : { writer: new HandoverWriter(ring), wake: useEventFd(setup.wakeFds[i]!), news: false },
    );
    for (const ring of setup.inbox) if (ring !== undefined) this.#readers.push(new HandoverReader(ring));
  }

  /** The worker that SAs with this inbound SPI belong to. */
  ownerOfSpi(spi: Spi): number {
    return spi & this.#mask;
  }

  /** As `HandoverWriter.put`; `worker` is another than this. False when its ring is full. */
  give(
    worker: WorkerIndex,
    kind: number,
    address: number,
    length: number,
    trafficClass: number,
    nameAddress: number,
  ): boolean {
    const neighbour = this.#neighbours[worker]!;
    if (!neighbour.writer.put(kind, address, length, trafficClass, nameAddress)) {
      // It must not sleep on a full ring, should it have been filled by this very burst.
      this.#alarm(worker, neighbour);
      return false;
    }
    neighbour.news = true;
    return true;
  }

  /** Wakes those who were given something. */
  flush(): void {
    for (let i = 0; i < this.#neighbours.length; i++) {
      const neighbour = this.#neighbours[i];
      if (neighbour?.news === true) this.#alarm(i, neighbour);
    }
  }

  /** A system call only where the other has looked since the last one. */
  #alarm(worker: WorkerIndex, neighbour: Neighbour): void {
    neighbour.news = false;
    if (Atomics.exchange(this.#alarms, worker, 1) === 0) neighbour.wake.signal();
  }

  /**
   * Shows `take` the packets that others have given: up to a burst of each, the rest after the next poll. To be
   * called when the eventfd was readable, and after it was cleared.
   * @returns how many there were
   */
  takeAll(take: (reader: HandoverReader) => void): number {
    // Before the look at the rings: a worker that gives something from here on wakes us again.
    Atomics.store(this.#alarms, this.index, 0);
    let taken = 0;
    let more = false;
    for (const reader of this.#readers) {
      let octets = 0;
      while (octets < MAX_TAKEN && reader.next()) {
        octets += reader.length;
        taken++;
        take(reader);
        reader.release();
      }
      more ||= octets >= MAX_TAKEN;
    }
    if (more && Atomics.exchange(this.#alarms, this.index, 1) === 0) this.#ownWake.signal();
    return taken;
  }
}
