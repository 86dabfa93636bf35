import { formatIp, type IpBytes } from '../util/ip.js';

/** Address families (sys/socket.h). */
export const AF_INET = 2;
export const AF_INET6 = 10;

/** Octets reserved for an address of either family: struct sockaddr_in6 rounded up. */
export const SOCKADDR_SPACE = 32;

/**
 * Writes struct sockaddr_in (16 octets) or sockaddr_in6 (28) at `at`: family in host order, port and address
 * in network order. Returns the length.
 */
export function writeSockaddr(bytes: Uint8Array, at: number, ip: IpBytes, port: number): number {
  const v6 = ip.length === 16;
  const length = v6 ? 28 : 16;
  bytes.fill(0, at, at + length);
  bytes[at] = v6 ? AF_INET6 : AF_INET;
  bytes[at + 2] = port >>> 8;
  bytes[at + 3] = port;
  bytes.set(ip, at + (v6 ? 8 : 4));
  return length;
}

/** Port in a socket address of either family. */
export function sockaddrPort(bytes: Uint8Array, at: number): number {
  return (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

/** Text of the IP address in a socket address. */
export function sockaddrAddress(bytes: Uint8Array, at: number): string {
  const start = at + (bytes[at] === AF_INET6 ? 8 : 4);
  return formatIp(bytes.slice(start, bytes[at] === AF_INET6 ? start + 16 : start + 4));
}
