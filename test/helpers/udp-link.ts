import type { Socket } from 'node:dgram';
import type { SendEsp } from '../../src/dataplane/esp-sender.js';
import { type Endpoint, formatIp, parseIp } from '../../src/util/ip.js';
import { classifyPort4500, NON_ESP_MARKER_LENGTH } from '../../src/wire/esp.js';

/** Octets that may wait in the socket for the kernel: beyond that packets are dropped, not kept. */
const MAX_QUEUED_BYTES = 4 * 1024 * 1024;

/** What arrives on port 4500, sorted (RFC 3948 §2). */
export interface Port4500Receiver {
  espDatagram(local: Endpoint, remote: Endpoint, bytes: Uint8Array): void;
  /** The non-ESP marker is removed. */
  ikeDatagram(local: Endpoint, remote: Endpoint, bytes: Uint8Array): void;
  /** Too short to be anything. */
  runt(local: Endpoint, remote: Endpoint, bytes: Uint8Array): void;
}

/** A bound node:dgram socket as the way to the peers. */
export interface UdpLink {
  readonly send: SendEsp;
  /** Stops listening. The socket stays open: it belongs to its maker. */
  detach(): void;
}

/** @throws Error when the socket is not bound */
export function attachUdpSocket(socket: Socket, receiver: Port4500Receiver): UdpLink {
  const bound = socket.address();
  const local: Endpoint = { address: canonical(bound.address), port: bound.port };
  const onMessage = (bytes: Uint8Array, from: { readonly address: string; readonly port: number }): void => {
    const remote: Endpoint = { address: canonical(from.address), port: from.port };
    const kind = classifyPort4500(bytes);
    if (kind === 'esp') receiver.espDatagram(local, remote, bytes);
    else if (kind === 'ike') receiver.ikeDatagram(local, remote, bytes.subarray(NON_ESP_MARKER_LENGTH));
    else if (kind === 'runt') receiver.runt(local, remote, bytes);
  };
  socket.on('message', onMessage);
  return {
    send: (_local, remote, packet, dropped) => {
      try {
        if (socket.getSendQueueSize() > MAX_QUEUED_BYTES) {
          dropped('queue_full');
          return;
        }
        socket.send(packet, remote.port, remote.address, (error) => {
          if (error !== null) dropped('send_error');
        });
      } catch {
        // Closed under our hands: the packet is lost as on any broken wire.
        dropped('send_error');
      }
    },
    detach: () => {
      socket.off('message', onMessage);
    },
  };
}

/** The address as `formatIp` writes it; one that cannot be read, with a zone for example, as it is. */
function canonical(address: string): string {
  const ip = parseIp(address);
  return ip === undefined ? address : formatIp(ip);
}
