import { workerData } from 'node:worker_threads';
import { Handover } from '../../src/dataplane/ffi/loop/handover.js';
import type { GroupSetup } from '../../src/dataplane/ffi/loop/messages.js';
import type { HandoverReader } from '../../src/dataplane/ffi/memory/handover-ring.js';
import { useEventFd } from '../../src/linux/eventfd.js';
import { addressOf, hostBuffer } from '../../src/linux/ffi.js';
import { POLLFD_SIZE, POLLIN, poll, pollEvents, writePollFd } from '../../src/linux/poll.js';

/** A worker's dealings with others, without a packet path: sleeps until it is woken, then takes what is there. */
export class Sleeper {
  readonly handover: Handover;
  readonly #wake;
  readonly #polled = hostBuffer(POLLFD_SIZE);
  readonly #view = new DataView(this.#polled.buffer);

  constructor(setup: GroupSetup) {
    this.handover = new Handover(setup);
    this.#wake = useEventFd(setup.wakeFds[setup.index]!);
    writePollFd(this.#view, 0, setup.wakeFds[setup.index]!, POLLIN);
  }

  /** False when nobody woke it within `millis`. */
  turn(millis: number, take: (reader: HandoverReader) => void): boolean {
    poll(addressOf(this.#polled), 1, millis);
    if (pollEvents(this.#view, 0) === 0) return false;
    this.#wake.clear();
    this.handover.takeAll(take);
    return true;
  }
}

/** Gives back what it is given until it is given nothing for two seconds, or a packet of one octet. */
function echo(setup: GroupSetup): void {
  const sleeper = new Sleeper(setup);
  const bytes = hostBuffer(70_000);
  let ended = false;
  while (!ended) {
    const woken = sleeper.turn(2000, (reader) => {
      reader.copyPacket(addressOf(bytes));
      if (reader.length === 1) ended = true;
      else sleeper.handover.give(0, reader.kind, addressOf(bytes), reader.length, 0, 0);
    });
    if (!woken) break;
    sleeper.handover.flush();
  }
}

if (workerData?.echo !== undefined) echo(workerData.echo as GroupSetup);
