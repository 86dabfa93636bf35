import { randomFillSync } from 'node:crypto';
import { createSocket } from 'node:dgram';

/**
 * Sends first messages of IKE from many source addresses: `node forger.mjs SETUP`, SETUP as JSON. Every message
 * gets another initiator SPI. The namespace must have taken the addresses for its own. Prints `sent N`, the datagrams
 * sent so far, every hundred of them and when its input ends.
 *
 * SETUP: `target`: address; `sources`: addresses; `messages`: first messages in hexadecimal; `perSecond`.
 */
const { target, sources, messages, perSecond } = JSON.parse(process.argv[2]);
const TICK = 20;

const byAddress = new Map();
await Promise.all(
  [...new Set(sources)].map(
    (address) =>
      new Promise((resolve, reject) => {
        const socket = createSocket('udp4');
        socket.once('error', reject);
        socket.bind({ address, port: 500 }, () => {
          socket.removeAllListeners('error');
          socket.on('error', () => {});
          byAddress.set(address, socket);
          resolve();
        });
      }),
  ),
);
const sockets = sources.map((address) => byAddress.get(address));
const templates = messages.map((text) => Buffer.from(text, 'hex'));
let sent = 0;
const timer = setInterval(() => {
  for (let n = 0; n < (perSecond * TICK) / 1000; n++) {
    const message = Buffer.from(templates[sent % templates.length]);
    randomFillSync(message, 0, 8);
    sockets[sent % sockets.length].send(message, 500, target, () => {});
    sent++;
    if (sent % 100 === 0) console.log(`sent ${sent}`);
  }
}, TICK);
console.log('ready');
process.stdin.resume();
process.stdin.on('end', () => {
  clearInterval(timer);
  for (const socket of byAddress.values()) socket.close();
  console.log(`sent ${sent}`);
});
