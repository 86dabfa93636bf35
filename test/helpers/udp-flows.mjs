import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';

/**
 * Flows of UDP datagrams that go one way: `udp-flows.mjs receive ADDRESS PORT` prints `listening`, and for each line on
 * its standard input what came of each flow since the one before; `udp-flows.mjs send FROM TO PORT SOURCE-PORT...` sends
 * a datagram with its number every 10 ms from each source port, until its standard input ends.
 */

const INTERVAL = 10;
const [role, ...rest] = process.argv.slice(2);

if (role === 'receive') {
  const [address, port] = rest;
  const flows = new Map();
  const socket = createSocket({ type: 'udp4', recvBufferSize: 4_000_000 });
  socket.on('message', (bytes, { port: from }) => {
    const number = bytes.readUInt32BE(0);
    const now = performance.now();
    const flow = flows.get(from) ?? { number: number - 1, at: now, received: 0, missing: 0, pause: 0 };
    flow.received++;
    // One that comes late has been counted as missing.
    flow.missing += number > flow.number ? number - flow.number - 1 : -1;
    flow.number = Math.max(flow.number, number);
    flow.pause = Math.max(flow.pause, now - flow.at);
    flow.at = now;
    flows.set(from, flow);
  });
  socket.bind(Number(port), address, () => process.stdout.write('listening\n'));
  createInterface({ input: process.stdin }).on('line', () => {
    const now = performance.now();
    const counts = [...flows].map(([from, flow]) => {
      const { received, missing } = flow;
      const pause = Math.round(Math.max(flow.pause, now - flow.at));
      Object.assign(flow, { received: 0, missing: 0, pause: 0 });
      return [from, { received, missing, pause }];
    });
    process.stdout.write(`${JSON.stringify(Object.fromEntries(counts))}\n`);
  });
} else {
  const [from, to, port, ...sources] = rest;
  const sockets = sources.map((source) => {
    const socket = createSocket('udp4').on('error', () => undefined);
    socket.bind(Number(source), from);
    return socket;
  });
  let number = 0;
  const timer = setInterval(() => {
    number++;
    const bytes = Buffer.alloc(64);
    bytes.writeUInt32BE(number);
    // What the kernel refuses counts as lost.
    for (const socket of sockets) socket.send(bytes, Number(port), to, () => undefined);
  }, INTERVAL);
  process.stdin.on('end', () => {
    clearInterval(timer);
    for (const socket of sockets) socket.close();
  });
  process.stdin.resume();
}
