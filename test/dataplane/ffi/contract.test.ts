import { createSocket } from 'node:dgram';
import { GLOBAL_BLOCK, readDrops } from '../../../src/dataplane/ffi/memory/counters.js';
import { encodeEsp, encodeNumbers, encodePeer, Order } from '../../../src/dataplane/ffi/memory/orders.js';
import { formatIp } from '../../../src/util/ip.js';
import { ip } from '../../helpers/esp.js';
import { Bench, readFrom, writeTo } from '../../helpers/packet-bench.js';
import { skipWithoutFfi } from '../../helpers/prerequisites.js';
import { contract, type Subject } from '../contract.js';

function all(fd: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (let packet = readFrom(fd); packet !== undefined; packet = readFrom(fd)) out.push(packet);
  return out;
}

contract('packet loop', { skip: skipWithoutFfi() }, async (): Promise<Subject> => {
  let now = 1000;
  const bench = new Bench('::1', { raw: true, now: () => now });
  await bench.start();
  const peer = { address: '::1', port: bench.client.address().port };
  const other = createSocket('udp6');
  await new Promise<void>((resolve) => other.bind(0, '::1', resolve));
  const elsewhere = { address: '::1', port: other.address().port };
  const heardElsewhere: Uint8Array[] = [];
  other.on('message', (message) => heardElsewhere.push(message));
  return {
    peer,
    elsewhere,
    install: async (pair) => bench.install(pair, pair.id),
    remove: async (id) => bench.id(Order.REMOVE, id),
    expect: async (spi) => bench.id(Order.EXPECT, spi),
    forget: async (spi) => bench.id(Order.FORGET, spi),
    activate: async (id) => bench.id(Order.ACTIVATE, id),
    retire: async (id) => bench.id(Order.RETIRE, id),
    updatePeer: async (id, to) => bench.order(Order.UPDATE_PEER, encodePeer(id, to)),
    enterTerm: async (term) => bench.id(Order.TERM, term),
    reserve: async (id, limit) => bench.order(Order.RESERVE, encodeNumbers(id, limit)),
    resume: async (id, { next, limit, highest }) =>
      bench.order(Order.RESUME, encodeNumbers(id, next, limit, highest)),
    skipOutbound: async (id, packets) => bench.order(Order.SKIP, encodeNumbers(id, packets)),
    async fromHost(packet) {
      writeTo(bench.tun, packet);
      await bench.settle();
    },
    async fromPeer(packet, form) {
      if (form === 'udp') {
        await bench.send(packet);
        return;
      }
      writeTo(bench.raw, packet);
      await bench.settle();
    },
    async fromElsewhere(packet) {
      await new Promise((resolve) => other.send(packet, bench.port, '::1', resolve));
      await bench.settle();
    },
    fromIkeSocket: async (packet) => {
      bench.order(Order.TAKE_ESP, encodeEsp({ address: ip('::1'), port: peer.port }, packet));
    },
    toHost: async () => all(bench.tun),
    toPeer: async (form) => (form === 'udp' ? bench.heard.splice(0) : all(bench.raw)),
    toElsewhere: async () => heardElsewhere.splice(0),
    async wait(millis) {
      now += millis;
      await bench.settle();
    },
    drops: () => readDrops(bench.arena, GLOBAL_BLOCK),
    childDrops: () => bench.counters().drops,
    counters: (id) => bench.counters(id, id),
    moved: () =>
      bench.reports.flatMap((report) => {
        if (report.kind !== 'moved') return [];
        return [{ id: report.id, from: { address: report.address, port: report.port } }];
      }),
    acquired: () =>
      bench.reports.flatMap((report) => (report.kind === 'acquire' ? [formatIp(report.destination)] : [])),
    tap: (options) => bench.tap(options),
    async close() {
      other.close();
      bench.close();
    },
  };
});
