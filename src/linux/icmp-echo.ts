import { copyOf, readU16, writeU16 } from '../util/bytes.js';
import { type IpBytes, parseIp } from '../util/ip.js';
import { checksum } from '../wire/checksum.js';
import { ICMP_HEADER_LENGTH, IcmpType } from '../wire/icmp.js';
import { LinuxError } from './errors.js';
import { addressOf, checked, hostBuffer, libc } from './ffi.js';
import { POLLFD_SIZE, POLLIN, poll, writePollFd } from './poll.js';
import { AF_INET, SOCKADDR_SPACE, writeSockaddr } from './sockaddr.js';

const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_ICMP = 1;
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
/** DF is set, and nothing that ICMP has said of the path keeps a packet back (ip(7)). */
const PMTUDISC_PROBE = 3;
const MSG_DONTWAIT = 0x40;
/** A raw IPv4 socket delivers the IP header too; with options it has up to 60 octets. */
const RECEIVE_LENGTH = 60 + 65_535;

/** Octets of an echo beside its data: IP header and ICMP header. */
export const IPV4_ECHO_HEADERS = 20 + ICMP_HEADER_LENGTH;
/** Data of the usual packet of 84 octets. */
const USUAL_DATA = 56;

/** How echoes are sent. */
export interface EchoOptions {
  /** Our address; the kernel's choice when left out. */
  readonly source?: string;
  /** Sets DF, whatever the kernel knows of the path. */
  readonly dontFragment?: boolean;
}

/**
 * ICMP echo over IPv4 (RFC 792) by a raw socket, for asking whether a path carries packets without a ping
 * program. `probe` blocks this thread: it belongs in a process or thread of its own.
 */
export class IcmpEcho {
  readonly #fd: number;
  readonly #receive = hostBuffer(RECEIVE_LENGTH);
  readonly #sockaddr = hostBuffer(SOCKADDR_SPACE);
  readonly #poll = hostBuffer(POLLFD_SIZE);
  readonly #address: IpBytes;
  readonly #identifier: number;

  /**
   * @param identifier 16 bits that distinguish our answers from those to other programs
   * @throws LinuxError when there is no FFI, no right to a raw socket (CAP_NET_RAW), or no such source here
   */
  constructor(address: string, identifier: number, options: EchoOptions = {}) {
    this.#address = ipv4(address);
    this.#identifier = identifier & 0xffff;
    this.#fd = checked(
      libc().socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP),
      'raw ICMP socket',
      'run as root, or give the process CAP_NET_RAW',
    );
    try {
      this.#prepare(options);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Sends one request.
   * @param dataLength octets after the ICMP header
   * @throws LinuxError when the kernel refuses to send, for example without a route
   */
  send(sequence: number, dataLength = USUAL_DATA): void {
    const request = hostBuffer(ICMP_HEADER_LENGTH + dataLength);
    request[0] = IcmpType.ECHO_REQUEST;
    writeU16(request, 4, this.#identifier);
    writeU16(request, 6, sequence);
    writeU16(request, 2, checksum(request, 0, request.length));
    const length = writeSockaddr(this.#sockaddr, 0, this.#address, 0);
    checked(
      libc().sendto(this.#fd, addressOf(request), request.length, 0, addressOf(this.#sockaddr), length),
      `ICMP echo to ${this.#address.join('.')}`,
    );
  }

  /** Whether the reply to this request has come. Does not wait. */
  answered(sequence: number): boolean {
    for (;;) {
      const got = libc().recvfrom(this.#fd, addressOf(this.#receive), RECEIVE_LENGTH, MSG_DONTWAIT, 0, 0);
      // Nothing more is there, or an ICMP error is reported instead.
      if (got < 0) return false;
      if (this.#answers(copyOf(this.#receive.subarray(0, got)), sequence)) return true;
    }
  }

  /**
   * Sends one request and waits for its reply.
   * @returns the round trip in milliseconds, or undefined when there was no reply in time
   * @throws LinuxError when the kernel refuses to send, for example without a route
   */
  probe(sequence: number, timeoutMs: number): number | undefined {
    const start = performance.now();
    this.send(sequence);
    for (let left = timeoutMs; left > 0; left = timeoutMs - (performance.now() - start)) {
      if (this.#readable(left) && this.answered(sequence)) return performance.now() - start;
    }
    return undefined;
  }

  close(): void {
    libc().close(this.#fd);
  }

  #prepare({ source, dontFragment = false }: EchoOptions): void {
    const calls = libc();
    if (source !== undefined) {
      const length = writeSockaddr(this.#sockaddr, 0, ipv4(source), 0);
      checked(calls.bind(this.#fd, addressOf(this.#sockaddr), length), `ICMP echo from ${source}`);
    }
    if (!dontFragment) return;
    const cell = hostBuffer(4);
    new DataView(cell.buffer).setInt32(0, PMTUDISC_PROBE, true);
    checked(calls.setsockopt(this.#fd, IPPROTO_IP, IP_MTU_DISCOVER, addressOf(cell), 4), 'setting DF');
  }

  #readable(timeoutMs: number): boolean {
    writePollFd(new DataView(this.#poll.buffer), 0, this.#fd, POLLIN);
    return checked(poll(addressOf(this.#poll), 1, Math.ceil(timeoutMs)), 'waiting for an ICMP reply') > 0;
  }

  /** A raw socket sees the replies to every program, and with loopback our own requests. */
  #answers(packet: Uint8Array, sequence: number): boolean {
    const header = (packet[0]! & 0x0f) * 4;
    if (packet.length < header + ICMP_HEADER_LENGTH) return false;
    return (
      packet[header] === IcmpType.ECHO_REPLY &&
      readU16(packet, header + 4) === this.#identifier &&
      readU16(packet, header + 6) === (sequence & 0xffff) &&
      this.#address.every((octet, i) => packet[12 + i] === octet)
    );
  }
}

/** @throws LinuxError */
function ipv4(address: string): IpBytes {
  const ip = parseIp(address);
  if (ip?.length === 4) return ip;
  throw new LinuxError('EINVAL', 22, `"${address}" is not an IPv4 address`, 'give an address like 10.2.0.10');
}
