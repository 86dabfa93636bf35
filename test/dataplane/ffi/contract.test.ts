import { GLOBAL_BLOCK, readDrops } from '../../../src/dataplane/ffi/memory/counters.js';
import { encodeEsp, Order } from '../../../src/dataplane/ffi/memory/orders.js';
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
  return {
    peer,
    install: async (pair) => bench.install(pair),
    remove: async (id) => bench.id(Order.REMOVE, id),
    expect: async (spi) => bench.id(Order.EXPECT, spi),
    forget: async (spi) => bench.id(Order.FORGET, spi),
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
    fromIkeSocket: async (packet) => {
      bench.order(Order.TAKE_ESP, encodeEsp({ address: ip('::1'), port: peer.port }, packet));
    },
    toHost: async () => all(bench.tun),
    toPeer: async (form) => (form === 'udp' ? bench.heard.splice(0) : all(bench.raw)),
    async wait(millis) {
      now += millis;
      await bench.settle();
    },
    drops: () => readDrops(bench.arena, GLOBAL_BLOCK),
    childDrops: () => bench.counters().drops,
    moved: () => bench.reports.filter(({ kind }) => kind === 'moved').length,
    close: async () => bench.close(),
  };
});
