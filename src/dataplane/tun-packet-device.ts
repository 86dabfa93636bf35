import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { addressOf, hostBuffer, libc } from '../linux/ffi.js';
import type { TunDevice } from '../linux/tun.js';
import type { PacketDevice } from './packet-device.js';
import { TunGate, type TunWatchData, type TunWatchReport } from './tun-gate.js';

/** Longest packet of IP. */
const PACKET_SIZE = 65_535;

/** Packets read before other work of the main thread has its turn. */
const BURST = 64;

/** A TUN device as the portable data plane takes it. Closing it leaves the TUN device itself to its owner. */
export interface TunPacketDevice extends PacketDevice {
  /** Resolves when its thread has ended; then the TUN device may be closed. */
  close(): Promise<void>;
}

/**
 * Reads and writes a TUN device on the main thread, one packet a system call. A thread waits for packets, since
 * Node cannot watch such a descriptor itself. A raw socket is read in the same way.
 * @param tun without the virtio-net header
 * @param failed called once when the device is gone
 */
export function createTunPacketDevice(
  tun: Pick<TunDevice, 'fd' | 'name'>,
  failed: (reason: string) => void,
): TunPacketDevice {
  return new TunOnMain(tun, failed);
}

class TunOnMain implements TunPacketDevice {
  readonly #fd: number;
  readonly #failed: (reason: string) => void;
  readonly #state = new Int32Array(new SharedArrayBuffer(4));
  readonly #inbox = hostBuffer(PACKET_SIZE);
  readonly #outbox = hostBuffer(PACKET_SIZE);
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  #receiver: ((packet: Uint8Array) => void) | undefined;
  #closed = false;

  constructor(tun: Pick<TunDevice, 'fd' | 'name'>, failed: (reason: string) => void) {
    this.#fd = tun.fd;
    this.#failed = failed;
    const workerData: TunWatchData = { fd: tun.fd, gate: this.#state.buffer as SharedArrayBuffer };
    this.#worker = new Worker(watcherEntry(), { workerData, name: 'culvert tun' });
    this.#worker.unref();
    this.#worker.on('message', (report: TunWatchReport) => {
      if (report === 'readable') this.#drain();
      else this.#fail(`the TUN device ${tun.name} is gone`);
    });
    this.#worker.on('error', (error) => this.#fail(`the thread on ${tun.name} broke: ${error.message}`));
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
  }

  onPacket(receiver: ((packet: Uint8Array) => void) | undefined): void {
    this.#receiver = receiver;
  }

  write(packet: Uint8Array): boolean {
    if (this.#closed || packet.length > PACKET_SIZE) return false;
    this.#outbox.set(packet);
    return libc().write(this.#fd, addressOf(this.#outbox), packet.length) === packet.length;
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#receiver = undefined;
      this.#setState(TunGate.STOP);
    }
    await this.#exited;
  }

  #drain(): void {
    const { read } = libc();
    const address = addressOf(this.#inbox);
    for (let n = 0; n < BURST; n++) {
      if (this.#closed) return;
      const length = read(this.#fd, address, PACKET_SIZE);
      if (length <= 0) {
        // Empty, or gone: the watching thread finds out which.
        Atomics.compareExchange(this.#state, 0, TunGate.DRAIN, TunGate.WATCH);
        Atomics.notify(this.#state, 0);
        return;
      }
      this.#receiver?.(this.#inbox.subarray(0, length));
    }
    setImmediate(() => this.#drain());
  }

  #fail(reason: string): void {
    if (!this.#closed) this.#failed(reason);
  }

  #setState(value: number): void {
    Atomics.store(this.#state, 0, value);
    Atomics.notify(this.#state, 0);
  }
}

/** The built thread also when this file runs from its source, as it does in tests: a worker takes no TypeScript. */
function watcherEntry(): URL {
  const beside = new URL('./tun-watch.js', import.meta.url);
  if (existsSync(fileURLToPath(beside))) return beside;
  return new URL('../../dist/dataplane/tun-watch.js', import.meta.url);
}
