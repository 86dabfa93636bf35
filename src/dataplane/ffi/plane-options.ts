import type { Millis } from '../../util/units.js';
import type { DataPlaneListener } from '../dataplane.js';
import type { Offload } from '../offload.js';
import type { PlaneTun } from './further-devices.js';
import type { WorkerGroup } from './loop/worker-group.js';

/** What the fast data plane is made with. */
export interface FfiDataPlaneOptions {
  /** Threads, a power of two up to `MAX_WORKERS`; 1 by default. */
  readonly workers?: number;
  /** As many threads that were made before, to be used up; closed by `close()`. */
  readonly group?: WorkerGroup;
  /**
   * Bound non-blocking UDP sockets of port 4500, of one family. They stay the caller's, who closes them
   * after `close()` has resolved. Several workers have one each, which gets the SPIs of its worker; one worker
   * serves all.
   */
  readonly espFds: readonly number[];
  /**
   * Raw sockets for ESP without UDP, of the same family, one per worker, filtered by SPI; also the caller's. Without
   * them there is UDP only.
   */
  readonly rawFds?: readonly number[];
  /** Closed by `close()`. Several workers have a queue of it each. */
  readonly tun: PlaneTun;
  /** Opens a further TUN device of this name, ready for use; closed by this data plane. */
  readonly openTun?: (name: string) => PlaneTun;
  /** Which offloads to use; those of TUN and of receiving are the caller's to agree on with the kernel. */
  readonly offload?: Offload;
  /** MSS that no TCP connection through the tunnel may exceed, 0 to leave MSS alone; 1360 by default. */
  readonly mssCeiling?: number;
  readonly listener: DataPlaneListener;
  /** The worker's program in place of the usual one, for benchmarks. */
  readonly workerEntry?: URL;
  /** The daemon's clock, for `lastInbound`. */
  readonly now: () => Millis;
  /** Called when an offload turned itself off, with the error number. */
  readonly offloadLost?: (name: keyof Offload, errno: number) => void;
  /** Called when the worker runs, with the implementation it uses and a note when that is not the fast one. */
  readonly ready?: (crypto: string, note: string | undefined) => void;
}

/** @throws RangeError when there are no sockets, or not as many of each kind as there are workers */
export function checkOptions({ workers = 1, espFds, rawFds, tun, group }: FfiDataPlaneOptions): void {
  if (espFds.length === 0) throw new RangeError('the data plane needs at least one ESP socket');
  if (group !== undefined && group.size !== workers) {
    throw new RangeError(`${group.size} packet workers are there, and ${workers} are needed`);
  }
  if (workers > 1 && (espFds.length !== workers || tun.fds?.length !== workers)) {
    throw new RangeError(`${workers} packet workers need as many ESP sockets and queues of the TUN device`);
  }
  if (rawFds !== undefined && rawFds.length !== workers) {
    throw new RangeError(`${workers} packet workers need as many raw sockets`);
  }
}
