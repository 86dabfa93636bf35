import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { EspKeys, EspSuite } from '../../crypto/types.js';
import type { DropCounts } from '../../esp/drops.js';
import { espLayout, innerMtu } from '../../esp/layout.js';
import { DEFAULT_MSS_CEILING } from '../../esp/offload/mss.js';
import type { EspPair } from '../../esp/params.js';
import { openEventFd } from '../../linux/eventfd.js';
import { localEndpoint, pathMtu } from '../../linux/sockets.js';
import type { TunDevice } from '../../linux/tun.js';
import { type Endpoint, parseIp } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';
import type { ChildCounters, DataPlane, DataPlaneListener } from '../dataplane.js';
import { NO_OFFLOAD, type Offload } from '../offload.js';
import { type Arena, createArena, MAX_CHILDREN } from './arena.js';
import { MAX_ORDER, OrderWriter } from './control-ring.js';
import { GLOBAL_BLOCK, monotonicMillis, readChild, readDrops } from './counters.js';
import type { WorkerReport, WorkerSetup } from './messages.js';
import { encodeDevice, encodeInstall, encodePath, encodePeer, Order } from './orders.js';
import { MAX_FURTHER_DEVICES } from './packet-loop.js';

/** What the data plane needs of a TUN device. */
export type PlaneTun = Pick<TunDevice, 'fd' | 'close'> & Partial<Pick<TunDevice, 'virtioHeader'>>;

export interface FfiDataPlaneOptions {
  /**
   * Bound non-blocking UDP sockets of port 4500, of one family. They stay the caller's, who closes them
   * after `close()` has resolved.
   */
  readonly espFds: readonly number[];
  /** Raw socket for ESP without UDP, of the same family; also the caller's. Without it there is UDP only. */
  readonly rawFd?: number;
  /** Closed by `close()`. */
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
  /** Called when the worker runs, with the implementation it uses and a note when that is not the fast one. */
  /** Called when an offload turned itself off, with the error number. */
  readonly offloadLost?: (name: keyof Offload, errno: number) => void;
  readonly ready?: (crypto: string, note: string | undefined) => void;
}

/** How long the worker may take to end before it is ended by force, in milliseconds. */
const STOP_MILLIS = 2000;

/** Between two looks at what the kernel has learned of paths: it forgets again, too. */
const PATH_MILLIS = 5000;

interface Installed {
  readonly block: number;
  readonly spiIn: number;
  readonly suite: EspSuite;
  readonly encapsulation: 'udp' | 'esp';
  peer: Endpoint;
  /** 0 when it is not known. */
  pathMtu: number;
}

interface PendingOrder {
  readonly kind: number;
  readonly length: number;
  write(arena: Arena, at: number): void;
  /** Wipes what must not stay when the order is never carried out. */
  discard?(): void;
}

/**
 * The fast data plane: one worker thread that moves packets between TUN and the ESP sockets by FFI.
 * @throws LinuxError without FFI, RangeError when `espFds` is empty
 */
export function createFfiDataPlane(options: FfiDataPlaneOptions): DataPlane {
  return new FfiDataPlane(options);
}

class FfiDataPlane implements DataPlane {
  readonly kind = 'ffi';
  readonly #options: FfiDataPlaneOptions;
  readonly #arena: Arena = createArena();
  readonly #orders: OrderWriter = new OrderWriter(this.#arena);
  readonly #wake = openEventFd();
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #locals: readonly Endpoint[];
  readonly #mssCeiling: number;
  /** Path MTU by peer address, as it was when the kernel was asked last. */
  readonly #paths = new Map<string, number>();
  readonly #pathTimer: NodeJS.Timeout;
  readonly #children = new Map<number, Installed>();
  readonly #spis = new Set<number>();
  /** Further TUN devices by number; one that is being removed stays until the worker has let go of it. */
  readonly #devices = new Map<number, { readonly tun: PlaneTun; leaving: boolean }>();
  /** Counter blocks nobody uses; taken from the front, given back at the end. */
  readonly #blocks: number[] = Array.from({ length: MAX_CHILDREN }, (_, i) => i + 1);
  /** Orders that found the ring full, oldest first. */
  readonly #pending: PendingOrder[] = [];
  #closing: Promise<void> | undefined;
  #failed = false;
  /** The process ends without `close()`: it waits for its threads, so this one must not sleep on. */
  readonly #onExit = () => {
    this.#orders.stop();
    this.#wake.signal();
  };

  constructor(options: FfiDataPlaneOptions) {
    this.#options = options;
    if (options.espFds.length === 0) throw new RangeError('the data plane needs at least one ESP socket');
    this.#locals = options.espFds.map(localEndpoint);
    this.#mssCeiling = options.mssCeiling ?? DEFAULT_MSS_CEILING;
    this.#pathTimer = setInterval(() => this.#renewPath(), PATH_MILLIS).unref();
    const workerData: WorkerSetup = {
      memory: this.#arena.memory,
      tunFd: options.tun.fd,
      espFds: options.espFds,
      wakeFd: this.#wake.fd,
      ...(options.rawFd === undefined ? {} : { rawFd: options.rawFd }),
      virtioHeader: options.tun.virtioHeader ?? false,
      offload: options.offload ?? NO_OFFLOAD,
    };
    this.#worker = new Worker(options.workerEntry ?? workerEntry(), { workerData, name: 'culvert packets' });
    process.once('exit', this.#onExit);
    this.#worker.on('message', (report: WorkerReport) => this.#hear(report));
    this.#worker.on('error', (error) => this.#fail(`the packet thread broke: ${error.message}`));
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        if (this.#closing === undefined) this.#fail(`the packet thread ended (exit code ${code})`);
        resolve();
      });
    });
  }

  /** @throws RangeError for an id or SPI in use, a suite, keys or addresses that do not fit. Wipes the keys then */
  install(pair: EspPair): void {
    try {
      this.#admit(pair);
      const block = this.#blocks[0];
      if (block === undefined) {
        throw new RangeError(
          `child SA ${pair.id}: ${MAX_CHILDREN} child SAs are installed, which is the limit`,
        );
      }
      const path = this.#pathTo(pair.peer);
      const order = encodeInstall(pair, block, { pathMtu: path, mssCeiling: this.#mssCeiling });
      if (order.length > MAX_ORDER)
        throw new RangeError(`child SA ${pair.id} has too many traffic selectors`);
      this.#blocks.shift();
      this.#children.set(pair.id, {
        block,
        spiIn: pair.spiIn,
        peer: pair.peer,
        pathMtu: path,
        suite: pair.suite,
        encapsulation: pair.encapsulation,
      });
      this.#spis.add(pair.spiIn);
      this.#order({ kind: Order.INSTALL, ...order, discard: () => wipePair(pair) });
    } catch (error) {
      wipePair(pair);
      throw error;
    }
  }

  #admit(pair: EspPair): void {
    const refuse = (why: string): never => {
      throw new RangeError(`child SA ${pair.id}${why}`);
    };
    if (this.#closing !== undefined) refuse(': the data plane is closed');
    if (pair.encapsulation !== 'udp' && this.#options.rawFd === undefined) {
      refuse(' wants ESP as IP protocol 50, and this data plane has UDP only: set "encapsulation: always"');
    }
    if (!Number.isInteger(pair.id) || pair.id < 0 || pair.id > 0xffffffff) refuse(': ids are whole numbers');
    if (this.#children.has(pair.id)) refuse(' is installed already');
    if (this.#spis.has(pair.spiIn)) refuse(`: inbound SPI ${pair.spiIn} is in use`);
    const { device = 0 } = pair;
    if (device !== 0 && this.#devices.get(device)?.leaving !== false)
      refuse(`: there is no device ${device}`);
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
    if (this.#children.has(id)) this.#order(idOrder(Order.ACTIVATE, id));
  }

  /** @throws RangeError when the address is not one of the sockets' family */
  updatePeer(id: number, peer: Endpoint): void {
    if (!this.#children.has(id)) return;
    this.#checkPeer(id, peer);
    this.#order({ kind: Order.UPDATE_PEER, ...encodePeer(id, peer) });
    this.#children.get(id)!.peer = peer;
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
      this.#order({ kind: Order.SET_PATH, ...encodePath(id, limits) });
    }
  }

  remove(id: number): void {
    const child = this.#children.get(id);
    if (child === undefined) return;
    this.#children.delete(id);
    this.#spis.delete(child.spiIn);
    this.#blocks.push(child.block);
    this.#order(idOrder(Order.REMOVE, id));
  }

  addDevice(name: string): number {
    const { openTun } = this.#options;
    if (openTun === undefined) throw new RangeError('this data plane has one TUN device only');
    let device = 1;
    while (this.#devices.has(device)) device++;
    if (device > MAX_FURTHER_DEVICES) {
      throw new RangeError(
        `TUN device ${name}: ${MAX_FURTHER_DEVICES + 1} devices are there, which is the limit`,
      );
    }
    const tun = openTun(name);
    this.#devices.set(device, { tun, leaving: false });
    this.#order({ kind: Order.ADD_DEVICE, ...encodeDevice(device, tun.fd, tun.virtioHeader ?? false) });
    return device;
  }

  removeDevice(device: number): void {
    const known = this.#devices.get(device);
    if (known === undefined || known.leaving) return;
    known.leaving = true;
    this.#order(idOrder(Order.REMOVE_DEVICE, device));
  }

  counters(): readonly ChildCounters[] {
    const { now } = this.#options;
    const offset = now() - monotonicMillis();
    const toClock = (monotonic: number): Millis => monotonic + offset;
    return [...this.#children].map(([id, child]) => ({
      ...readChild(this.#arena, child.block, id, toClock),
      ...mtuOf(child),
    }));
  }

  drops(): DropCounts {
    return readDrops(this.#arena, GLOBAL_BLOCK);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#pathTimer);
    this.#orders.stop();
    this.#wake.signal();
    const late = setTimeout(() => {
      // It cannot interrupt a system call, but it ends a thread that is busy elsewhere.
      void this.#worker.terminate();
      this.#wake.signal();
    }, STOP_MILLIS);
    await this.#exited;
    clearTimeout(late);
    process.removeListener('exit', this.#onExit);
    for (const order of this.#pending.splice(0)) order.discard?.();
    this.#arena.bytes.fill(0);
    this.#wake.close();
    this.#options.tun.close();
    for (const { tun } of this.#devices.values()) tun.close();
    this.#devices.clear();
  }

  #order(order: PendingOrder): void {
    if (this.#closing !== undefined || this.#failed) {
      order.discard?.();
      return;
    }
    this.#pending.push(order);
    this.#pump();
  }

  /** Moves what fits into the ring, in order. The rest goes when the worker reports space. */
  #pump(): void {
    let written = false;
    while (this.#pending.length > 0) {
      const order = this.#pending[0]!;
      if (!this.#orders.write(order.kind, order.length, (at) => order.write(this.#arena, at))) break;
      this.#pending.shift();
      written = true;
    }
    if (written) this.#wake.signal();
  }

  #hear(report: WorkerReport): void {
    const { listener, ready } = this.#options;
    if (report.kind === 'ike') this.#orders.ikeHandled();
    if (this.#closing !== undefined) return;
    switch (report.kind) {
      case 'ready':
        ready?.(report.crypto, report.note);
        break;
      case 'space':
        this.#pump();
        break;
      case 'ike': {
        const { socket, address, port, bytes } = report;
        listener.ikeDatagram(this.#locals[socket]!, { address, port }, bytes);
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
        this.#options.offloadLost?.(report.name, report.errno);
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
    for (const order of this.#pending.splice(0)) order.discard?.();
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

function wipePair(pair: EspPair): void {
  for (const keys of [pair.keysIn, pair.keysOut] satisfies EspKeys[]) {
    keys.encryption.wipe();
    keys.integrity?.wipe();
  }
}

/** The compiled entry; when this file runs uncompiled under a loader, its source. */
function workerEntry(): URL {
  const compiled = new URL('./worker.js', import.meta.url);
  return existsSync(fileURLToPath(compiled)) ? compiled : new URL('./worker.ts', import.meta.url);
}
