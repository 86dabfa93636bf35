import { createOpensslBackend } from '../../src/crypto/backend.js';
import { createPortableDataPlane } from '../../src/dataplane/portable.js';
import { seededRandom } from '../helpers/esp.js';
import { A, B, TestDevice, TestListener } from '../helpers/portable-plane.js';
import { contract, type Subject } from './contract.js';

contract('portable', {}, async (): Promise<Subject> => {
  const device = new TestDevice();
  const listener = new TestListener();
  const sent: Record<'udp' | 'esp', Uint8Array[]> = { udp: [], esp: [] };
  let now = 1000;
  const plane = createPortableDataPlane({
    crypto: createOpensslBackend(),
    random: seededRandom('iv'),
    device,
    listener,
    now: () => now,
    send: (_local, _remote, bytes) => sent.udp.push(bytes),
    sendRaw: (_local, _remote, bytes) => sent.esp.push(bytes),
  });
  return {
    peer: A,
    install: async (pair) => plane.install(pair),
    remove: async (id) => plane.remove(id),
    expect: async (spi) => plane.expect(spi),
    forget: async (spi) => plane.forget(spi),
    fromHost: async (packet) => device.inject(packet),
    fromPeer: async (packet, form) =>
      form === 'udp' ? plane.espDatagram(B, A, packet) : plane.rawEsp(packet),
    fromIkeSocket: async (packet) => plane.espDatagram(B, A, packet),
    toHost: async () => device.written.splice(0),
    toPeer: async (form) => sent[form].splice(0),
    wait: async (millis) => {
      now += millis;
    },
    drops: () => plane.drops(),
    childDrops: () => plane.counters()[0]!.drops,
    moved: () => listener.moved.length,
    close: () => plane.close(),
  };
});
