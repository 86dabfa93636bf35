import { createSocket, type Socket } from 'node:dgram';
import type { DatagramInput } from '../../ike/inputs.js';
import type { SendOutput } from '../../ike/outputs.js';
import { bindError } from '../../linux/errors.js';
import type { Logger } from '../../telemetry/log.js';
import { RepeatFolder } from '../../telemetry/repeats.js';
import { copyOf } from '../../util/bytes.js';
import { type Endpoint, formatEndpoint, formatIp, parseIp } from '../../util/ip.js';
import { classifyPort4500, NON_ESP_MARKER_LENGTH, natKeepalive, withNonEspMarker } from '../../wire/esp.js';
import type { Clock } from './clock.js';
import { fromWire, type Ports, STANDARD_PORTS, toWire } from './ports.js';

/** Octets that may wait in a socket for the kernel; IKE sends again by itself what is dropped here. */
const MAX_QUEUED = 1024 * 1024;
const RECEIVE_BUFFER = 1024 * 1024;
/** Send errors of one kind are logged this often. */
const ERROR_INTERVAL = 10_000;

/** What the errors of a send mean for people. */
const SEND_ERRORS: Readonly<Record<string, string>> = {
  EPERM: 'operation not permitted (EPERM)',
  EACCES: 'permission denied (EACCES)',
  ENETUNREACH: 'there is no route to it (ENETUNREACH)',
  EHOSTUNREACH: 'it cannot be reached (EHOSTUNREACH)',
  ENETDOWN: 'the network device is down (ENETDOWN)',
  EADDRNOTAVAIL: 'this host does not have the local address (EADDRNOTAVAIL)',
};

/** Where the two UDP sockets of IKE are bound. */
export interface IkeSocketOptions {
  /** An address of this host, in canonical text. */
  readonly address: string;
  readonly ports: Ports;
  /** An already bound socket for port 4500, to be adopted; else one is bound here. */
  readonly nattFd?: number;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** What arrives. Endpoints are in standard ports; the octets belong to the receiver. */
export interface IkeSocketReceiver {
  ike(input: DatagramInput): void;
  /** ESP on the socket of port 4500, from the SPI on. */
  esp(local: Endpoint, remote: Endpoint, bytes: Uint8Array): void;
  /** The kernel did not take an IKE message: a packet filter of this host, or no way to the peer. */
  sendFailed?(remote: Endpoint, code: string, message: string): void;
}

/** UDP 500 and the IKE side of UDP 4500 on one address. */
export class IkeSockets {
  readonly #ike: Socket;
  readonly #natt: Socket;
  readonly #options: IkeSocketOptions;
  readonly #errors = new RepeatFolder(ERROR_INTERVAL);
  #receiver: IkeSocketReceiver | undefined;
  #closed = false;

  private constructor(ike: Socket, natt: Socket, options: IkeSocketOptions) {
    this.#ike = ike;
    this.#natt = natt;
    this.#options = options;
    for (const socket of [ike, natt]) {
      socket.removeAllListeners('error');
      socket.on('error', (error) => this.#failed('the socket', error));
    }
  }

  /** @throws LinuxError naming the port that is taken or may not be bound, and the remedy */
  static async open(options: IkeSocketOptions): Promise<IkeSockets> {
    const { address, ports, nattFd } = options;
    const ike = await bound(address, { address, port: ports.ike, exclusive: true }, ports.ike);
    try {
      const natt =
        nattFd === undefined
          ? { address, port: ports.natt, exclusive: true }
          : { fd: nattFd, exclusive: true };
      return new IkeSockets(ike, await bound(address, natt, ports.natt), options);
    } catch (error) {
      ike.close();
      throw error;
    }
  }

  /** Call it once. Nothing a peer sends makes this throw; what `receiver` throws is a bug and is logged. */
  receive(receiver: IkeSocketReceiver): void {
    const { address, ports } = this.#options;
    this.#receiver = receiver;
    const local500: Endpoint = { address, port: STANDARD_PORTS.ike };
    const local4500: Endpoint = { address, port: STANDARD_PORTS.natt };
    this.#ike.on('message', (bytes, from) => {
      const remote = fromWire({ address: canonical(from.address), port: from.port }, ports);
      this.#guard(() =>
        receiver.ike({
          kind: 'datagram',
          local: local500,
          remote,
          natTraversalPort: false,
          bytes: copyOf(bytes),
        }),
      );
    });
    this.#natt.on('message', (bytes, from) => {
      const remote = fromWire({ address: canonical(from.address), port: from.port }, ports);
      const kind = classifyPort4500(bytes);
      if (kind === 'esp') this.#guard(() => receiver.esp(local4500, remote, bytes));
      if (kind !== 'ike') return;
      const message = copyOf(bytes.subarray(NON_ESP_MARKER_LENGTH));
      this.#guard(() =>
        receiver.ike({ kind: 'datagram', local: local4500, remote, natTraversalPort: true, bytes: message }),
      );
    });
  }

  send(output: SendOutput): void {
    const remote = toWire(output.remote, this.#options.ports);
    if (output.natTraversalPort) this.#send(this.#natt, withNonEspMarker(output.bytes), remote);
    else this.#send(this.#ike, output.bytes, remote);
  }

  /** Keeps the mapping of a NAT in front of us alive (RFC 3948 §4). */
  sendKeepalive(remote: Endpoint): void {
    this.#send(this.#natt, natKeepalive(), toWire(remote, this.#options.ports));
  }

  /** An ESP packet from port 4500; `dropped` is called when it did not leave. */
  sendEsp(
    remote: Endpoint,
    packet: Uint8Array,
    dropped: (reason: 'send_error' | 'queue_full') => void,
  ): void {
    this.#send(this.#natt, packet, toWire(remote, this.#options.ports), dropped);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await Promise.all(
      [this.#ike, this.#natt].map((socket) => new Promise<void>((resolve) => socket.close(resolve))),
    );
  }

  #send(
    socket: Socket,
    bytes: Uint8Array,
    remote: Endpoint,
    dropped?: (reason: 'send_error' | 'queue_full') => void,
  ): void {
    if (this.#closed) return;
    if (socket.getSendQueueSize() > MAX_QUEUED) {
      dropped?.('queue_full');
      return;
    }
    try {
      socket.send(bytes, remote.port, remote.address, (error) => {
        if (error === null) return;
        if (dropped === undefined) this.#sendFailed(socket, remote, error);
        else dropped('send_error');
      });
    } catch (error) {
      this.#failed(`sending to ${formatEndpoint(remote)}`, error as Error);
    }
  }

  #sendFailed(socket: Socket, remote: Endpoint, error: Error): void {
    this.#failed(`sending to ${formatEndpoint(remote)}`, error);
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const text = SEND_ERRORS[code];
    // Port 4500 also reports what ICMP said of earlier packets, which may have gone elsewhere; EPERM is no such report.
    if (text === undefined || (socket !== this.#ike && code !== 'EPERM')) return;
    const to = fromWire(remote, this.#options.ports);
    this.#receiver?.sendFailed?.(to, code, text);
  }

  #guard(receive: () => void): void {
    try {
      receive();
    } catch (error) {
      this.#options.logger.error(
        { err: error },
        'a datagram made the daemon fail and was dropped: this is a bug',
      );
    }
  }

  #failed(doing: string, error: Error): void {
    const { logger, clock } = this.#options;
    const code = (error as NodeJS.ErrnoException).code ?? error.name;
    const { write, repeats } = this.#errors.admit(`${doing} ${code}`, '', clock.now());
    if (write)
      logger.warn({ code, ...(repeats === 0 ? {} : { repeats }) }, `${doing} failed: ${error.message}`);
  }
}

type BindTo =
  | { readonly address: string; readonly port: number; readonly exclusive: boolean }
  | { readonly fd: number; readonly exclusive: boolean };

function bound(address: string, to: BindTo, port: number): Promise<Socket> {
  const type = address.includes(':') ? 'udp6' : 'udp4';
  const socket = createSocket({ type, ...(type === 'udp6' ? { ipv6Only: true } : {}) });
  return new Promise((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close();
      reject(error.errno === undefined ? error : bindError(-error.errno, address, port));
    });
    socket.bind(to, () => {
      // The port group of the packet path has raised the buffers of its sockets already.
      if (!('fd' in to)) socket.setRecvBufferSize(RECEIVE_BUFFER);
      resolve(socket);
    });
  });
}

function canonical(address: string): string {
  const ip = parseIp(address);
  return ip === undefined ? address : formatIp(ip);
}
