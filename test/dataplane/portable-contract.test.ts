import { createOpensslBackend } from '../../src/crypto/backend.js';
import { createPortableDataPlane } from '../../src/dataplane/portable.js';
import { type Endpoint, formatIp } from '../../src/util/ip.js';
import { seededRandom } from '../helpers/esp.js';
import { A, B, TestDevice, TestListener } from '../helpers/portable-plane.js';
import { contract, type Subject } from './contract.js';

const ELSEWHERE: Endpoint = { address: '203.0.113.7', port: 61000 };

contract('portable', {}, async (): Promise<Subject> => {
  const device = new TestDevice();
  const listener = new TestListener();
  const sent: Record<'udp' | 'esp' | 'elsewhere', Uint8Array[]> = { udp: [], esp: [], elsewhere: [] };
  let now = 1000;
  const plane = createPortableDataPlane({
    crypto: createOpensslBackend(),
    random: seededRandom('iv'),
    device,
    listener,
    now: () => now,
    send: (_local, remote, bytes) =>
      sent[remote.address === ELSEWHERE.address ? 'elsewhere' : 'udp'].push(bytes),
    sendRaw: (_local, _remote, bytes) => sent.esp.push(bytes),
  });
  return {
    peer: A,
    elsewhere: ELSEWHERE,
    install: async (pair) => plane.install(pair),
    remove: async (id) => plane.remove(id),
    expect: async (spi) => plane.expect(spi),
    forget: async (spi) => plane.forget(spi),
    activate: async (id) => plane.activateOutbound(id),
    retire: async (id) => plane.retire(id),
    updatePeer: async (id, peer) => plane.updatePeer(id, peer),
    enterTerm: async (term) => plane.enterTerm(term),
    reserve: async (id, limit) => plane.reserve(id, limit),
    resume: async (id, start) => plane.resume(id, start),
    skipOutbound: async (id, packets) => plane.skipOutbound(id, packets),
    fromHost: async (packet) => device.inject(packet),
    fromPeer: async (packet, form) =>
      form === 'udp' ? plane.espDatagram(B, A, packet) : plane.rawEsp(packet),
    fromElsewhere: async (packet) => plane.espDatagram(B, ELSEWHERE, packet),
    fromIkeSocket: async (packet) => plane.espDatagram(B, A, packet),
    toHost: async () => device.written.splice(0),
    toPeer: async (form) => sent[form].splice(0),
    toElsewhere: async () => sent.elsewhere.splice(0),
    wait: async (millis) => {
      now += millis;
    },
    drops: () => plane.drops(),
    childDrops: () => plane.counters()[0]!.drops,
    counters: (id) => plane.counters().find((child) => child.id === id)!,
    moved: () => listener.moved,
    acquired: () => listener.acquired.map(formatIp),
    tap(options) {
      const tap = plane.tap({ ...options, now: () => now });
      return {
        watch: (id) => tap.watch(id),
        take: () => tap.take(Number.POSITIVE_INFINITY),
        close: () => tap.close(),
      };
    },
    close: () => plane.close(),
  };
});
