import { createCipheriv, createHash } from 'node:crypto';
import { createConnection, createServer } from 'node:net';

/**
 * One end of a TCP connection that carries pseudo-random octets; both ends print how many there were and their
 * digest: `tcp-peer.mjs receive ADDRESS PORT`, which prints `listening` first, and `tcp-peer.mjs send
 * FROM TO PORT OCTETS`. With 0 octets it sends until its standard input ends.
 */

const CHUNK = 64 * 1024;

const [role, ...rest] = process.argv.slice(2);
const digest = createHash('sha256');
let octets = 0;

function take(bytes) {
  octets += bytes.length;
  digest.update(bytes);
}

function report() {
  process.stdout.write(`${JSON.stringify({ octets, sha256: digest.digest('hex') })}\n`);
}

if (role === 'receive') {
  const [address, port] = rest;
  const server = createServer((socket) => {
    server.close();
    socket.on('data', take);
    socket.on('end', () => {
      report();
      socket.end();
    });
  });
  server.listen(Number(port), address, () => process.stdout.write('listening\n'));
} else {
  const [from, to, port, wanted] = rest;
  const limit = Number(wanted) || Number.POSITIVE_INFINITY;
  const stream = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16));
  const zeros = Buffer.alloc(CHUNK);
  let stopped = false;
  const socket = createConnection({ host: to, port: Number(port), localAddress: from });
  if (limit === Number.POSITIVE_INFINITY) {
    process.stdin.on('end', () => {
      stopped = true;
    });
    process.stdin.resume();
  }
  const pump = () => {
    while (!stopped && octets < limit) {
      const bytes = stream.update(zeros.subarray(0, Math.min(CHUNK, limit - octets)));
      take(bytes);
      if (!socket.write(bytes)) {
        socket.once('drain', pump);
        return;
      }
    }
    report();
    socket.end();
  };
  socket.once('connect', pump);
  socket.resume();
}
