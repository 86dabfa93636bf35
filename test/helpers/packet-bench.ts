import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { EspKeys, EspSuite } from '../../src/crypto/types.js';
import { choosePacketCrypto } from '../../src/dataplane/ffi/crypto/choose-crypto.js';
import type { WorkerReport } from '../../src/dataplane/ffi/loop/messages.js';
import { PacketLoop } from '../../src/dataplane/ffi/loop/packet-loop.js';
import { createArena } from '../../src/dataplane/ffi/memory/arena.js';
import { OrderWriter } from '../../src/dataplane/ffi/memory/control-ring.js';
import { GLOBAL_BLOCK, readChild, readDrops } from '../../src/dataplane/ffi/memory/counters.js';
import { encodeId, encodeInstall, encodeTap, Order } from '../../src/dataplane/ffi/memory/orders.js';
import { createTapRing, TapReader } from '../../src/dataplane/ffi/memory/tap-ring.js';
import { needsVirtioHeader, type Offload } from '../../src/dataplane/offload.js';
import type { TapOptions } from '../../src/dataplane/packet-tap.js';
import { espLayout } from '../../src/esp/layout.js';
import type { EspPair } from '../../src/esp/params.js';
import { openEventFd } from '../../src/linux/eventfd.js';
import { addressOf, hostBuffer, type Libc, libc, openLibrary } from '../../src/linux/ffi.js';
import { localEndpoint, openPortGroup, type PortGroup } from '../../src/linux/sockets.js';
import { cidrOf, cidrRange } from '../../src/util/ip.js';
import { SecretKey } from '../../src/util/secret.js';
import { buildPacket } from '../../src/wire/ip.js';

export const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
export const backend = createOpensslBackend();

/** Two connected descriptors that keep packet boundaries, one of them in the place of TUN. */
export function packetPair(): [number, number] {
  const socketpair = openLibrary(null).bind<(f: number, t: number, p: number, at: number) => number>(
    'socketpair',
    'int',
    ['int', 'int', 'int', 'uintptr_t'],
  );
  const memory = hostBuffer(64);
  // AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC
  if (socketpair(1, 5 | 0o4000 | 0o2000000, 0, addressOf(memory)) !== 0) throw new Error('socketpair');
  const view = new DataView(memory.buffer);
  return [view.getInt32(0, true), view.getInt32(4, true)];
}

const memory = hostBuffer(70000);
export function writeTo(fd: number, bytes: Uint8Array): void {
  memory.set(bytes);
  libc().write(fd, addressOf(memory), bytes.length);
}
export function readFrom(fd: number): Uint8Array | undefined {
  const length = libc().read(fd, addressOf(memory), memory.length);
  return length < 0 ? undefined : memory.slice(0, length);
}

function selector(text: string) {
  const { start, end } = cidrRange(cidrOf(text));
  const tsType = start.length === 4 ? 7 : 8;
  return { tsType, protocol: 0, startPort: 0, endPort: 65535, startAddress: start, endAddress: end };
}
export const ours = [selector('10.1.0.0/24'), selector('2001:db8:1::/64')];
export const theirs = [selector('10.2.0.0/24'), selector('2001:db8:2::/64')];

export const GCM: EspSuite = { encryption: { id: 20, keyBits: 128 }, integrity: 0, dh: 0, esn: false };
export const CBC: EspSuite = { encryption: { id: 12, keyBits: 128 }, integrity: 2, dh: 0, esn: false };

export function keyMaker(suite: EspSuite): () => EspKeys {
  const layout = espLayout(suite);
  const encryption = random.bytes(layout.keyLength + layout.saltLength);
  const integrity = random.bytes(layout.integrityKeyLength);
  return () => ({
    encryption: new SecretKey(Uint8Array.from(encryption)),
    ...(layout.aead ? {} : { integrity: new SecretKey(Uint8Array.from(integrity)) }),
  });
}

export interface BenchOptions {
  /** None unless given. */
  readonly offload?: Offload;
  /** System calls in place of the kernel's. */
  calls?(bench: Bench): Libc;
  /** With something in the place of a raw socket for ESP, whose packets begin with the SPI, as over IPv6. */
  readonly raw?: boolean;
  /** In place of the monotonic clock. */
  now?(): number;
  /** Is given the ESP socket. */
  prepare?(fd: number): void;
}

/** One packet loop, turned by the test, between a pair of sockets in TUN's place and a UDP socket in the peer's. */
export class Bench {
  readonly arena = createArena();
  readonly writer = new OrderWriter(this.arena);
  readonly reports: WorkerReport[] = [];
  readonly wake = openEventFd();
  readonly address: string;
  readonly client: Socket;
  readonly heard: Buffer[] = [];
  readonly loop: PacketLoop;
  /** The far end of what stands in TUN's place, and the loop's. */
  readonly tun: number;
  readonly tunFd: number;
  /** The far end of what stands in the raw socket's place; -1 without. */
  readonly raw: number;
  readonly port: number;
  readonly #fds: number[];
  #posted: SharedArrayBuffer | undefined;
  readonly #group: PortGroup;

  constructor(address = '127.0.0.1', options: BenchOptions = {}) {
    const { offload, calls, prepare, raw = false } = options;
    this.address = address;
    this.client = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    this.#group = openPortGroup({ address, port: 0, workers: 1 });
    const [inner, tun] = packetPair();
    this.#fds = [inner, tun];
    this.tun = inner;
    const rawFds = raw ? packetPair() : [];
    this.#fds.push(...rawFds);
    this.raw = rawFds[0] ?? -1;
    const { crypto } = choosePacketCrypto(this.arena, backend, random);
    const setup = { tunFd: tun, espFds: this.#group.espFds, wakeFd: this.wake.fd };
    const rawFd = rawFds.length === 0 ? {} : { rawFd: rawFds[1]! };
    const more = offload === undefined ? {} : { offload, virtioHeader: needsVirtioHeader(offload) };
    this.tunFd = tun;
    const report = (one: WorkerReport) => this.reports.push(one);
    this.loop = new PacketLoop(this.arena, crypto, { ...setup, ...rawFd, ...more }, report, {
      calls: calls?.(this),
      ...(options.now === undefined ? {} : { now: () => options.now!() }),
      posted: () => this.#posted,
    });
    prepare?.(this.#group.espFds[0]!);
    this.port = localEndpoint(this.#group.espFds[0]!).port;
    this.client.on('message', (message) => this.heard.push(message));
  }

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.client.bind(0, this.address, resolve));
  }

  /** Turns until nothing is left to do. */
  async settle(): Promise<void> {
    for (let i = 0; i < 6; i++) {
      this.loop.turn(5);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  async send(...datagrams: Uint8Array[]): Promise<void> {
    for (const datagram of datagrams) {
      await new Promise((resolve) => this.client.send(datagram, this.port, this.address, resolve));
    }
    await this.settle();
  }

  order(
    kind: number,
    order: { readonly length: number; write(arena: Bench['arena'], at: number): void },
  ): void {
    this.writer.write(kind, order.length, (at) => order.write(this.arena, at));
    this.wake.signal();
    this.loop.turn(0);
  }

  id(kind: number, id: number): void {
    this.order(kind, encodeId(id));
  }

  install(pair: Partial<EspPair> & Pick<EspPair, 'keysIn' | 'keysOut' | 'suite'>, block = 1): void {
    this.order(
      Order.INSTALL,
      encodeInstall(
        {
          id: 1,
          spiIn: 0xa0000001,
          spiOut: 0xb0000001,
          localTs: ours,
          peerTs: theirs,
          encapsulation: 'udp',
          local: { address: this.address, port: this.port },
          peer: { address: this.address, port: this.client.address().port },
          outbound: true,
          ...pair,
        },
        block,
      ),
    );
  }

  /** Begins a capture; `watch` and `close` are orders, `take` gets all that was copied. */
  tap(options: Omit<TapOptions, 'now'>) {
    this.#posted = createTapRing();
    this.order(Order.TAP, encodeTap(options));
    const reader = new TapReader(this.#posted);
    return {
      watch: (id: number) => this.id(Order.TAP_CHILD, id),
      take: () => [...copies(reader)],
      close: () => this.id(Order.TAP_END, 0),
    };
  }

  counters(id = 1, block = 1) {
    return readChild(this.arena, block, id, (monotonic) => monotonic);
  }

  globalDrops(): Record<string, number> {
    return nonZero(readDrops(this.arena, GLOBAL_BLOCK));
  }

  close(): void {
    this.loop.free();
    this.client.close();
    this.wake.close();
    this.#group.close();
    for (const fd of this.#fds) libc().close(fd);
  }
}

function* copies(reader: TapReader) {
  for (let packet = reader.next(); packet !== undefined; packet = reader.next()) yield packet;
}

export function nonZero(counts: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0));
}

export const inward = (payload: number, source = '10.2.0.9', destination = '10.1.0.9'): Uint8Array =>
  buildPacket(
    {
      source: cidrRange(cidrOf(`${source}/32`)).start,
      destination: cidrRange(cidrOf(`${destination}/32`)).start,
      protocol: 253,
    },
    random.bytes(payload),
  );
export const outward = (payload: number): Uint8Array => inward(payload, '10.1.0.9', '10.2.0.9');
