import { Errno, linuxError } from '../../linux/errors.js';
import { type EventFd, useEventFd } from '../../linux/eventfd.js';
import { lastErrno } from '../../linux/ffi.js';
import {
  POLLERR,
  POLLFD_SIZE,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  pollEvents,
  writePollFd,
} from '../../linux/poll.js';
import { NO_OFFLOAD } from '../offload.js';
import { type Arena, At } from './arena.js';
import { Child } from './child.js';
import { OrderReader } from './control-ring.js';
import { ErrorQueue } from './error-queue.js';
import { Inbound } from './inbound.js';
import type { WorkerReport, WorkerSetup } from './messages.js';
import { decodeInstall, decodePeer, Order } from './orders.js';
import { Outbound } from './outbound.js';
import type { PacketCrypto } from './packet-crypto.js';
import { Path } from './path.js';
import { SendQueue } from './send-queue.js';
import { TunWriter } from './tun-writer.js';

const WAKE_AT = At.pollFds;
const TUN_AT = WAKE_AT + POLLFD_SIZE;
const SOCKETS_AT = TUN_AT + POLLFD_SIZE;

/** More sockets than this one thread does not serve. */
export const MAX_SOCKETS = 16;

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
  readonly #outbound: Outbound;
  readonly #errors: ErrorQueue;
  readonly #pollCount: number;
  #idleErrors = 0;

  /** @throws RangeError for too many sockets */
  constructor(
    arena: Arena,
    crypto: PacketCrypto,
    setup: Omit<WorkerSetup, 'memory'>,
    report: (report: WorkerReport) => void,
  ) {
    if (setup.espFds.length < 1 || setup.espFds.length > MAX_SOCKETS) {
      throw new RangeError(`${setup.espFds.length} ESP sockets: 1 to ${MAX_SOCKETS} are possible`);
    }
    this.#arena = arena;
    this.#crypto = crypto;
    this.#orders = new OrderReader(arena);
    const { offload = NO_OFFLOAD, virtioHeader = false } = setup;
    const path = new Path(arena, setup.tunFd, setup.espFds, this.#orders, report, virtioHeader);
    const tun = new TunWriter(path, { tcp: offload.coalesce, udp: offload.uso });
    this.#path = path;
    this.#errors = new ErrorQueue(path);
    this.#inbound = new Inbound(path, tun);
    this.#outbound = new Outbound(path, new SendQueue(path, setup.espFds[0]!, At.tx, offload.segment), tun);
    this.#wake = useEventFd(setup.wakeFd);
    writePollFd(arena.view, WAKE_AT, setup.wakeFd, POLLIN);
    writePollFd(arena.view, TUN_AT, setup.tunFd, POLLIN);
    setup.espFds.forEach((fd, i) => {
      writePollFd(arena.view, SOCKETS_AT + i * POLLFD_SIZE, fd, POLLIN);
    });
    this.#pollCount = 2 + setup.espFds.length;
  }

  /**
   * Waits up to `timeout` milliseconds (-1: for ever) and moves what is there.
   * @returns false when main wants the path to end
   * @throws LinuxError when a descriptor is gone, RangeError for an order that cannot be carried out
   */
  turn(timeout: number): boolean {
    const { view, base } = this.#arena;
    const path = this.#path;
    if (path.calls.poll(base + At.pollFds, this.#pollCount, timeout) < 0) {
      const errno = lastErrno();
      if (errno !== Errno.EINTR) throw linuxError(errno, 'waiting for packets');
      return !this.#orders.stopped;
    }
    let moved = false;
    if (pollEvents(view, WAKE_AT) !== 0) {
      this.#wake.clear();
      moved = true;
    }
    // Looked at in every turn: under load that is sooner than the next poll.
    if (this.#orders.stopped) return false;
    if (this.#orders.drain(this.#obey)) path.report({ kind: 'space' });
    let trouble = 0;
    for (let i = 0; i < path.espFds.length; i++) {
      const events = pollEvents(view, SOCKETS_AT + i * POLLFD_SIZE);
      if (events === 0) continue;
      trouble |= events;
      if ((events & POLLERR) !== 0 && this.#errors.drain(path.espFds[i]!)) moved = true;
      if (this.#inbound.turn(i)) moved = true;
    }
    const tun = pollEvents(view, TUN_AT);
    if (tun !== 0) {
      trouble |= tun;
      if (this.#outbound.turn()) moved = true;
    }
    this.#watch(moved, trouble);
    return true;
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
    const path = this.#path;
    const arena = this.#arena;
    switch (kind) {
      case Order.INSTALL: {
        const order = decodeInstall(arena, at);
        const child = new Child(arena, this.#crypto, order);
        path.byId.set(child.id, child);
        path.bySpi.set(child.spiIn, child);
        path.table.insert(order);
        return;
      }
      case Order.REMOVE: {
        const child = path.byId.get(arena.view.getUint32(at, true));
        if (child === undefined) return;
        path.table.remove(child.id);
        path.byId.delete(child.id);
        path.bySpi.delete(child.spiIn);
        child.free();
        return;
      }
      case Order.ACTIVATE:
        path.table.activate(arena.view.getUint32(at, true));
        return;
      case Order.UPDATE_PEER: {
        const { id, peer } = decodePeer(arena, at);
        path.byId.get(id)?.setPeer(peer);
        return;
      }
      case Order.SET_PATH: {
        const child = path.byId.get(arena.view.getUint32(at, true));
        child?.setPath(arena.view.getUint32(at + 4, true), arena.view.getUint32(at + 8, true));
        return;
      }
      default:
        throw new RangeError(`order of unknown kind ${kind}`);
    }
  };

  /** For tests: the child SA of this id. */
  child(id: number): Child | undefined {
    return this.#path.byId.get(id);
  }

  /** Forgets all keys and wipes the octets of packets. The descriptors stay open: others own them. */
  free(): void {
    for (const child of this.#path.byId.values()) child.free();
    this.#path.byId.clear();
    this.#path.bySpi.clear();
    this.#arena.bytes.fill(0, At.ring, At.counters);
    this.#arena.bytes.fill(0, At.nonce, At.split);
    this.#arena.bytes.fill(0, At.inner, At.rxPackets);
  }
}
