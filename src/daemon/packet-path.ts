import type { CryptoBackend } from '../crypto/types.js';
import type { DataPlane, DataPlaneListener } from '../dataplane/dataplane.js';
import { createFfiDataPlane } from '../dataplane/ffi/data-plane.js';
import { DEFAULT_OFFLOAD, needsVirtioHeader, type Offload } from '../dataplane/offload.js';
import type { PacketDevice } from '../dataplane/packet-device.js';
import { type ClosablePacketDevice, createPortableDataPlane } from '../dataplane/portable.js';
import { createTunPacketDevice } from '../dataplane/tun-packet-device.js';
import { errnoName } from '../linux/errors.js';
import { ffiAvailable } from '../linux/ffi.js';
import { setLinkUp } from '../linux/links.js';
import { closeSocket, openPortGroup, openRawEsp } from '../linux/sockets.js';
import { openTun, type TunDevice } from '../linux/tun.js';
import type { Logger } from '../telemetry/log.js';
import type { Random } from '../util/random.js';
import type { Clock } from './clock.js';
import { IkeSockets } from './ike-sockets.js';
import type { Ports } from './ports.js';
import { StartError } from './start-error.js';
import type { UndoStack } from './undo.js';

/** `auto` is `ffi`; the portable path, which is slower, is taken only when it is asked for. */
export type DataPlaneChoice = 'auto' | 'ffi' | 'portable';

export interface PacketPathOptions {
  readonly choice: DataPlaneChoice;
  readonly address: string;
  /** Name of the TUN device to make. */
  readonly interface: string;
  /** Octets of the longest inner packet. */
  readonly mtu: number;
  readonly ports: Ports;
  readonly workers: number;
  /** Default: all that is safe everywhere. */
  readonly offload?: Offload;
  /** MSS that no TCP connection may exceed; 1360 when left out. */
  readonly mssCeiling?: number;
  /** Whether SAs may send ESP as IP protocol 50, without UDP. */
  readonly rawEsp?: boolean;
  /** For the portable path: in place of a TUN device. */
  readonly device?: PacketDevice;
  readonly crypto: CryptoBackend;
  readonly random: Random;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly listener: DataPlaneListener;
}

export interface PacketPath {
  readonly plane: DataPlane;
  readonly sockets: IkeSockets;
}

/**
 * Opens the sockets of IKE and ESP and the packet path on them. What is opened is noted in `undo` at once, so
 * that a failure in the middle leaves nothing behind.
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
  const plane = createPortableDataPlane({
    crypto,
    random,
    device,
    openDevice: (name) => openFurther({ ...options, interface: name }),
    listener,
    now: () => clock.now(),
    send: (_local, remote, packet, dropped) => sockets.sendEsp(remote, packet, dropped),
  });
  undo.push('the data plane', () => plane.close());
  return { plane, sockets };
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

async function ffiPath(options: PacketPathOptions, undo: UndoStack): Promise<PacketPath> {
  const { address, ports, workers, mtu, logger, clock, listener } = options;
  requireFfi();
  const wanted = options.offload ?? DEFAULT_OFFLOAD;
  const group = openPortGroup({ address, port: ports.natt, workers, gro: wanted.gro });
  undo.push('the ESP sockets', () => group.close());
  const rawFds: number[] = [];
  for (let index = 0; options.rawEsp === true && index < workers; index++) {
    const fd = openRawEsp(address, { workers, index });
    undo.push('the raw socket', () => closeSocket(fd));
    rawFds.push(fd);
  }
  const sockets = await IkeSockets.open({ address, ports, nattFd: group.releaseIke(), logger, clock });
  undo.push('the IKE sockets', () => sockets.close());
  const { tso, uso } = wanted;
  const open = (name: string, queues = 1): TunDevice => {
    const made = openTun(name, { virtioHeader: needsVirtioHeader(wanted), tso, uso, queues });
    try {
      setLinkUp(made.name, mtu);
    } catch (error) {
      made.close();
      throw error;
    }
    return made;
  };
  const tun = open(options.interface, workers);
  undo.push(`the TUN device ${tun.name}`, () => tun.close());
  const plane = createFfiDataPlane({
    workers,
    espFds: group.espFds,
    tun,
    openTun: (name) => open(name),
    ...(options.rawEsp === true ? { rawFds } : {}),
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
  return { plane, sockets };
}
