// Answers every IKE_SA_INIT request with a demand for a cookie, another one each time (RFC 7296 §2.6).
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';

const HEADER = 28;
const [address] = process.argv.slice(2);
const socket = createSocket('udp4');
socket.on('message', (request, from) => {
  if (request.length < HEADER || request[18] !== 34) return;
  const cookie = randomBytes(20);
  const notify = Buffer.concat([Buffer.from([0, 0, 0, 8 + cookie.length, 0, 0, 0x40, 0x06]), cookie]);
  const answer = Buffer.concat([request.subarray(0, HEADER), notify]);
  answer.fill(0, 8, 16);
  answer[16] = 41;
  answer[19] = 0x20;
  answer.writeUInt32BE(answer.length, 24);
  socket.send(answer, from.port, from.address);
});
socket.bind(500, address, () => process.stdout.write('listening\n'));
