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
/** A raw IPv4 socket delivers the IP header too; with options it has up to 60 octets. */
const RECEIVE_LENGTH = 60 + 1500;

/**
 * ICMP echo over IPv4 (RFC 792) by a raw socket, for asking whether a path carries packets without a ping
 * program. The calls block this thread: it belongs in a process or thread of its own.
 */
export class IcmpEcho {
  readonly #fd: number;
  readonly #send: Uint8Array<ArrayBuffer>;
  readonly #receive = hostBuffer(RECEIVE_LENGTH);
  readonly #sockaddr = hostBuffer(SOCKADDR_SPACE);
  readonly #poll = hostBuffer(POLLFD_SIZE);
  readonly #address: IpBytes;
  readonly #identifier: number;

  /**
   * @param identifier 16 bits that distinguish our answers from those to other programs
   * @param dataLength octets after the ICMP header; 56 makes the usual packet of 84 octets
   * @throws LinuxError when there is no FFI or no right to a raw socket (CAP_NET_RAW)
   */
  constructor(address: string, identifier: number, dataLength = 56) {
    const ip = parseIp(address);
    if (ip?.length !== 4) {
      throw new LinuxError(
        'EINVAL',
        22,
        `"${address}" is not an IPv4 address`,
        'give an address like 10.2.0.10',
      );
    }
    this.#address = ip;
    this.#identifier = identifier & 0xffff;
    this.#send = hostBuffer(ICMP_HEADER_LENGTH + dataLength);
    this.#fd = checked(
      libc().socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP),
      'raw ICMP socket',
      'run as root, or give the process CAP_NET_RAW',
    );
  }

  /**
   * Sends one request and waits for its reply.
   * @returns the round trip in milliseconds, or undefined when there was no reply in time
   * @throws LinuxError when the kernel refuses to send, for example without a route
   */
  probe(sequence: number, timeoutMs: number): number | undefined {
    const request = this.#send;
    request.fill(0);
    request[0] = IcmpType.ECHO_REQUEST;
    writeU16(request, 4, this.#identifier);
    writeU16(request, 6, sequence);
    writeU16(request, 2, checksum(request, 0, request.length));
    const length = writeSockaddr(this.#sockaddr, 0, this.#address, 0);
    const start = performance.now();
    checked(
      libc().sendto(this.#fd, addressOf(request), request.length, 0, addressOf(this.#sockaddr), length),
      `ICMP echo to ${this.#address.join('.')}`,
    );
    for (let left = timeoutMs; left > 0; left = timeoutMs - (performance.now() - start)) {
      if (!this.#readable(left)) continue;
      const got = checked(
        libc().recvfrom(this.#fd, addressOf(this.#receive), RECEIVE_LENGTH, 0, 0, 0),
        'ICMP reply',
      );
      if (this.#answers(copyOf(this.#receive.subarray(0, got)), sequence)) return performance.now() - start;
    }
    return undefined;
  }

  close(): void {
    libc().close(this.#fd);
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
