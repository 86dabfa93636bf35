// Sends malformed datagrams from inside a namespace, paced so that the receiver's socket does not overflow.
// Standard input: one JSON object {target, count, seed, version, ikeSpis, espSpi, samples}; prints the number sent.
import dgram from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';

const order = JSON.parse(await new Response(process.stdin).text());
const samples = order.samples.map((hex) => Buffer.from(hex, 'hex'));
const v1 = order.version === 1;
const [initiatorSpi, responderSpi] = order.ikeSpis.map((hex) => Buffer.from(hex, 'hex'));
const espSpi = Buffer.from(order.espSpi, 'hex');

let state = order.seed >>> 0;
/** The next value below `below` of a seeded generator (mulberry32), so that a failure can be repeated. */
const next = (below) => {
  state = (state + 0x6d2b79f5) >>> 0;
  let x = Math.imul(state ^ (state >>> 15), state | 1);
  x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
  return ((x ^ (x >>> 14)) >>> 0) % below;
};
const noise = (length) => Buffer.from(Array.from({ length }, () => next(256)));

function ikeHeader({ spis, nextPayload, version, exchange, flags, messageId, length }) {
  const header = Buffer.alloc(28);
  spis[0].copy(header, 0);
  spis[1].copy(header, 8);
  header[16] = nextPayload;
  header[17] = version;
  header[18] = exchange;
  header[19] = flags;
  header.writeUInt32BE(messageId, 20);
  header.writeUInt32BE(length, 24);
  return header;
}

function mutated(sample) {
  const copy = Buffer.from(sample);
  for (let n = 1 + next(8); n > 0; n--) copy[next(copy.length)] = next(256);
  return copy;
}

/** One malformed message and whether it is one for IKE. */
function one(kind) {
  const live = [initiatorSpi, responderSpi];
  switch (kind) {
    case 0:
      return { ike: true, bytes: noise(next(200)) };
    case 1: {
      const sample = samples[next(samples.length)];
      return { ike: true, bytes: sample.subarray(0, next(sample.length)) };
    }
    case 2:
      return { ike: true, bytes: mutated(samples[next(samples.length)]) };
    case 3: {
      // A well-formed frame around payload rubbish, to an SA that exists.
      const body = noise(4 + next(300));
      const header = ikeHeader({
        spis: live,
        nextPayload: v1 ? [0, 1, 5, 8, 11, 132][next(6)] : [0, 33, 41, 46, 53, 99][next(6)],
        version: v1 ? 0x10 : 0x20,
        exchange: v1 ? [2, 4, 5, 6, 32, 33][next(6)] : 34 + next(5),
        flags: v1 ? next(8) : [0x00, 0x08, 0x20, 0x28][next(4)],
        messageId: next(4),
        length: 28 + body.length,
      });
      return { ike: true, bytes: Buffer.concat([header, body]) };
    }
    case 4: {
      // A new IKE_SA_INIT whose payload chain lies about its lengths.
      const body = noise(8 + next(600));
      body[0] = v1 ? [1, 4, 10, 11, 13, 200][next(6)] : [33, 34, 40, 41, 43, 200][next(6)];
      body[1] = next(2) * 128;
      body.writeUInt16BE(next(3) === 0 ? next(65536) : body.length, 2);
      const header = ikeHeader({
        spis: [noise(8), Buffer.alloc(8)],
        nextPayload: v1 ? [1, 4, 10, 11, 13, 200][next(6)] : [33, 34, 40, 41, 43, 200][next(6)],
        version: [v1 ? 0x10 : 0x20, v1 ? 0x10 : 0x20, 0x20, 0x10, 0x30][next(5)],
        exchange: v1 ? [2, 2, 2, 4, 34, 255][next(6)] : [34, 34, 34, 2, 4, 255][next(6)],
        flags: v1 ? 0 : 0x08,
        messageId: 0,
        length: 28 + body.length,
      });
      return { ike: true, bytes: Buffer.concat([header, body]) };
    }
    case 5:
      return { ike: false, bytes: Buffer.concat([espSpi, noise(next(1400))]) };
    case 6:
      return { ike: false, bytes: noise(next(9)) };
    default:
      return { ike: false, bytes: Buffer.concat([noise(4), noise(next(1400))]) };
  }
}

const socket = dgram.createSocket('udp4');
const send = (bytes, port) =>
  new Promise((resolve, reject) =>
    socket.send(bytes, port, order.target, (error) => (error ? reject(error) : resolve())),
  );
const marker = Buffer.alloc(4);
for (let n = 0; n < order.count; n++) {
  const { ike, bytes } = one(n % 8);
  if (!ike) await send(bytes, 4500);
  else if (next(2) === 0) await send(bytes, 500);
  else await send(Buffer.concat([marker, bytes]), 4500);
  if (n % 50 === 49) await sleep(5);
}
socket.close();
process.stdout.write(`${order.count}\n`);
