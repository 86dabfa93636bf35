import { createSocket } from 'node:dgram';
import { connect, createServer, type Socket } from 'node:net';
import { IcmpEcho } from '../../linux/icmp-echo.js';
import { messageOf } from '../errors.js';
import type { PingFigures, TrafficAnswer, TrafficRequest, TransferFigures } from './traffic-protocol.js';

/**
 * A process of its own inside a host's namespace: makes traffic when its parent asks, answers over Node's
 * IPC, and ends when the parent does.
 */

const PING_INTERVAL_MS = 50;
const PING_TIMEOUT_MS = 1000;
const CONNECT_TIMEOUT_MS = 5000;
/** After the last octet was written: what is still on its way may take this long. */
const DRAIN_TIMEOUT_MS = 10_000;
const CHUNK = new Uint8Array(256 * 1024);

/** Octets of a finished stream and its length, told to the sender as the last thing on its connection. */
interface Receipt {
  readonly bytes: number;
  readonly seconds: number;
}

async function serve(): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, receive);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '0.0.0.0', resolve);
  });
  const { port } = server.address() as { port: number };
  const echo = createSocket('udp4');
  echo.on('message', (data, from) => echo.send(data, from.port, from.address));
  await new Promise<void>((resolve) => echo.bind(port, '0.0.0.0', resolve));
  return port;
}

function receive(socket: Socket): void {
  let bytes = 0;
  let first = 0;
  let last = 0;
  socket.on('data', (data) => {
    last = performance.now();
    if (bytes === 0) first = last;
    bytes += data.length;
  });
  socket.on('end', () => {
    const receipt: Receipt = { bytes, seconds: (last - first) / 1000 };
    socket.end(JSON.stringify(receipt));
  });
  socket.on('error', () => socket.destroy());
}

function send(address: string, port: number, seconds: number): Promise<TransferFigures> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port, timeout: CONNECT_TIMEOUT_MS });
    let answer = '';
    let until = 0;
    const fill = (): void => {
      while (performance.now() < until) if (!socket.write(CHUNK)) return;
      socket.setTimeout(DRAIN_TIMEOUT_MS);
      socket.off('drain', fill).end();
    };
    socket.once('connect', () => {
      socket.setTimeout(seconds * 1000 + DRAIN_TIMEOUT_MS);
      until = performance.now() + seconds * 1000;
      socket.on('drain', fill);
      fill();
    });
    socket.setEncoding('utf8').on('data', (text: string) => {
      answer += text;
    });
    socket.once('timeout', () =>
      socket.destroy(new Error(`TCP to ${address} stands still${until === 0 ? ' before it began' : ''}`)),
    );
    socket.once('error', reject);
    socket.once('end', () => {
      try {
        resolve(figures(JSON.parse(answer) as Receipt));
      } catch {
        reject(new Error(`TCP to ${address} was cut off before the receiver reported what it got`));
      }
    });
  });
}

function figures({ bytes, seconds }: Receipt): TransferFigures {
  return { bytes, seconds, mbit_per_s: seconds > 0 ? (bytes * 8) / seconds / 1e6 : 0 };
}

async function ping(address: string, port: number, count: number): Promise<PingFigures> {
  let echo: IcmpEcho;
  try {
    echo = new IcmpEcho(address, process.pid);
  } catch {
    // No FFI or no right to raw sockets: the datagrams below need neither.
    return await pingByUdp(address, port, count);
  }
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const time = echo.probe(i, PING_TIMEOUT_MS);
    if (time !== undefined) times.push(time);
    await pause(PING_INTERVAL_MS);
  }
  echo.close();
  return summary('icmp', count, times);
}

async function pingByUdp(address: string, port: number, count: number): Promise<PingFigures> {
  const socket = createSocket('udp4');
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    const answered = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), PING_TIMEOUT_MS);
      const heard = (data: Uint8Array): void => {
        if (data.length !== 56 || data[0] !== (i & 0xff)) return;
        clearTimeout(timer);
        socket.off('message', heard);
        resolve(true);
      };
      socket.on('message', heard);
      socket.send(new Uint8Array(56).fill(i & 0xff), port, address);
    });
    if (answered) times.push(performance.now() - start);
    await pause(PING_INTERVAL_MS);
  }
  socket.close();
  return summary('udp', count, times);
}

function summary(method: 'icmp' | 'udp', sent: number, times: readonly number[]): PingFigures {
  const sum = times.reduce((total, time) => total + time, 0);
  const rtt =
    times.length === 0 ? null : { min: Math.min(...times), avg: sum / times.length, max: Math.max(...times) };
  return { method, sent, received: times.length, rtt_ms: rtt };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function carryOut(request: TrafficRequest): Promise<TrafficAnswer> {
  switch (request.kind) {
    case 'serve':
      return { kind: 'serving', port: await serve() };
    case 'ping':
      return { kind: 'pinged', ...(await ping(request.address, request.port, request.count)) };
    case 'send':
      return { kind: 'sent', ...(await send(request.address, request.port, request.seconds)) };
  }
}

process.on('disconnect', () => process.exit(0));
process.on('message', (request: TrafficRequest) => {
  carryOut(request)
    .catch((error: unknown): TrafficAnswer => ({ kind: 'failed', message: messageOf(error) }))
    .then((answer) => process.send?.(answer))
    .catch(() => process.exit(1));
});
