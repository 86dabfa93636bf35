import { EarlyPackets } from '../../../esp/early-packets.js';
import type { PacketMemory } from '../../../esp/offload/packet-memory.js';
import { VIRTIO_HEADER_LENGTH } from '../../../esp/offload/virtio.js';
import type { EspForm } from '../../../esp/params.js';
import { createOutboundTable, type OutboundTable } from '../../../esp/policy-table.js';
import { Errno, linuxError } from '../../../linux/errors.js';
import { type Libc, lastErrno, libc } from '../../../linux/ffi.js';
import type { DeviceNumber } from '../../../util/ids.js';
import type { Millis } from '../../../util/units.js';
import { type Arena, writePointer } from '../memory/arena.js';
import type { OrderReader } from '../memory/control-ring.js';
import { Counter, counterBase, Drop, GLOBAL_BLOCK, monotonicMillis } from '../memory/counters.js';
import { operationsOf } from '../memory/operations.js';
import type { TapWriter } from '../memory/tap-ring.js';
import type { Child } from './child.js';
import { Handover } from './handover.js';
import type { WorkerReport, WorkerSetup } from './messages.js';
import { SpiTable } from './spi-table.js';

/** Between two reports on paths, in milliseconds. */
const HINT_PAUSE = 20;

/** What is kept beside an ESP packet that waits for its SA. */
export interface Arrival {
  readonly form: EspForm;
  readonly trafficClass: number;
  /** The sender's socket address: NAME_SIZE octets. */
  readonly name: Uint8Array;
}

/**
 * What both directions of the packet path share, for one TUN device. The paths of further devices share the child
 * SAs with that of the first; the outbound table is each one's own.
 */
export class Path {
  readonly arena: Arena;
  calls: Libc = libc();
  /** The monotonic clock. */
  now: () => Millis = monotonicMillis;
  /** Number of the device, and its descriptor. */
  readonly device: DeviceNumber;
  readonly tunFd: number;
  readonly espFds: readonly number[];
  /** Socket for ESP without UDP, -1 when there is none. */
  readonly rawFd: number;
  readonly orders: OrderReader;
  readonly report: (report: WorkerReport) => void;
  readonly byId: Map<number, Child>;
  readonly bySpi: SpiTable<Child>;
  /** ESP packets whose SA is still being agreed on. */
  readonly early: EarlyPackets<Arrival>;
  /** What there is to do with the other workers, where there are any. */
  readonly handover: Handover | undefined;
  /** The capture that runs, if one does. */
  readonly capture: { tap: TapWriter | undefined };
  readonly table: OutboundTable = createOutboundTable();
  readonly memory: PacketMemory;
  /** Octets in front of a packet on TUN: the virtio-net header, or nothing. */
  readonly virtioLength: number;
  /** When main was last told to look at the path of some child SA. */
  #hinted = 0;
  readonly #drops = counterBase(GLOBAL_BLOCK) + Counter.DROPS;

  constructor(
    arena: Arena,
    setup: WorkerSetup,
    orders: OrderReader,
    report: (report: WorkerReport) => void,
    further?: { readonly device: DeviceNumber; readonly first: Path },
  ) {
    this.device = further?.device ?? 0;
    this.byId = further?.first.byId ?? new Map();
    this.bySpi = further?.first.bySpi ?? new SpiTable();
    this.early = further?.first.early ?? new EarlyPackets((packets) => this.drop(Drop.early, packets));
    this.handover =
      further?.first.handover ?? (setup.group === undefined ? undefined : new Handover(setup.group));
    this.capture = further?.first.capture ?? { tap: undefined };
    this.arena = arena;
    this.tunFd = setup.tunFd;
    this.espFds = setup.espFds;
    this.rawFd = setup.rawFd ?? -1;
    this.orders = orders;
    this.report = report;
    const { virtioHeader = false } = setup;
    this.memory = operationsOf(arena);
    this.virtioLength = virtioHeader ? VIRTIO_HEADER_LENGTH : 0;
  }

  /** Points the iovec at `at` to the arena's offset `target`. */
  pointTo(at: number, target: number): void {
    writePointer(this.arena, at, target);
  }

  /** Lets main look at the path MTU of this SA's peer, a few times a second at most. */
  pathHint(child: Child): void {
    const now = monotonicMillis();
    if (now - this.#hinted < HINT_PAUSE) return;
    this.#hinted = now;
    this.report({ kind: 'path', id: child.id });
  }

  /** Counts bursts, and packets that go to other workers or come from them. `counter` is one of `GlobalCounter`. */
  count(counter: number, amount: number): void {
    const at = counterBase(GLOBAL_BLOCK) + counter;
    this.arena.f64[at] = this.arena.f64[at]! + amount;
  }

  /** Counts drops that belong to no SA. `reason` is one of `Drop`. */
  drop(reason: number, packets = 1): void {
    const { f64 } = this.arena;
    f64[this.#drops + reason] = f64[this.#drops + reason]! + packets;
  }
}

/** Whether a descriptor is gone for good, so that going on makes no sense. */
function isFatal(errno: number): boolean {
  // EBADFD is what a TUN descriptor answers after its device was removed.
  return errno === Errno.EBADF || errno === Errno.EBADFD || errno === Errno.ENOTSOCK;
}

/** Error number of a failed call. @throws LinuxError when `isFatal` */
export function survivable(doing: string): number {
  const errno = lastErrno();
  if (isFatal(errno)) throw linuxError(errno, doing);
  return errno;
}
