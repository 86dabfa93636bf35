import type { TunDevice } from '../../linux/tun.js';
import type { DeviceNumber, WorkerIndex } from '../../util/ids.js';
import { MAX_FURTHER_DEVICES } from './loop/packet-loop.js';

/** What the data plane needs of a TUN device. */
export type PlaneTun = Pick<TunDevice, 'fd' | 'close'> & Partial<Pick<TunDevice, 'fds' | 'virtioHeader'>>;

interface Device {
  readonly tun: PlaneTun;
  /** Number of the one worker that serves it. */
  readonly worker: WorkerIndex;
  /** Being removed: it stays until the worker has let go of it. */
  leaving: boolean;
}

/** The TUN devices of a data plane beside the first, by number. */
export class FurtherDevices {
  readonly #devices = new Map<DeviceNumber, Device>();

  /** @throws RangeError when there are too many, or what `open` throws */
  open(name: string, worker: WorkerIndex, open: (name: string) => PlaneTun): [DeviceNumber, PlaneTun] {
    let device = 1;
    while (this.#devices.has(device)) device++;
    if (device > MAX_FURTHER_DEVICES) {
      throw new RangeError(
        `TUN device ${name}: ${MAX_FURTHER_DEVICES + 1} devices are there, which is the limit`,
      );
    }
    const tun = open(name);
    this.#devices.set(device, { tun, worker, leaving: false });
    return [device, tun];
  }

  /** Why a child SA whose inbound SPI belongs to worker `owner` cannot use this device; undefined when it can. */
  fault(device: DeviceNumber, owner: WorkerIndex): string | undefined {
    if (device === 0) return undefined;
    const known = this.#devices.get(device);
    if (known?.leaving !== false) return `there is no device ${device}`;
    if (known.worker === owner) return undefined;
    return `device ${device} belongs to packet worker ${known.worker}, its inbound SPI to ${owner}`;
  }

  /** Takes no more child SAs on this device. Returns the worker that has to let go of it; undefined when none has. */
  leave(device: DeviceNumber): WorkerIndex | undefined {
    const known = this.#devices.get(device);
    if (known === undefined || known.leaving) return undefined;
    known.leaving = true;
    return known.worker;
  }

  /** Its worker has let go of it. */
  released(device: DeviceNumber): void {
    this.#devices.get(device)?.tun.close();
    this.#devices.delete(device);
  }

  /** Closes all of them. */
  close(): void {
    for (const { tun } of this.#devices.values()) tun.close();
    this.#devices.clear();
  }
}
