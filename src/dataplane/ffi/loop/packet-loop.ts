import { EARLY_MILLIS } from '../../../esp/early-packets.js';
import { Errno, linuxError } from '../../../linux/errors.js';
import { type EventFd, useEventFd } from '../../../linux/eventfd.js';
import { type Libc, lastErrno, libc } from '../../../linux/ffi.js';
import {
  POLLERR,
  POLLFD_SIZE,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  pollEvents,
  writePollFd,
} from '../../../linux/poll.js';
import type { DeviceNumber } from '../../../util/ids.js';
import { NO_TERM, type Term } from '../../../util/term.js';
import type { Millis } from '../../../util/units.js';
import { NO_OFFLOAD } from '../../offload.js';
import type { PacketCrypto } from '../crypto/packet-crypto.js';
import { ErrorQueue } from '../io/error-queue.js';
import { SendQueue } from '../io/send-queue.js';
import { TunWriter } from '../io/tun-writer.js';
import { type Arena, At } from '../memory/arena.js';
import { OrderReader } from '../memory/control-ring.js';
import { GlobalCounter, monotonicMillis } from '../memory/counters.js';
import { Handed, type HandoverReader } from '../memory/handover-ring.js';
import {
  decodeDevice,
  decodeEsp,
  decodeForeign,
  decodeId,
  decodeInstall,
  decodePath,
  decodePeer,
  type Installation,
  Order,
} from '../memory/orders.js';
import { Child } from './child.js';
import type { Handover } from './handover.js';
import { Inbound, RAW } from './inbound.js';
import type { WorkerMemory, WorkerReport, WorkerSetup } from './messages.js';
import { Outbound } from './outbound.js';
import { Path } from './path.js';
import { rehearse } from './rehearsal.js';
import { sequenceSteps } from './sequence-steps.js';
import { beginTap, endTap, watchChild } from './tap.js';

const WAKE_AT = At.pollFds;
const TUN_AT = WAKE_AT + POLLFD_SIZE;
const SOCKETS_AT = TUN_AT + POLLFD_SIZE;

/** More sockets than this one thread does not serve. */
const MAX_SOCKETS = 16;
/** TUN devices beside the first. All descriptors together fit in front of the send queue's (`WAIT_AT`). */
export const MAX_FURTHER_DEVICES = 13;

/** What tests put in the place of the kernel. */
export interface Seams {
  readonly calls?: Libc | undefined;
  /** The monotonic clock, by which inbound packets are reported and kept, and acquires are limited. */
  readonly now?: () => Millis;
  /** Memory that was posted for an order; undefined when there is none. */
  readonly posted?: () => SharedArrayBuffer | undefined;
}

/** The way of one TUN device to the peers. */
interface Lane {
  readonly path: Path;
  readonly outbound: Outbound;
}

/** Turns in a row in which a descriptor shows an error and yields nothing, before the path is given up. */
const PATIENCE = 1000;

/**
 * The packet path of one gateway, one turn at a time: wait for orders, for packets from TUN or from the
 * sockets, and move a burst of what is there. Nothing else runs on its thread. One turn never takes more
 * than a burst of each, so that no side starves the other.
 */
export class PacketLoop {
  readonly #arena: Arena;
  readonly #crypto: PacketCrypto;
  readonly #path: Path;
  readonly #wake: EventFd;
  readonly #orders: OrderReader;
  readonly #inbound: Inbound;
  readonly #queue: SendQueue;
  readonly #raw: SendQueue | undefined;
  readonly #setup: WorkerSetup & Pick<WorkerMemory, 'wakeFd'>;
  /** By number of the device. */
  readonly #lanes: (Lane | undefined)[] = [];
  readonly #writers: (TunWriter | undefined)[] = [];
  /** Devices after the sockets in the list for poll. */
  #further: readonly number[] = [];
  readonly #errors: ErrorQueue;
  readonly #posted: () => SharedArrayBuffer | undefined;
  #pollCount: number;
  #term: Term = NO_TERM;
  readonly #rawAt: number;
  /** Where the descriptors of further devices begin. */
  readonly #furtherAt: number;
  #idleErrors = 0;

  /** @throws RangeError for too many sockets */
  constructor(
    arena: Arena,
    crypto: PacketCrypto,
    setup: WorkerSetup & Pick<WorkerMemory, 'wakeFd'>,
    report: (report: WorkerReport) => void,
    { calls = libc(), now = monotonicMillis, posted = () => undefined }: Seams = {},
  ) {
    if (setup.espFds.length < 1 || setup.espFds.length > MAX_SOCKETS) {
      throw new RangeError(`${setup.espFds.length} ESP sockets: 1 to ${MAX_SOCKETS} are possible`);
    }
    this.#arena = arena;
    this.#crypto = crypto;
    this.#orders = new OrderReader(arena);
    const { offload = NO_OFFLOAD } = setup;
    const path = new Path(arena, setup, this.#orders, report);
    path.calls = calls;
    path.now = now;
    this.#setup = setup;
    this.#path = path;
    this.#errors = new ErrorQueue(path);
    this.#posted = posted;
    this.#queue = new SendQueue(path, setup.espFds[0]!, At.tx, offload.segment);
    this.#raw = path.rawFd < 0 ? undefined : new SendQueue(path, path.rawFd, At.rawTx, false);
    this.#openLane(path);
    this.#inbound = new Inbound(path, this.#writers);
    this.#wake = useEventFd(setup.wakeFd);
    writePollFd(arena.view, WAKE_AT, setup.wakeFd, POLLIN);
    writePollFd(arena.view, TUN_AT, setup.tunFd, POLLIN);
    setup.espFds.forEach((fd, i) => {
      writePollFd(arena.view, SOCKETS_AT + i * POLLFD_SIZE, fd, POLLIN);
    });
    this.#pollCount = 2 + setup.espFds.length + (path.rawFd < 0 ? 0 : 1);
    this.#furtherAt = At.pollFds + this.#pollCount * POLLFD_SIZE;
    this.#rawAt = SOCKETS_AT + setup.espFds.length * POLLFD_SIZE;
    if (path.rawFd >= 0) writePollFd(arena.view, this.#rawAt, path.rawFd, POLLIN);
  }

  /**
   * Waits up to `timeout` milliseconds (-1: for ever) and moves what is there.
   * @returns false when main wants the path to end
   * @throws LinuxError when a descriptor is gone, RangeError for an order that cannot be carried out
   */
  turn(timeout: number): boolean {
    const { view, base } = this.#arena;
    const path = this.#path;
    const longest = path.early.waiting && (timeout < 0 || timeout > EARLY_MILLIS) ? EARLY_MILLIS : timeout;
    if (path.calls.poll(base + At.pollFds, this.#pollCount, longest) < 0) {
      const errno = lastErrno();
      if (errno !== Errno.EINTR) throw linuxError(errno, 'waiting for packets');
      return !this.#orders.stopped;
    }
    let moved = pollEvents(view, WAKE_AT) !== 0;
    const woken = moved;
    if (woken) this.#wake.clear();
    // Looked at in every turn: under load that is sooner than the next poll.
    if (this.#orders.stopped) return false;
    if (this.#orders.drain(this.#obey)) path.report({ kind: 'space' });
    if (path.early.waiting) path.early.expire(path.now());
    if (woken && path.handover !== undefined) this.#takeOver(path.handover);
    let trouble = 0;
    for (let i = 0; i < path.espFds.length; i++) {
      const events = pollEvents(view, SOCKETS_AT + i * POLLFD_SIZE);
      if (events === 0) continue;
      trouble |= events;
      if ((events & POLLERR) !== 0 && this.#errors.drain(path.espFds[i]!)) moved = true;
      if (this.#inbound.turn(i)) {
        moved = true;
        path.count(GlobalCounter.BURSTS_IN, 1);
      }
    }
    const raw = path.rawFd < 0 ? 0 : pollEvents(view, this.#rawAt);
    if (raw !== 0) {
      trouble |= raw;
      if ((raw & POLLERR) !== 0 && this.#errors.drain(path.rawFd)) moved = true;
      if (this.#inbound.turn(RAW)) {
        moved = true;
        path.count(GlobalCounter.BURSTS_IN, 1);
      }
    }
    const tun = pollEvents(view, TUN_AT);
    if (tun !== 0) {
      trouble |= tun;
      if (this.#lanes[0]!.outbound.turn()) {
        moved = true;
        path.count(GlobalCounter.BURSTS_OUT, 1);
      }
    }
    if (this.#further.length > 0 && this.#turnFurther()) moved = true;
    this.#watch(moved, trouble);
    path.handover?.flush();
    return true;
  }

  /** What other workers have given, before anything younger is taken from the sockets and from TUN. */
  #takeOver(handover: Handover): void {
    const taken = handover.takeAll(this.#adopt);
    if (taken === 0) return;
    this.#inbound.flush();
    this.#lanes[0]!.outbound.flush();
    this.#path.count(GlobalCounter.TAKEN_OVER, taken);
  }

  readonly #adopt = (reader: HandoverReader): void => {
    if (reader.kind === Handed.ESP) this.#inbound.adopt(reader);
    else this.#lanes[0]!.outbound.adopt(reader);
  };

  #openLane(path: Path): void {
    const { offload = NO_OFFLOAD } = this.#setup;
    const writer = new TunWriter(path, { tcp: offload.coalesce, udp: offload.uso });
    this.#writers[path.device] = writer;
    this.#lanes[path.device] = { path, outbound: new Outbound(path, this.#queue, this.#raw, writer) };
  }

  #turnFurther(): boolean {
    const { view } = this.#arena;
    const base = this.#furtherAt;
    let moved = false;
    for (let i = 0; i < this.#further.length; i++) {
      if (pollEvents(view, base + i * POLLFD_SIZE) === 0) continue;
      if (this.#lanes[this.#further[i]!]?.outbound.turn() !== true) continue;
      moved = true;
      this.#path.count(GlobalCounter.BURSTS_OUT, 1);
    }
    return moved;
  }

  #addDevice(device: DeviceNumber, fd: number, virtioHeader: boolean): void {
    const { arena, orders, report } = this.#path;
    const setup = { ...this.#setup, tunFd: fd, virtioHeader };
    this.#openLane(new Path(arena, setup, orders, report, { device, first: this.#path }));
    this.#listFurther();
  }

  #removeDevice(device: DeviceNumber): void {
    this.#inbound.leave(device);
    this.#lanes[device] = undefined;
    this.#writers[device] = undefined;
    this.#listFurther();
    this.#path.report({ kind: 'released', device });
  }

  /** Puts the descriptors of further devices after the sockets. */
  #listFurther(): void {
    const { view } = this.#arena;
    const base = this.#furtherAt;
    const lanes = this.#lanes.filter((lane) => lane !== undefined && lane.path.device !== 0) as Lane[];
    lanes.forEach(({ path }, i) => {
      writePollFd(view, base + i * POLLFD_SIZE, path.tunFd, POLLIN);
    });
    this.#further = lanes.map(({ path }) => path.device);
    this.#pollCount = (base - At.pollFds) / POLLFD_SIZE + lanes.length;
  }

  /** The outbound table that this child SA is in. The first device's holds those of the other workers, too. */
  #tableWith(id: number): Path['table'] | undefined {
    const child = this.#path.byId.get(id);
    return child === undefined ? this.#path.table : this.#tableOf(child);
  }

  /** The outbound table of a child SA's device. */
  #tableOf(child: Child): Path['table'] | undefined {
    return this.#lanes[child.device]?.path.table;
  }

  /** A descriptor in error wakes poll at once, for ever: do not spin on it. */
  #watch(moved: boolean, events: number): void {
    if (moved || (events & (POLLERR | POLLHUP | POLLNVAL)) === 0) {
      this.#idleErrors = 0;
    } else if (++this.#idleErrors >= PATIENCE) {
      throw linuxError(Errno.EIO, `TUN or ESP socket is broken (poll events ${events})`);
    }
  }

  readonly #obey = (kind: number, at: number): void => {
    const step = this.#steps[kind];
    if (step === undefined) throw new RangeError(`order of unknown kind ${kind}`);
    step(at);
  };

  /** What each kind of order does; `at` is where it lies in the arena. */
  readonly #steps: Readonly<Record<number, (at: number) => void>> = {
    [Order.INSTALL]: (at) => this.#install(decodeInstall(this.#arena, at)),
    [Order.INSTALL_FOREIGN]: (at) => {
      const policy = decodeForeign(this.#arena, at);
      this.#path.handover?.owners.set(policy.id, policy.owner);
      this.#path.table.insert(policy);
    },
    [Order.REMOVE]: (at) => {
      const { handover, table } = this.#path;
      const id = decodeId(this.#arena, at);
      if (!this.#remove(id) && handover?.owners.delete(id) === true) table.remove(id);
    },
    [Order.RETIRE]: (at) => {
      const id = decodeId(this.#arena, at);
      this.#tableWith(id)?.remove(id);
    },
    [Order.ACTIVATE]: (at) => {
      const id = decodeId(this.#arena, at);
      this.#tableWith(id)?.activate(id);
    },
    [Order.ADD_DEVICE]: (at) => {
      const { device, fd, virtioHeader } = decodeDevice(this.#arena, at);
      this.#addDevice(device, fd, virtioHeader);
    },
    [Order.REMOVE_DEVICE]: (at) => this.#removeDevice(decodeId(this.#arena, at)),
    [Order.UPDATE_PEER]: (at) => {
      const { id, peer } = decodePeer(this.#arena, at);
      this.#path.byId.get(id)?.setPeer(peer);
    },
    [Order.EXPECT]: (at) => this.#path.early.expect(decodeId(this.#arena, at)),
    [Order.FORGET]: (at) => this.#path.early.forget(decodeId(this.#arena, at)),
    [Order.TAKE_ESP]: (at) => {
      const { name, packet } = decodeEsp(this.#arena, at);
      this.#inbound.takeIn(packet, { name, trafficClass: 0, form: 'udp' });
      this.#inbound.flush();
    },
    [Order.PULSE]: () => undefined,
    [Order.TAP]: (at) => beginTap(this.#path, this.#posted(), at),
    [Order.TAP_CHILD]: (at) => watchChild(this.#path, at),
    [Order.TAP_END]: () => endTap(this.#path),
    [Order.TERM]: (at) => {
      this.#term = decodeId(this.#arena, at);
      for (const child of this.#path.byId.values()) child.sealer.enterTerm(this.#term);
    },
    ...sequenceSteps(() => this.#path),
    [Order.SET_PATH]: (at) => {
      const { id, pathMtu, mssCeiling } = decodePath(this.#arena, at);
      this.#path.byId.get(id)?.setPath(pathMtu, mssCeiling);
    },
  };

  #install(order: Installation): void {
    const path = this.#path;
    const child = new Child(this.#arena, this.#crypto, order, this.#term);
    child.tap = path.capture.tap?.of(child.id);
    path.byId.set(child.id, child);
    path.bySpi.set(child.spiIn, child);
    this.#tableOf(child)?.insert(order);
    this.#inbound.openEarly(child.spiIn);
  }

  /** False when there is none of this id. */
  #remove(id: number): boolean {
    const path = this.#path;
    const child = path.byId.get(id);
    if (child === undefined) return false;
    this.#tableOf(child)?.remove(child.id);
    path.byId.delete(child.id);
    path.bySpi.delete(child.spiIn);
    path.capture.tap?.forget(child.id);
    child.free();
    return true;
  }

  /**
   * Moves made-up packets for `millis` milliseconds at most, so that the first real ones find the code compiled. Before
   * the first turn. Returns how many came through.
   */
  rehearse(millis: number): number {
    const path = this.#path;
    const { outbound } = this.#lanes[0]!;
    return rehearse(
      {
        arena: this.#arena,
        virtioHeader: path.virtioLength > 0,
        exchange(calls) {
          const before = path.calls;
          path.calls = calls;
          return before;
        },
        install: (order) => this.#install(order),
        remove: (id) => this.#remove(id),
        outbound: () => outbound.turn(),
        inbound: () => this.#inbound.turn(0),
      },
      millis,
    );
  }

  /** For tests: the child SA of this id. */
  child(id: number): Child | undefined {
    return this.#path.byId.get(id);
  }

  /** Forgets all keys and wipes the octets of packets. The descriptors stay open: others own them. */
  free(): void {
    for (const child of this.#path.byId.values()) child.free();
    endTap(this.#path);
    this.#path.byId.clear();
    this.#path.early.clear();
    this.#path.bySpi.clear();
    this.#arena.bytes.fill(0, At.ring, At.counters);
    this.#arena.vault.bytes.fill(0);
    this.#arena.bytes.fill(0, At.inner, At.rxPackets);
  }
}
