import type { ReadCounters } from '../../connection/traffic-totals.js';
import type { EspSuite } from '../../crypto/types.js';
import type { DropCounts } from '../../esp/drops.js';
import { DEFAULT_MSS_CEILING } from '../../esp/offload/mss.js';
import type { EspForm, EspPair } from '../../esp/params.js';
import { type EspStart, FRESH_START } from '../../esp/start.js';
import { localEndpoint } from '../../linux/sockets.js';
import { readU32 } from '../../util/bytes.js';
import type { DeviceNumber, Spi, WorkerIndex } from '../../util/ids.js';
import { type Endpoint, parseIp } from '../../util/ip.js';
import { wipeSecrets } from '../../util/secret.js';
import { NO_TERM, type Term } from '../../util/term.js';
import { ESP_HEADER_LENGTH } from '../../wire/esp.js';
import { admit, checkPeer, checkSkip, checkStart, laterTerm } from '../admission.js';
import type { ChildCounters, DataPlane, ThreadPulse, WorkerState } from '../dataplane.js';
import { NO_OFFLOAD, type Offload } from '../offload.js';
import type { PacketTap, TapOptions } from '../packet-tap.js';
import { FurtherDevices } from './further-devices.js';
import type { WorkerReport, WorkerSetup } from './loop/messages.js';
import type { PacketWorker, PendingOrder } from './loop/packet-worker.js';
import { WorkerGroup } from './loop/worker-group.js';
import { MAX_CHILDREN } from './memory/arena.js';
import { MAX_ORDER } from './memory/control-ring.js';
import {
  encodeDevice,
  encodeEsp,
  encodeForeign,
  encodeId,
  encodeInstall,
  encodeNumbers,
  encodePath,
  encodePeer,
  Order,
} from './memory/orders.js';
import { type KnownMtus, mtusOf, PathMtus } from './path-mtus.js';
import { type CountedInstallation, PlaneCounters } from './plane-counters.js';
import { checkOptions, type FfiDataPlaneOptions } from './plane-options.js';
import { WorkerTaps } from './worker-taps.js';

/** Between two looks at what the kernel has learned of paths: it forgets again, too. */
const PATH_MILLIS = 5000;

interface Installed extends CountedInstallation {
  readonly spiIn: Spi;
  readonly suite: EspSuite;
  readonly encapsulation: EspForm;
  peer: Endpoint;
  mtus: KnownMtus;
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
  readonly #paths: PathMtus;
  readonly #pathTimer: NodeJS.Timeout;
  readonly #children = new Map<number, Installed>();
  readonly #counted: PlaneCounters;
  readonly #spis = new Set<number>();
  /** Further TUN devices by number. */
  readonly #devices = new FurtherDevices();
  #term: Term = NO_TERM;
  #running = 0;
  /** The threads of workers, as the kernel numbers them. */
  readonly #threads: (number | undefined)[] = [];
  /** Offloads that some worker has turned off. */
  readonly #lost = new Set<keyof Offload>();
  #tap: PacketTap | undefined;
  #closing: Promise<void> | undefined;
  #failed = false;
  /** The process ends without `close()`: it waits for its threads, so these must not sleep on. */
  readonly #onExit = () => this.#group.stop();

  constructor(options: FfiDataPlaneOptions) {
    const { workers = 1, espFds } = options;
    checkOptions(options);
    this.#options = options;
    this.#locals = espFds.map(localEndpoint);
    this.#paths = new PathMtus(this.#locals[0]!);
    this.#mssCeiling = options.mssCeiling ?? DEFAULT_MSS_CEILING;
    this.#group = options.group ?? new WorkerGroup(workers);
    this.#counted = new PlaneCounters(this.#children, this.#group, options.now);
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
    if (!this.#spis.has(spi)) this.#order(this.#ownerOfSpi(spi), { kind: Order.EXPECT, ...encodeId(spi) });
  }

  forget(spi: Spi): void {
    if (!this.#spis.has(spi)) this.#order(this.#ownerOfSpi(spi), { kind: Order.FORGET, ...encodeId(spi) });
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
      admit(pair, this.#locals[0]!, {
        closed: this.#closing !== undefined,
        sendsRaw: this.#options.rawFds !== undefined,
        hasChild: (id) => this.#children.has(id),
        hasSpi: (spi) => this.#spis.has(spi),
        deviceFault: (device, spiIn) => this.#devices.fault(device, this.#group.ownerOf(spiIn)),
      });
      const number = this.#group.ownerOf(pair.spiIn);
      const worker = this.#group.workers[number]!;
      if (worker.room === 0) {
        throw new RangeError(
          `child SA ${pair.id}: ${MAX_CHILDREN} child SAs are installed in its packet worker, which is the limit`,
        );
      }
      const path = this.#paths.to(pair.peer);
      const block = worker.takeBlock();
      const order = encodeInstall(pair, block, { pathMtu: path, mssCeiling: this.#mssCeiling });
      if (order.length > MAX_ORDER) {
        worker.returnBlock(block);
        throw new RangeError(`child SA ${pair.id} has too many traffic selectors`);
      }
      const { spiIn, peer, suite, encapsulation } = pair;
      const mtus = mtusOf(pair, path);
      this.#children.set(pair.id, { worker: number, block, spiIn, suite, encapsulation, peer, mtus });
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

  activateOutbound(id: number): void {
    if (!this.#children.has(id)) return;
    for (const worker of this.#group.workers) this.#order(worker, { kind: Order.ACTIVATE, ...encodeId(id) });
  }

  /** @throws RangeError when the address is not one of the sockets' family */
  updatePeer(id: number, peer: Endpoint): void {
    const child = this.#children.get(id);
    if (child === undefined) return;
    checkPeer(id, peer, this.#locals[0]!);
    this.#order(this.#ownerOf(child), { kind: Order.UPDATE_PEER, ...encodePeer(id, peer) });
    child.peer = peer;
    this.#renewPath(id);
  }

  /** Asks the kernel for the path MTU of all peers, or of that of one child SA. */
  #renewPath(only?: number): void {
    if (this.#closing !== undefined || this.#failed) return;
    this.#paths.forget();
    const of = only === undefined ? undefined : this.#children.get(only)?.peer.address;
    for (const [id, child] of this.#children) {
      if (only !== undefined && child.peer.address !== of) continue;
      const mtu = this.#paths.to(child.peer);
      if (mtu === 0 || mtu === child.mtus.pathMtu) continue;
      child.mtus = mtusOf(child, mtu);
      const limits = { pathMtu: mtu, mssCeiling: this.#mssCeiling };
      this.#order(this.#ownerOf(child), { kind: Order.SET_PATH, ...encodePath(id, limits) });
    }
  }

  enterTerm(term: Term): void {
    this.#term = laterTerm(term, this.#term);
    for (const worker of this.#group.workers) this.#order(worker, { kind: Order.TERM, ...encodeId(term) });
  }

  reserve(id: number, limit: number): void {
    checkStart(id, { ...FRESH_START, limit });
    this.#orderNumbers(Order.RESERVE, id, limit);
  }

  resume(id: number, start: EspStart): void {
    checkStart(id, start);
    this.#orderNumbers(Order.RESUME, id, start.next, start.limit, start.highest);
  }

  skipOutbound(id: number, packets: number): void {
    checkSkip(id, packets);
    this.#orderNumbers(Order.SKIP, id, packets);
  }

  #orderNumbers(kind: number, id: number, ...numbers: readonly number[]): void {
    const child = this.#children.get(id);
    if (child !== undefined) this.#order(this.#ownerOf(child), { kind, ...encodeNumbers(id, ...numbers) });
  }

  retire(id: number): void {
    if (!this.#children.has(id)) return;
    for (const worker of this.#group.workers) this.#order(worker, { kind: Order.RETIRE, ...encodeId(id) });
  }

  remove(id: number): void {
    const child = this.#children.get(id);
    if (child === undefined) return;
    this.#children.delete(id);
    this.#spis.delete(child.spiIn);
    this.#ownerOf(child).returnBlock(child.block);
    for (const worker of this.#group.workers) this.#order(worker, { kind: Order.REMOVE, ...encodeId(id) });
  }

  addDevice(name: string, worker = 0): number {
    const { openTun } = this.#options;
    if (worker >= this.#group.size) throw new RangeError(`there is no packet worker ${worker}`);
    if (openTun === undefined) throw new RangeError('this data plane has one TUN device only');
    const [device, tun] = this.#devices.open(name, worker, openTun);
    const order = encodeDevice(device, tun.fd, tun.virtioHeader ?? false);
    this.#order(this.#group.workers[worker]!, { kind: Order.ADD_DEVICE, ...order });
    return device;
  }

  removeDevice(device: DeviceNumber): void {
    const worker = this.#devices.leave(device);
    if (worker === undefined) return;
    this.#order(this.#group.workers[worker]!, { kind: Order.REMOVE_DEVICE, ...encodeId(device) });
  }

  counters(): readonly ChildCounters[] {
    return this.#counted.all();
  }

  readonly addCounters: ReadCounters = (totalOf) => this.#counted.addTo(totalOf);

  countersOf(id: number): ChildCounters | undefined {
    return this.#counted.of(id);
  }

  drops(): DropCounts {
    return this.#counted.drops();
  }

  workers(): readonly WorkerState[] {
    return this.#counted.workers(this.#threads);
  }

  pulse(): readonly ThreadPulse[] {
    return this.#closing !== undefined || this.#failed ? [] : this.#group.pulse();
  }

  tap(options: TapOptions): PacketTap {
    if (this.#tap !== undefined) throw new RangeError('packets are being captured already');
    if (this.#closing !== undefined || this.#failed) throw new RangeError('the data plane is closed');
    this.#tap = new WorkerTaps(
      {
        workers: this.#group.workers,
        order: (worker, order) => this.#order(worker, order),
        closed: () => {
          this.#tap = undefined;
        },
      },
      options,
    );
    return this.#tap;
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
    this.#devices.close();
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
        this.#threads[worker] = report.thread;
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
        this.#devices.released(report.device);
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
