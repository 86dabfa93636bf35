import { tunError } from './errors.js';
import { addressOf, hostBuffer, lastErrno, libc } from './ffi.js';
import { linkIndex, setLink } from './links.js';

const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

/** _IOW('T', 202, int), linux/if_tun.h. */
const TUNSETIFF = 0x400454ca;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
/** Fail instead of attaching to a device that exists: what we did not make we must not remove. */
const IFF_TUN_EXCL = 0x8000;

/** A header with checksum and segmentation state in front of every packet (esp/offload/virtio.ts). */
const IFF_VNET_HDR = 0x4000;
/** Several descriptors, each with a queue of its own. */
const IFF_MULTI_QUEUE = 0x0100;
/** A queue takes part, or does not: packets go to those that do. */
const IFF_ATTACH_QUEUE = 0x0200;
const IFF_DETACH_QUEUE = 0x0400;
/** _IOW('T', 217, int). */
const TUNSETQUEUE = 0x400454d9;

/** _IOW('T', 208, unsigned int): what the reader copes with. */
const TUNSETOFFLOAD = 0x400454d0;
const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;
const TUN_F_USO4 = 0x20;
const TUN_F_USO6 = 0x40;

/** struct ifreq: name in 16 octets, then a union of 24. */
const IFREQ_SIZE = 40;
const IFNAMSIZ = 16;

/**
 * Packets the kernel queues for a reader that is busy. The default of 500 loses packets in the bursts of one
 * TCP window.
 */
const TX_QUEUE_LENGTH = 5000;

/** What the reader and writer of a TUN device can do. */
export interface TunOptions {
  /** Packets carry the virtio-net header, both ways. */
  readonly virtioHeader?: boolean;
  /** The kernel may hand over TCP super-packets. Needs the header. */
  readonly tso?: boolean;
  /** The kernel may hand over UDP trains as well (Linux 6.2). */
  readonly uso?: boolean;
  /** Descriptors, each of which gets a part of the flows; 1 by default. */
  readonly queues?: number;
  /**
   * Several processes may open it, of which one at a time moves packets. It outlives each of them as long as another has
   * a descriptor, and with it what is routed through it. No packet comes here before `attach`.
   */
  readonly shared?: boolean;
}

/** An open TUN device. It exists as long as a descriptor of it is open. */
export interface TunDevice {
  /** The first of `fds`. */
  readonly fd: number;
  readonly fds: readonly number[];
  readonly name: string;
  readonly index: number;
  /** What the kernel agreed to. */
  readonly virtioHeader: boolean;
  readonly tso: boolean;
  readonly uso: boolean;
  /** For one that is shared: from now on packets come here. @throws LinuxError */
  attach(): void;
  /** Removes the device, its addresses and its routes, unless another process has it open. Safe to call twice. */
  close(): void;
}

/** Whether the kernel takes this as a device name. */
function isDeviceName(name: string): boolean {
  return /^[^\s/:%]{1,15}$/.test(name) && name !== '.' && name !== '..';
}

/**
 * Makes a TUN device for bare IP packets, one per read, without blocking. It is down and has no address.
 * Offloads that the kernel does not know are left out: see the answer.
 * @throws LinuxError with the remedy: rights, missing /dev/net/tun, name in use
 */
export function openTun(name: string, options: TunOptions = {}): TunDevice {
  if (!isDeviceName(name)) {
    throw new RangeError(
      `device name "${name}": use 1 to 15 characters without white space, "/", ":" or "%"`,
    );
  }
  const { queues = 1, virtioHeader = false, shared = false } = options;
  const fds: number[] = [];
  const close = (): void => {
    for (const fd of fds.splice(0)) libc().close(fd);
  };
  try {
    const several = queues > 1 || shared;
    const flags = IFF_TUN | IFF_NO_PI | (virtioHeader ? IFF_VNET_HDR : 0) | (several ? IFF_MULTI_QUEUE : 0);
    const { ioctl } = libc();
    const detach = queueRequest(IFF_DETACH_QUEUE);
    let offload = { tso: false, uso: false };
    for (let i = 0; i < queues; i++) {
      const fd = libc().open('/dev/net/tun', O_RDWR | O_NONBLOCK | O_CLOEXEC);
      if (fd < 0) throw tunError(lastErrno(), name);
      fds.push(fd);
      const request = hostBuffer(IFREQ_SIZE);
      new TextEncoder().encodeInto(name, request.subarray(0, IFNAMSIZ - 1));
      const exclusive = i === 0 && !shared ? IFF_TUN_EXCL : 0;
      new DataView(request.buffer).setUint16(IFNAMSIZ, flags | exclusive, true);
      const [made, detached] = [addressOf(request), addressOf(detach)];
      if (ioctl(fd, TUNSETIFF, made) < 0) throw tunError(lastErrno(), name);
      // At once: until then a part of the packets for the process that moves them comes here, and is lost.
      if (shared && ioctl(fd, TUNSETQUEUE, detached) < 0) throw tunError(lastErrno(), name);
      if (i === 0 && virtioHeader) offload = agreeOnOffload(fd, options);
    }
    setLink(name, { txQueueLength: TX_QUEUE_LENGTH });
    const attach = (): void => {
      const request = queueRequest(IFF_ATTACH_QUEUE);
      for (const fd of fds) {
        if (ioctl(fd, TUNSETQUEUE, addressOf(request)) < 0) throw tunError(lastErrno(), name);
      }
    };
    const [fd] = fds as [number];
    return { fd, fds: [...fds], name, index: linkIndex(name), virtioHeader, ...offload, attach, close };
  } catch (error) {
    close();
    throw error;
  }
}

function queueRequest(flag: number): Uint8Array<ArrayBuffer> {
  const request = hostBuffer(IFREQ_SIZE);
  new DataView(request.buffer).setUint16(IFNAMSIZ, flag, true);
  return request;
}

/**
 * TSO_ECN is never asked for: the kernel then splits what has CWR set before it reaches us. A refusal of UDP
 * leaves what was agreed on before it.
 */
function agreeOnOffload(
  fd: number,
  { tso = false, uso = false }: TunOptions,
): { tso: boolean; uso: boolean } {
  const base = TUN_F_CSUM | (tso ? TUN_F_TSO4 | TUN_F_TSO6 : 0);
  const { ioctl } = libc();
  const agreed = (tso || uso) && ioctl(fd, TUNSETOFFLOAD, base) >= 0;
  const udp = agreed && uso && ioctl(fd, TUNSETOFFLOAD, base | TUN_F_USO4 | TUN_F_USO6) >= 0;
  return { tso: agreed && tso, uso: udp };
}
