import { release as osRelease } from 'node:os';
import { type Endpoint, type IpBytes, parseIp } from '../util/ip.js';
import { bindError, linuxError } from './errors.js';
import { addressOf, checked, hostBuffer, lastErrno, libc } from './ffi.js';
import {
  AF_INET,
  AF_INET6,
  SOCKADDR_SPACE,
  sockaddrAddress,
  sockaddrPort,
  writeSockaddr,
} from './sockaddr.js';
import { rawEspFilter, steeringProgram } from './steering.js';

const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_REUSEPORT = 15;
const SO_ATTACH_FILTER = 26;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_ATTACH_REUSEPORT_CBPF = 51;

const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IP_RECVERR = 11;
const IP_RECVTOS = 13;
const IP_MTU = 14;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const IPV6_MTU = 24;
const IPV6_RECVERR = 25;
const IPV6_V6ONLY = 26;
const IPV6_RECVTCLASS = 66;
/** DF is set, but what is longer than the path is fragmented by the kernel and not lost. */
const PMTUDISC_WANT = 1;
const SOL_UDP = 17;
const UDP_GRO = 104;

/**
 * Octets asked for each socket buffer. The kernel's default of 212,992 overflows in the bursts of one fast
 * flow; the kernel counts more than the payload, so this is room for some 3,000 full datagrams.
 */
const SOCKET_BUFFER = 7 * 1024 * 1024;

/** Kernels before this one lose datagrams with UDP_GRO on sockets of several flows. */
const GRO_SINCE = [5, 12] as const;

/** What a group of sockets on one UDP port is opened with. */
export interface PortGroupOptions {
  /** An address of this host, IPv4 or IPv6, or the unspecified address of the family. */
  readonly address: string;
  /** 0: a free one, the same for all sockets; `localEndpoint` says which. */
  readonly port: number;
  /** ESP sockets, a power of two. */
  readonly workers: number;
  /** Datagrams of one peer come in trains, their length in control data (UDP_GRO). */
  readonly gro?: boolean;
}

/** The sockets of one UDP port: IKE and ESP apart. All are non-blocking. */
export interface PortGroup {
  /** For node:dgram: `socket.bind({ fd })`. */
  readonly ikeFd: number;
  /** `espFds[w]` gets the ESP datagrams with SPI mod workers = w. */
  readonly espFds: readonly number[];
  /** Whether the ESP sockets receive trains of datagrams. */
  readonly gro: boolean;
  /** The IKE socket now belongs to the caller: `close()` leaves it alone. Returns `ikeFd`. */
  releaseIke(): number;
  /** Closes the sockets. Safe to call twice. Not while a worker still polls them. */
  close(): void;
}

/**
 * Opens the IKE socket and the ESP sockets of one UDP port as one SO_REUSEPORT group with a steering
 * program. The port must be free: the first socket is bound without SO_REUSEPORT, so that a second daemon is
 * refused instead of silently taking a share of the datagrams.
 * @throws LinuxError EADDRINUSE, EADDRNOTAVAIL, EACCES, naming the port
 * @throws RangeError when the address is no IP address or `workers` no power of two
 */
export function openPortGroup(options: PortGroupOptions): PortGroup {
  const { address, workers } = options;
  let { port } = options;
  const ip = parseIp(address);
  if (ip === undefined) throw new RangeError(`"${address}" is not an IP address`);
  const program = steeringProgram(workers);
  const fds: number[] = [];
  const owned = new Set<number>();
  let gro = options.gro === true && kernelIsAtLeast(GRO_SINCE);
  const close = (): void => {
    for (const fd of owned) libc().close(fd);
    owned.clear();
  };
  try {
    for (let i = 0; i <= workers; i++) {
      const fd = openUdp(ip);
      fds.push(fd);
      owned.add(fd);
      if (i > 0) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1, 'SO_REUSEPORT');
      bindUdp(fd, ip, port, address);
      if (i > 0) {
        prepareEsp(fd, ip);
        gro &&= trySetOption(fd, SOL_UDP, UDP_GRO, 1) === 0;
        continue;
      }
      setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1, 'SO_REUSEPORT');
      ({ port } = localEndpoint(fd));
    }
    // The group exists from its second member on; its first is index 0, the others follow as they joined.
    attach(fds[1]!, SO_ATTACH_REUSEPORT_CBPF, program, 'the steering program to the socket group');
  } catch (error) {
    close();
    throw error;
  }
  const [ikeFd, ...espFds] = fds as [number, ...number[]];
  return {
    ikeFd,
    espFds,
    gro,
    releaseIke() {
      owned.delete(ikeFd);
      return ikeFd;
    },
    close,
  };
}

/** Where a bound socket listens. @throws LinuxError when `fd` is no IP socket */
export function localEndpoint(fd: number): Endpoint {
  const memory = hostBuffer(2 * SOCKADDR_SPACE);
  const at = addressOf(memory);
  new DataView(memory.buffer).setUint32(SOCKADDR_SPACE, SOCKADDR_SPACE, true);
  checked(libc().getsockname(fd, at, at + SOCKADDR_SPACE), 'getsockname');
  return { address: sockaddrAddress(memory, 0), port: sockaddrPort(memory, 0) };
}

/** A UDP socket with large buffers, not yet bound. */
function openUdp(ip: IpBytes): number {
  const v6 = ip.length === 16;
  const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const fd = checked(libc().socket(v6 ? AF_INET6 : AF_INET, type, 0), 'UDP socket');
  if (v6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1, 'IPV6_V6ONLY');
  raiseBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
  raiseBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
  return fd;
}

/**
 * What ESP sockets need: the outer TOS of what arrives (RFC 6040), and datagrams that carry DF unless they are
 * longer than the path, which ICMP then reports.
 */
function prepareEsp(fd: number, ip: IpBytes): void {
  if (ip.length === 16) {
    trySetOption(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    trySetOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_WANT);
    trySetOption(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
  } else {
    trySetOption(fd, IPPROTO_IP, IP_RECVTOS, 1);
    trySetOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_WANT);
    trySetOption(fd, IPPROTO_IP, IP_RECVERR, 1);
  }
}

/**
 * Octets of the longest packet that the kernel sends to `peer` unfragmented: the route's, or less where ICMP
 * has said so within the last ten minutes (net.ipv4.route.mtu_expires). 0 when there is no route.
 */
export function pathMtu(local: string, peer: Endpoint): number {
  const [from, to] = [parseIp(local), parseIp(peer.address)];
  if (from === undefined || to === undefined || from.length !== to.length) return 0;
  const v6 = to.length === 16;
  const calls = libc();
  const fd = checked(calls.socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 'UDP socket');
  try {
    const memory = hostBuffer(2 * SOCKADDR_SPACE);
    const at = addressOf(memory);
    if (calls.bind(fd, at, writeSockaddr(memory, 0, from, 0)) < 0) return 0;
    if (calls.connect(fd, at, writeSockaddr(memory, 0, to, peer.port || 4500)) < 0) return 0;
    const view = new DataView(memory.buffer);
    view.setUint32(SOCKADDR_SPACE, 4, true);
    const [level, option] = v6 ? [IPPROTO_IPV6, IPV6_MTU] : [IPPROTO_IP, IP_MTU];
    if (calls.getsockopt(fd, level, option, at, at + SOCKADDR_SPACE) < 0) return 0;
    return view.getInt32(0, true);
  } finally {
    calls.close(fd);
  }
}

/** IP protocol 50. */
const IPPROTO_ESP = 50;

/**
 * A raw socket for ESP without UDP (RFC 4303), bound to `address`. What it receives over IPv4 begins with the
 * IP header, over IPv6 with the SPI.
 * @param share of a group of sockets: this one gets the packets with SPI mod workers = index alone
 * @throws LinuxError EPERM without the right to open raw sockets
 */
export function openRawEsp(
  address: string,
  share?: { readonly workers: number; readonly index: number },
): number {
  const ip = parseIp(address);
  if (ip === undefined) throw new RangeError(`"${address}" is not an IP address`);
  const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const remedy = 'run as root, or give the process CAP_NET_RAW, or set "encapsulation: always"';
  const fd = checked(
    libc().socket(ip.length === 16 ? AF_INET6 : AF_INET, type, IPPROTO_ESP),
    'raw socket for ESP',
    remedy,
  );
  try {
    raiseBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    raiseBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    prepareEsp(fd, ip);
    if (share !== undefined && share.workers > 1) {
      const filter = rawEspFilter(ip.length === 16 ? 6 : 4, share);
      attach(fd, SO_ATTACH_FILTER, filter, 'the filter for a share of the SPIs to a raw socket');
    }
    const sockaddr = hostBuffer(SOCKADDR_SPACE);
    const length = writeSockaddr(sockaddr, 0, ip, 0);
    checked(libc().bind(fd, addressOf(sockaddr), length), `raw socket for ESP on ${address}`);
    return fd;
  } catch (error) {
    libc().close(fd);
    throw error;
  }
}

/** Closes a descriptor that one of the functions here opened. */
export function closeSocket(fd: number): void {
  libc().close(fd);
}

/** Whether the running kernel is `major.minor` or newer. */
function kernelIsAtLeast([major, minor]: readonly [number, number], release = osRelease()): boolean {
  const [, a, b] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  return Number(a) > major || (Number(a) === major && Number(b) >= minor);
}

/** By force where we may, else as far as net.core.rmem_max and wmem_max allow. */
function raiseBuffer(fd: number, force: number, plain: number): void {
  if (trySetOption(fd, SOL_SOCKET, force, SOCKET_BUFFER) !== 0) {
    trySetOption(fd, SOL_SOCKET, plain, SOCKET_BUFFER);
  }
}

function bindUdp(fd: number, ip: IpBytes, port: number, address: string): void {
  const sockaddr = hostBuffer(SOCKADDR_SPACE);
  const length = writeSockaddr(sockaddr, 0, ip, port);
  if (libc().bind(fd, addressOf(sockaddr), length) < 0) throw bindError(lastErrno(), address, port);
}

/** Zero, or the error number. */
function trySetOption(fd: number, level: number, option: number, value: number): number {
  const cell = hostBuffer(8);
  new DataView(cell.buffer).setInt32(0, value, true);
  return libc().setsockopt(fd, level, option, addressOf(cell), 4) < 0 ? lastErrno() : 0;
}

function setOption(fd: number, level: number, option: number, value: number, name: string): void {
  const errno = trySetOption(fd, level, option, value);
  if (errno !== 0) throw linuxError(errno, `setting ${name}`);
}

/** struct sock_fprog: length u16 (in instructions), 6 octets of padding, address u64. */
function attach(fd: number, option: number, program: Uint8Array, doing: string): void {
  const descriptor = hostBuffer(16);
  const view = new DataView(descriptor.buffer);
  view.setUint16(0, program.length / 8, true);
  view.setBigUint64(8, BigInt(addressOf(program)), true);
  checked(
    libc().setsockopt(fd, SOL_SOCKET, option, addressOf(descriptor), 16),
    `attaching ${doing}`,
    'Linux 4.5 or newer with CONFIG_BPF is needed',
  );
}
