import { createOutboundTable, type OutboundTable } from '../../esp/policy-table.js';
import { Errno, linuxError } from '../../linux/errors.js';
import { type Libc, lastErrno, libc } from '../../linux/ffi.js';
import type { Arena } from './arena.js';
import type { Child } from './child.js';
import type { OrderReader } from './control-ring.js';
import { Counter, counterBase, GLOBAL_BLOCK } from './counters.js';
import type { WorkerReport } from './messages.js';

/** What both directions of the packet path share. */
export class Path {
  readonly arena: Arena;
  readonly calls: Libc = libc();
  readonly tunFd: number;
  readonly espFds: readonly number[];
  readonly orders: OrderReader;
  readonly report: (report: WorkerReport) => void;
  readonly byId = new Map<number, Child>();
  /** By inbound SPI as a signed number, so that looking one up makes no heap number. */
  readonly bySpi = new Map<number, Child>();
  readonly table: OutboundTable = createOutboundTable();
  readonly #drops = counterBase(GLOBAL_BLOCK) + Counter.DROPS;

  constructor(
    arena: Arena,
    tunFd: number,
    espFds: readonly number[],
    orders: OrderReader,
    report: (report: WorkerReport) => void,
  ) {
    this.arena = arena;
    this.tunFd = tunFd;
    this.espFds = espFds;
    this.orders = orders;
    this.report = report;
  }

  /** Counts a drop that belongs to no SA. `reason` is one of `Drop`. */
  drop(reason: number): void {
    const { f64 } = this.arena;
    f64[this.#drops + reason] = f64[this.#drops + reason]! + 1;
  }
}

/** Whether a descriptor is gone for good, so that going on makes no sense. */
export function isFatal(errno: number): boolean {
  // EBADFD is what a TUN descriptor answers after its device was removed.
  return errno === Errno.EBADF || errno === Errno.EBADFD || errno === Errno.ENOTSOCK;
}

/** Error number of a failed call. @throws LinuxError when `isFatal` */
export function survivable(doing: string): number {
  const errno = lastErrno();
  if (isFatal(errno)) throw linuxError(errno, doing);
  return errno;
}
