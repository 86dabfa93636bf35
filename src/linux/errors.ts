import { getSystemErrorMap } from 'node:util';
import { OperatorError } from '../util/operator-error.js';

/** Errno numbers the code decides on. They are the same on every architecture of Linux. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EIO: 5,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EBADFD: 77,
  ENOTSOCK: 88,
  EMSGSIZE: 90,
  EOPNOTSUPP: 95,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ECONNREFUSED: 111,
  EHOSTDOWN: 112,
  EHOSTUNREACH: 113,
  ENOBUFS: 105,
} as const;

/** A system call that the kernel refused: what was tried, the kernel's words, and what the operator can do. */
export class LinuxError extends OperatorError {
  override readonly name = 'LinuxError';
  declare readonly remedy: string;
  /** Name of the error number, for example `EACCES`; `ENOSYS` when there is no FFI to make the call. */
  readonly code: string;
  readonly errno: number;

  constructor(code: string, errno: number, message: string, remedy: string) {
    super({ what: message, remedy });
    this.code = code;
    this.errno = errno;
  }
}

/** `EACCES` and "permission denied" for 13. Numbers the platform does not name keep their number. */
export function errnoName(errno: number): readonly [code: string, words: string] {
  return getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, `error ${errno}`];
}

const REMEDIES: Readonly<Record<string, string>> = {
  EPERM: 'run as root, or give the process CAP_NET_ADMIN',
  EACCES: 'run as root, or give the process CAP_NET_ADMIN',
  ENODEV: 'check the device name with `ip link`',
  ENOBUFS: 'the kernel is out of buffers: lower the load or raise net.core.wmem_max',
  ENOMEM: 'the machine is out of memory: free some',
  EMFILE: 'raise the limit of open files (`ulimit -n`)',
  EADDRNOTAVAIL: 'use an address that `ip address` shows on this host',
};

/** The error of a call that set `errno`. `doing` names the attempt and its operands; `remedy` beats the usual one. */
export function linuxError(errno: number, doing: string, remedy?: string): LinuxError {
  const [code, words] = errnoName(errno);
  return new LinuxError(
    code,
    errno,
    `${doing}: ${words} (${code})`,
    remedy ?? REMEDIES[code] ?? 'see the system log (`dmesg`) for more',
  );
}

/** The error of opening or configuring a TUN device. */
export function tunError(errno: number, name: string): LinuxError {
  const doing = `TUN device "${name}"`;
  switch (errno) {
    case Errno.EPERM:
    case Errno.EACCES:
      return linuxError(
        errno,
        `${doing}: /dev/net/tun may not be used`,
        'run as root, or inside a user namespace (`unshare --user --map-root-user --net`), or give the process CAP_NET_ADMIN and read and write permission on /dev/net/tun (`chmod 0666 /dev/net/tun`)',
      );
    case Errno.ENOENT:
    case Errno.ENODEV:
      return linuxError(
        errno,
        `${doing}: there is no /dev/net/tun`,
        'load the module (`modprobe tun`) or create the node (`mkdir -p /dev/net && mknod /dev/net/tun c 10 200`); a container needs `--device /dev/net/tun`',
      );
    case Errno.EBUSY:
    case Errno.EEXIST:
      return linuxError(
        errno,
        `${doing}: a device of this name exists`,
        `set another \`gateway.interface\`, or find its owner with \`ip -d link show ${name}\` and remove it`,
      );
    default:
      return linuxError(errno, doing);
  }
}

/** The error of binding UDP `port` on `address`; also for errors of node:dgram, by their code. */
export function bindError(errno: number, address: string, port: number): LinuxError {
  const doing = `UDP port ${port} on ${address}`;
  switch (errno) {
    case Errno.EADDRINUSE:
      return linuxError(
        errno,
        doing,
        `another program holds port ${port}: find it with \`ss -ulpn 'sport = :${port}'\` (often another IKE daemon, for example charon or pluto) and stop it, or set another \`gateway.address\``,
      );
    case Errno.EADDRNOTAVAIL:
      return linuxError(
        errno,
        doing,
        `${address} is not an address of this host: set \`gateway.address\` to one that \`ip address\` shows, or add it`,
      );
    case Errno.EPERM:
    case Errno.EACCES:
      return linuxError(
        errno,
        doing,
        'ports below 1024 need root, CAP_NET_BIND_SERVICE, or a lower sysctl net.ipv4.ip_unprivileged_port_start',
      );
    default:
      return linuxError(errno, doing);
  }
}
