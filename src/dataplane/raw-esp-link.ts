import { addressOf, hostBuffer, libc } from '../linux/ffi.js';
import { SOCKADDR_SPACE, writeSockaddr } from '../linux/sockaddr.js';
import { parseIp } from '../util/ip.js';
import type { SendEsp } from './esp-sender.js';
import { createTunPacketDevice } from './tun-packet-device.js';

/** No ESP packet is longer than an IP packet. */
const PACKET_SIZE = 65_535;

/** A raw socket for ESP without UDP on the main thread, one packet a system call. */
export interface RawEspLink {
  readonly send: SendEsp;
  /** ESP packets from the SPI on, valid during the call; undefined: they are discarded. */
  onPacket(receiver: ((packet: Uint8Array) => void) | undefined): void;
  /** Resolves when its thread has ended; then the socket, which stays open, may be closed. */
  close(): Promise<void>;
}

/**
 * @param fd of `openRawEsp`
 * @param family of its address: over IPv4 what it receives begins with the IP header (raw(7))
 * @param failed called once when the socket is gone
 */
export function createRawEspLink(fd: number, family: 4 | 6, failed: (reason: string) => void): RawEspLink {
  const socket = createTunPacketDevice({ fd, name: 'raw socket for ESP' }, failed);
  const outbox = hostBuffer(PACKET_SIZE);
  const name = hostBuffer(SOCKADDR_SPACE);
  return {
    send(_local, remote, packet, dropped) {
      const ip = parseIp(remote.address);
      if (ip === undefined || packet.length > PACKET_SIZE) {
        dropped('send_error');
        return;
      }
      // A raw socket takes no port.
      const nameLength = writeSockaddr(name, 0, ip, 0);
      outbox.set(packet);
      const { length } = packet;
      if (libc().sendto(fd, addressOf(outbox), length, 0, addressOf(name), nameLength) !== length) {
        dropped('send_error');
      }
    },
    onPacket(receiver) {
      socket.onPacket(
        receiver === undefined
          ? undefined
          : (bytes) => receiver(family === 4 ? bytes.subarray((bytes[0]! & 0x0f) << 2) : bytes),
      );
    },
    close: () => socket.close(),
  };
}
