import type { EspSuite } from '../../crypto/types.js';
import { addDrops } from '../../esp/drop-counter.js';
import type { DropCounts } from '../../esp/drops.js';
import { espLayout, innerMtu } from '../../esp/layout.js';
import { DEFAULT_MSS_CEILING } from '../../esp/offload/mss.js';
import type { EspPair } from '../../esp/params.js';
import { localEndpoint, pathMtu } from '../../linux/sockets.js';
import type { TunDevice } from '../../linux/tun.js';
import { readU32 } from '../../util/bytes.js';
import type { DeviceNumber, Spi, WorkerIndex } from '../../util/ids.js';
import { type Endpoint, parseIp } from '../../util/ip.js';
import { wipeSecrets } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { ESP_HEADER_LENGTH } from '../../wire/esp.js';
import type { ChildCounters, DataPlane, DataPlaneListener, WorkerState } from '../dataplane.js';
import { NO_OFFLOAD, type Offload } from '../offload.js';
import type { WorkerReport, WorkerSetup } from './loop/messages.js';
import { MAX_FURTHER_DEVICES } from './loop/packet-loop.js';
import type { PacketWorker, PendingOrder } from './loop/packet-worker.js';
import { WorkerGroup } from './loop/worker-group.js';
import { MAX_CHILDREN } from './memory/arena.js';
import { MAX_ORDER } from './memory/control-ring.js';
import { GLOBAL_BLOCK, monotonicMillis, readChild, readDrops, readHandovers } from './memory/counters.js';
import {
  encodeDevice,
  encodeEsp,
  encodeForeign,
  encodeInstall,
  encodePath,
  encodePeer,
  Order,
} from './memory/orders.js';

/** What the data plane needs of a TUN device. */
export type PlaneTun = Pick<TunDevice, 'fd' | 'close'> & Partial<Pick<TunDevice, 'fds' | 'virtioHeader'>>;

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

/** Between two looks at what the kernel has learned of paths: it forgets again, too. */
const PATH_MILLIS = 5000;

interface Device {
  readonly tun: PlaneTun;
  /** Number of the one worker that serves it. */
  readonly worker: WorkerIndex;
  /** Being removed: it stays until the worker has let go of it. */
  leaving: boolean;
}

interface Installed {
  readonly worker: WorkerIndex;
  readonly block: number;
  readonly spiIn: Spi;
  readonly suite: EspSuite;
  readonly encapsulation: 'udp' | 'esp';
  peer: Endpoint;
  /** 0 when it is not known. */
  pathMtu: number;
}

/**
 * The fast data plane: worker threads that move packets between TUN and the ESP sockets by FFI. An SA belongs to
 * the worker that the low bits of its inbound SPI name.
 * @throws LinuxError without FFI
 * @throws RangeError when `espFds` is empty, or there is not one socket and one queue per worker
 */
export function createFfiDataPlane(options: FfiDataPlaneOptions): DataPlane {
  return new FfiDataPlane(options);
}

class FfiDataPlane implements DataPlane {
  readonly kind = 'ffi';
  readonly #options: FfiDataPlaneOptions;
  readonly #group: WorkerGroup;
  readonly #locals: readonly Endpoint[];
  readonly #mssCeiling: number;
  /** Path MTU by peer address, as it was when the kernel was asked last. */
  readonly #paths = new Map<string, number>();
  readonly #pathTimer: NodeJS.Timeout;
  readonly #children = new Map<number, Installed>();
  readonly #spis = new Set<number>();
  /** Further TUN devices by number. */
  readonly #devices = new Map<number, Device>();
  /** Workers that run. */
  #running = 0;
  /** Offloads that some worker has turned off. */
  readonly #lost = new Set<keyof Offload>();
  #closing: Promise<void> | undefined;
  #failed = false;
  /** The process ends without `close()`: it waits for its threads, so these must not sleep on. */
  readonly #onExit = () => this.#group.stop();

  constructor(options: FfiDataPlaneOptions) {
    const { workers = 1, espFds, rawFds, tun } = options;
    if (espFds.length === 0) throw new RangeError('the data plane needs at least one ESP socket');
    if (options.group !== undefined && options.group.size !== workers) {
      throw new RangeError(`${options.group.size} packet workers are there, and ${workers} are needed`);
    }
    if (workers > 1 && (espFds.length !== workers || tun.fds?.length !== workers)) {
      throw new RangeError(`${workers} packet workers need as many ESP sockets and queues of the TUN device`);
    }
    if (rawFds !== undefined && rawFds.length !== workers) {
      throw new RangeError(`${workers} packet workers need as many raw sockets`);
    }
    this.#options = options;
    this.#locals = espFds.map(localEndpoint);
    this.#mssCeiling = options.mssCeiling ?? DEFAULT_MSS_CEILING;
    this.#group = options.group ?? new WorkerGroup(workers);
    this.#group.load(options.workerEntry);
    this.#pathTimer = setInterval(() => this.#renewPath(), PATH_MILLIS).unref();
    process.once('exit', this.#onExit);
    this.#group.workers.forEach((worker, i) => {
      worker.start({
        setup: this.#setupOf(i),
        report: (report) => this.#hear(i, report),
        broke: (reason) => this.#fail(reason),
      });
    });
  }

  #setupOf(worker: WorkerIndex): WorkerSetup {
    const { espFds, rawFds, tun, offload = NO_OFFLOAD } = this.#options;
    const group = this.#group.setupOf(worker);
    return {
      tunFd: group === undefined ? tun.fd : tun.fds![worker]!,
      espFds: group === undefined ? espFds : [espFds[worker]!],
      ...(rawFds === undefined ? {} : { rawFd: rawFds[worker]! }),
      virtioHeader: tun.virtioHeader ?? false,
      offload,
      ...(group === undefined ? {} : { group }),
    };
  }

  expect(spi: Spi): void {
    if (!this.#spis.has(spi)) this.#order(this.#ownerOfSpi(spi), idOrder(Order.EXPECT, spi));
  }

  forget(spi: Spi): void {
    if (!this.#spis.has(spi)) this.#order(this.#ownerOfSpi(spi), idOrder(Order.FORGET, spi));
  }

  espDatagram(_local: Endpoint, remote: Endpoint, bytes: Uint8Array): void {
    const address = parseIp(remote.address);
    if (address === undefined || bytes.length < ESP_HEADER_LENGTH || this.#closing !== undefined) return;
    if (this.#failed) return;
    const order = encodeEsp({ address, port: remote.port }, bytes);
    this.#ownerOfSpi(readU32(bytes, 0)).offer({ kind: Order.TAKE_ESP, ...order });
  }

  /** @throws RangeError for an id or SPI in use, a suite, keys or addresses that do not fit. Wipes the keys then */
  install(pair: EspPair): void {
    try {
      this.#admit(pair);
      const number = this.#group.ownerOf(pair.spiIn);
      const worker = this.#group.workers[number]!;
      if (worker.room === 0) {
        throw new RangeError(
          `child SA ${pair.id}: ${MAX_CHILDREN} child SAs are installed in its packet worker, which is the limit`,
        );
      }
      const path = this.#pathTo(pair.peer);
      const block = worker.takeBlock();
      const order = encodeInstall(pair, block, { pathMtu: path, mssCeiling: this.#mssCeiling });
      if (order.length > MAX_ORDER) {
        worker.returnBlock(block);
        throw new RangeError(`child SA ${pair.id} has too many traffic selectors`);
      }
      this.#children.set(pair.id, {
        worker: number,
        block,
        spiIn: pair.spiIn,
        peer: pair.peer,
        pathMtu: path,
        suite: pair.suite,
        encapsulation: pair.encapsulation,
      });
      this.#spis.add(pair.spiIn);
      this.#order(worker, {
        kind: Order.INSTALL,
        ...order,
        discard: () => wipeSecrets([pair.keysIn, pair.keysOut]),
      });
      // A further device has one queue, which is its worker's.
      if ((pair.device ?? 0) === 0) {
        const foreign = encodeForeign(pair, number);
        for (const other of this.#others(number)) {
          this.#order(other, { kind: Order.INSTALL_FOREIGN, ...foreign });
        }
      }
    } catch (error) {
      wipeSecrets([pair.keysIn, pair.keysOut]);
      throw error;
    }
  }

  #admit(pair: EspPair): void {
    const refuse = (why: string): never => {
      throw new RangeError(`child SA ${pair.id}${why}`);
    };
    if (this.#closing !== undefined) refuse(': the data plane is closed');
    if (pair.encapsulation !== 'udp' && this.#options.rawFds === undefined) {
      refuse(
        ' wants ESP as IP protocol 50, and this data plane has no raw socket: give the process CAP_NET_RAW, or set "encapsulation: always"',
      );
    }
    if (!Number.isInteger(pair.id) || pair.id < 0 || pair.id > 0xffffffff) refuse(': ids are whole numbers');
    if (this.#children.has(pair.id)) refuse(' is installed already');
    if (this.#spis.has(pair.spiIn)) refuse(`: inbound SPI ${pair.spiIn} is in use`);
    const { device = 0 } = pair;
    if (device !== 0) {
      const known = this.#devices.get(device);
      if (known?.leaving !== false) refuse(`: there is no device ${device}`);
      const owner = this.#group.ownerOf(pair.spiIn);
      if (known!.worker !== owner) {
        refuse(`: device ${device} belongs to packet worker ${known!.worker}, its inbound SPI to ${owner}`);
      }
    }
    const layout = espLayout(pair.suite);
    for (const keys of [pair.keysIn, pair.keysOut]) {
      const fits =
        keys.encryption.length === layout.keyLength + layout.saltLength &&
        (keys.integrity?.length ?? 0) === layout.integrityKeyLength;
      if (!fits) refuse(': the keys do not fit the suite');
    }
    this.#checkPeer(pair.id, pair.peer);
  }

  /** The kernel refuses every datagram from a socket of the other family: say so before. */
  #checkPeer(id: number, peer: Endpoint): void {
    const ip = parseIp(peer.address);
    const local = parseIp(this.#locals[0]!.address);
    if (ip === undefined || ip.length !== local?.length) {
      throw new RangeError(
        `child SA ${id}: the peer "${peer.address}" cannot be reached from ${this.#locals[0]!.address}`,
      );
    }
  }

  activateOutbound(id: number): void {
    if (!this.#children.has(id)) return;
    for (const worker of this.#group.workers) this.#order(worker, idOrder(Order.ACTIVATE, id));
  }

  /** @throws RangeError when the address is not one of the sockets' family */
  updatePeer(id: number, peer: Endpoint): void {
    const child = this.#children.get(id);
    if (child === undefined) return;
    this.#checkPeer(id, peer);
    this.#order(this.#ownerOf(child), { kind: Order.UPDATE_PEER, ...encodePeer(id, peer) });
    child.peer = peer;
    this.#renewPath(id);
  }

  /** As the kernel knows it, asked once a peer and period. */
  #pathTo(peer: Endpoint): number {
    let mtu = this.#paths.get(peer.address);
    if (mtu === undefined) {
      mtu = pathMtu(this.#locals[0]!.address, peer);
      this.#paths.set(peer.address, mtu);
    }
    return mtu;
  }

  /** Asks the kernel for the path MTU of all peers, or of that of one child SA. */
  #renewPath(only?: number): void {
    if (this.#closing !== undefined || this.#failed) return;
    this.#paths.clear();
    const of = only === undefined ? undefined : this.#children.get(only)?.peer.address;
    for (const [id, child] of this.#children) {
      if (only !== undefined && child.peer.address !== of) continue;
      const mtu = this.#pathTo(child.peer);
      if (mtu === 0 || mtu === child.pathMtu) continue;
      child.pathMtu = mtu;
      const limits = { pathMtu: mtu, mssCeiling: this.#mssCeiling };
      this.#order(this.#ownerOf(child), { kind: Order.SET_PATH, ...encodePath(id, limits) });
    }
  }

  retire(id: number): void {
    if (!this.#children.has(id)) return;
    for (const worker of this.#group.workers) this.#order(worker, idOrder(Order.RETIRE, id));
  }

  remove(id: number): void {
    const child = this.#children.get(id);
    if (child === undefined) return;
    this.#children.delete(id);
    this.#spis.delete(child.spiIn);
    this.#ownerOf(child).returnBlock(child.block);
    for (const worker of this.#group.workers) this.#order(worker, idOrder(Order.REMOVE, id));
  }

  addDevice(name: string, worker = 0): number {
    const { openTun } = this.#options;
    if (worker >= this.#group.size) throw new RangeError(`there is no packet worker ${worker}`);
    if (openTun === undefined) throw new RangeError('this data plane has one TUN device only');
    let device = 1;
    while (this.#devices.has(device)) device++;
    if (device > MAX_FURTHER_DEVICES) {
      throw new RangeError(
        `TUN device ${name}: ${MAX_FURTHER_DEVICES + 1} devices are there, which is the limit`,
      );
    }
    const tun = openTun(name);
    this.#devices.set(device, { tun, worker, leaving: false });
    const order = encodeDevice(device, tun.fd, tun.virtioHeader ?? false);
    this.#order(this.#group.workers[worker]!, { kind: Order.ADD_DEVICE, ...order });
    return device;
  }

  removeDevice(device: DeviceNumber): void {
    const known = this.#devices.get(device);
    if (known === undefined || known.leaving) return;
    known.leaving = true;
    this.#order(this.#group.workers[known.worker]!, idOrder(Order.REMOVE_DEVICE, device));
  }

  counters(): readonly ChildCounters[] {
    const { now } = this.#options;
    const offset = now() - monotonicMillis();
    const toClock = (monotonic: number): Millis => monotonic + offset;
    return [...this.#children].map(([id, child]) => ({
      ...readChild(this.#ownerOf(child).arena, child.block, id, toClock),
      ...(this.#group.size === 1 ? {} : { worker: child.worker }),
      ...mtuOf(child),
    }));
  }

  drops(): DropCounts {
    return addDrops(this.#group.workers.map(({ arena }) => readDrops(arena, GLOBAL_BLOCK)));
  }

  workers(): readonly WorkerState[] {
    const children = new Int32Array(this.#group.size);
    for (const { worker } of this.#children.values()) children[worker] = children[worker]! + 1;
    return this.#group.workers.map(({ arena }, i) => ({ children: children[i]!, ...readHandovers(arena) }));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#pathTimer);
    await this.#group.close();
    process.removeListener('exit', this.#onExit);
    this.#options.tun.close();
    for (const { tun } of this.#devices.values()) tun.close();
    this.#devices.clear();
  }

  #ownerOfSpi(spi: Spi): PacketWorker {
    return this.#group.workers[this.#group.ownerOf(spi)]!;
  }

  #ownerOf(child: Installed): PacketWorker {
    return this.#group.workers[child.worker]!;
  }

  #others(than: number): readonly PacketWorker[] {
    return this.#group.workers.filter((_, i) => i !== than);
  }

  #order(worker: PacketWorker, order: PendingOrder): void {
    if (this.#closing === undefined && !this.#failed) worker.order(order);
    else order.discard?.();
  }

  #hear(worker: WorkerIndex, report: WorkerReport): void {
    const { listener, ready } = this.#options;
    if (this.#closing !== undefined) return;
    switch (report.kind) {
      case 'ready':
        if (++this.#running === this.#group.size) ready?.(report.crypto, report.note);
        break;
      case 'ike': {
        const { socket, address, port, bytes } = report;
        listener.ikeDatagram(this.#locals[worker + socket]!, { address, port }, bytes);
        break;
      }
      case 'moved':
        // The SA may have been removed while the news was on its way.
        if (this.#children.has(report.id)) {
          listener.peerMoved?.(report.id, { address: report.address, port: report.port });
        }
        break;
      case 'path':
        this.#renewPath(report.id);
        break;
      case 'offload':
        if (!this.#lost.has(report.name)) this.#options.offloadLost?.(report.name, report.errno);
        this.#lost.add(report.name);
        break;
      case 'acquire':
        listener.acquire?.(report.destination, report.device);
        break;
      case 'released':
        this.#devices.get(report.device)?.tun.close();
        this.#devices.delete(report.device);
        break;
      case 'failed':
        this.#fail(report.reason);
        break;
    }
  }

  #fail(reason: string): void {
    if (this.#failed || this.#closing !== undefined) return;
    this.#failed = true;
    for (const worker of this.#group.workers) worker.discardOrders();
    this.#options.listener.failed(reason);
  }
}

function mtuOf({
  suite,
  encapsulation,
  peer,
  pathMtu,
}: Installed): Pick<ChildCounters, 'pathMtu' | 'innerMtu'> {
  if (pathMtu === 0) return {};
  const family = peer.address.includes(':') ? 6 : 4;
  return { pathMtu, innerMtu: innerMtu(suite, pathMtu, family, encapsulation) };
}

function idOrder(kind: number, id: number): PendingOrder {
  return { kind, length: 4, write: ({ view }, at) => view.setUint32(at, id, true) };
}
