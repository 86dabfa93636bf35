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

/** struct ifreq: name in 16 octets, then a union of 24. */
const IFREQ_SIZE = 40;
const IFNAMSIZ = 16;

/**
 * Packets the kernel queues for a reader that is busy. The default of 500 loses packets in the bursts of one
 * TCP window.
 */
const TX_QUEUE_LENGTH = 5000;

/** An open TUN device. It exists as long as a descriptor of it is open. */
export interface TunDevice {
  readonly fd: number;
  readonly name: string;
  readonly index: number;
  /** Removes the device, its addresses and its routes. Safe to call twice. */
  close(): void;
}

/** Whether the kernel takes this as a device name. */
export function isDeviceName(name: string): boolean {
  return /^[^\s/:%]{1,15}$/.test(name) && name !== '.' && name !== '..';
}

/**
 * Makes a TUN device for bare IP packets, one a read, without blocking. It is down and has no address.
 * @throws LinuxError with the remedy: rights, missing /dev/net/tun, name in use
 */
export function openTun(name: string): TunDevice {
  if (!isDeviceName(name)) {
    throw new RangeError(
      `device name "${name}": use 1 to 15 characters without white space, "/", ":" or "%"`,
    );
  }
  const calls = libc();
  const fd = calls.open('/dev/net/tun', O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) throw tunError(lastErrno(), name);
  let open = true;
  const close = (): void => {
    if (open) calls.close(fd);
    open = false;
  };
  try {
    const request = hostBuffer(IFREQ_SIZE);
    new TextEncoder().encodeInto(name, request.subarray(0, IFNAMSIZ - 1));
    new DataView(request.buffer).setUint16(IFNAMSIZ, IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL, true);
    if (calls.ioctl(fd, TUNSETIFF, addressOf(request)) < 0) throw tunError(lastErrno(), name);
    setLink(name, { txQueueLength: TX_QUEUE_LENGTH });
    return { fd, name, index: linkIndex(name), close };
  } catch (error) {
    close();
    throw error;
  }
}
