import { isIP } from 'node:net';
import type { CryptoBackend } from '../../crypto/types.js';
import type { DataPlane, DataPlaneListener } from '../../dataplane/dataplane.js';
import { createFfiDataPlane } from '../../dataplane/ffi/data-plane.js';
import type { PreparedWorkers } from '../../dataplane/ffi/loop/worker-group.js';
import { DEFAULT_OFFLOAD, needsVirtioHeader, type Offload } from '../../dataplane/offload.js';
import type { PacketDevice } from '../../dataplane/packet-device.js';
import { type ClosablePacketDevice, createPortableDataPlane } from '../../dataplane/portable.js';
import { createRawEspLink, type RawEspLink } from '../../dataplane/raw-esp-link.js';
import { createTunPacketDevice } from '../../dataplane/tun-packet-device.js';
import { errnoName } from '../../linux/errors.js';
import { ffiAvailable } from '../../linux/ffi.js';
import { setLinkUp } from '../../linux/links.js';
import { closeSocket, openPortGroup, openRawEsp } from '../../linux/sockets.js';
import { openTun, type TunDevice } from '../../linux/tun.js';
import type { Logger } from '../../telemetry/log.js';
import type { Random } from '../../util/random.js';
import { StartError } from '../start-error.js';
import type { Clock } from '../system/clock.js';
import { IkeSockets } from '../system/ike-sockets.js';
import type { Ports } from '../system/ports.js';
import type { UndoStack } from '../undo.js';

/** `auto` is `ffi`; the portable path, which is slower, is taken only when it is asked for. */
export type DataPlaneChoice = 'auto' | 'ffi' | 'portable';

/** What the packet path is opened with. */
export interface PacketPathOptions {
  readonly choice: DataPlaneChoice;
  readonly address: string;
  /** Name of the TUN device to make. */
  readonly interface: string;
  /** Octets of the longest inner packet. */
  readonly mtu: number;
  readonly ports: Ports;
  readonly workers: number;
  /** Threads that were made before; made here when they are left out, or not as many. */
  readonly prepared?: PreparedWorkers;
  /** Default: all that is safe everywhere. */
  readonly offload?: Offload;
  /** MSS that no TCP connection may exceed; 1360 when left out. */
  readonly mssCeiling?: number;
  /**
   * ESP as IP protocol 50, without UDP, is received on every SA where the kernel gives a raw socket (RFC 7296
   * §2.23). `required`: SAs may send it, too, so the start fails without one.
   */
  readonly rawEsp: 'required' | 'wanted';
  /** A shared TUN device that was made before; see `openSharedTun`. */
  readonly tun?: TunDevice;
  /** For the portable path: in place of a TUN device. */
  readonly device?: PacketDevice;
  readonly crypto: CryptoBackend;
  readonly random: Random;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly listener: DataPlaneListener;
}

/** The open data plane, with the IKE sockets that share port 4500 with it. */
export interface PacketPath {
  readonly plane: DataPlane;
  readonly sockets: IkeSockets;
  /** Whether ESP as IP protocol 50 is received. */
  readonly rawEsp: boolean;
}

/**
 * Opens the sockets of IKE and ESP and the packet path on them. What is opened is noted in `undo` at once, so
 * that a failure in the middle leaves nothing open.
 * @throws LinuxError or StartError, each with its remedy
 */
export async function openPacketPath(options: PacketPathOptions, undo: UndoStack): Promise<PacketPath> {
  return options.choice === 'portable' ? await portablePath(options, undo) : await ffiPath(options, undo);
}

async function portablePath(options: PacketPathOptions, undo: UndoStack): Promise<PacketPath> {
  const { address, ports, logger, clock, crypto, random, listener } = options;
  const sockets = await IkeSockets.open({ address, ports, logger, clock });
  undo.push('the IKE sockets', () => sockets.close());
  const device = options.device ?? tunForMainThread(options, undo);
  const raw = rawForMainThread(options, undo);
  const plane = createPortableDataPlane({
    crypto,
    random,
    device,
    openDevice: (name) => openFurther({ ...options, interface: name }),
    listener,
    now: () => clock.now(),
    send: (_local, remote, packet, dropped) => sockets.sendEsp(remote, packet, dropped),
    ...(raw === undefined ? {} : { sendRaw: raw.send }),
  });
  raw?.onPacket((packet) => plane.rawEsp(packet));
  undo.push('the data plane', () => plane.close());
  return { plane, sockets, rawEsp: raw !== undefined };
}

/** The raw socket of the portable path. A path without a TUN device, in tests, has none unless it is required. */
function rawForMainThread(options: PacketPathOptions, undo: UndoStack): RawEspLink | undefined {
  if (options.rawEsp === 'wanted' && options.device !== undefined) return undefined;
  const [fd] = openRawSockets({ ...options, workers: 1 }, undo);
  if (fd === undefined) return undefined;
  const link = createRawEspLink(fd, isIP(options.address) === 6 ? 6 : 4, (reason) =>
    options.listener.failed(reason),
  );
  undo.push('the thread on the raw socket', () => link.close());
  return link;
}

/**
 * One raw socket per worker; none where the kernel refuses and they are not required.
 * @throws LinuxError when they are
 */
function openRawSockets(options: PacketPathOptions, undo: UndoStack): readonly number[] {
  const { address, workers, logger } = options;
  const fds: number[] = [];
  try {
    for (let index = 0; index < workers; index++) fds.push(openRawEsp(address, { workers, index }));
  } catch (error) {
    for (const fd of fds) closeSocket(fd);
    if (options.rawEsp === 'required') throw error;
    logger.warn(
      { code: (error as { code?: string }).code },
      'ESP as IP protocol 50 is not received, only ESP in UDP: the kernel refuses a raw socket; ' +
        'give the process CAP_NET_RAW if a peer sends it',
    );
    return [];
  }
  for (const fd of fds) undo.push('the raw socket', () => closeSocket(fd));
  return fds;
}

/** A TUN device of its own for a connection; the data plane closes it. */
function openFurther({ interface: name, mtu, listener }: PacketPathOptions): ClosablePacketDevice {
  requireFfi();
  const tun = openTun(name);
  try {
    setLinkUp(tun.name, mtu);
  } catch (error) {
    tun.close();
    throw error;
  }
  const device = createTunPacketDevice(tun, (reason) => listener.failed(reason));
  return {
    onPacket: (receiver) => device.onPacket(receiver),
    write: (packet) => device.write(packet),
    close: () => void device.close().then(() => tun.close()),
  };
}

/** The TUN device is made by FFI on this path, too; packets are read and written one at a time. */
function tunForMainThread(
  { interface: name, mtu, listener }: PacketPathOptions,
  undo: UndoStack,
): PacketDevice {
  requireFfi();
  const tun = openTun(name);
  undo.push(`the TUN device ${tun.name}`, () => tun.close());
  setLinkUp(tun.name, mtu);
  const device = createTunPacketDevice(tun, (reason) => listener.failed(reason));
  undo.push('the thread on the TUN device', () => device.close());
  return device;
}

function requireFfi(): void {
  const support = ffiAvailable();
  if (support.ok) return;
  throw new StartError(
    `the data plane needs FFI: ${support.reason}`,
    'install with optional dependencies (`npm ci` without --omit=optional) on Linux x86-64 or arm64',
  );
}

/** A TUN device for worker threads: one queue for each. */
interface FfiTunOptions {
  readonly interface: string;
  readonly mtu: number;
  readonly workers: number;
  readonly offload: Offload;
}

/**
 * The TUN device of a gateway with two processes, one of which moves packets: routes through it stay when that one dies.
 * No packet comes to this process before `attach`.
 * @throws LinuxError or StartError, each with its remedy
 */
export function openSharedTun(options: FfiTunOptions): TunDevice {
  requireFfi();
  return openFfiTun({ ...options, shared: true });
}

function openFfiTun({
  interface: name,
  mtu,
  workers: queues,
  offload,
  shared,
}: FfiTunOptions & { readonly shared: boolean }): TunDevice {
  const { tso, uso } = offload;
  const made = openTun(name, { virtioHeader: needsVirtioHeader(offload), tso, uso, queues, shared });
  try {
    setLinkUp(made.name, mtu);
  } catch (error) {
    made.close();
    throw error;
  }
  return made;
}

async function ffiPath(options: PacketPathOptions, undo: UndoStack): Promise<PacketPath> {
  const { address, ports, workers, mtu, logger, clock, listener } = options;
  requireFfi();
  const wanted = options.offload ?? DEFAULT_OFFLOAD;
  const group = openPortGroup({ address, port: ports.natt, workers, gro: wanted.gro });
  undo.push('the ESP sockets', () => group.close());
  const rawFds = openRawSockets(options, undo);
  const sockets = await IkeSockets.open({ address, ports, nattFd: group.releaseIke(), logger, clock });
  undo.push('the IKE sockets', () => sockets.close());
  const threads = options.prepared?.take(workers);
  if (threads !== undefined) undo.push('the packet threads', () => threads.close());
  const own = { offload: wanted, mtu, workers: 1, shared: false };
  const tun = options.tun ?? openFfiTun({ ...own, interface: options.interface, workers });
  undo.push(`the TUN device ${tun.name}`, () => tun.close());
  options.tun?.attach();
  const plane = createFfiDataPlane({
    workers,
    ...(threads === undefined ? {} : { group: threads }),
    espFds: group.espFds,
    tun,
    openTun: (name) => openFfiTun({ ...own, interface: name }),
    ...(rawFds.length === 0 ? {} : { rawFds }),
    ...(options.mssCeiling === undefined ? {} : { mssCeiling: options.mssCeiling }),
    offload: { ...wanted, tso: tun.tso, uso: tun.uso, gro: group.gro },
    offloadLost: (name, errno) => {
      const [code] = errnoName(errno);
      logger.warn(
        { offload: name, code },
        `the kernel refuses the offload "${name}", which is off from now on`,
      );
    },
    listener,
    now: () => clock.now(),
    ready: (crypto, note) => {
      logger.info({ crypto }, `packets are encrypted by ${crypto}`);
      if (note !== undefined) logger.warn(note);
    },
  });
  undo.push('the data plane', () => plane.close());
  return { plane, sockets, rawEsp: rawFds.length > 0 };
}
