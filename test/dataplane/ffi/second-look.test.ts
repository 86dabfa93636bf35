import t, { type Test } from 'tap';
import { DEFAULT_OFFLOAD } from '../../../src/dataplane/offload.js';
import { VIRTIO_HEADER_LENGTH } from '../../../src/esp/offload/virtio.js';
import { OutboundSa } from '../../../src/esp/seal.js';
import { libc } from '../../../src/linux/ffi.js';
import { ACK, makePacket, PSH, seededOctets } from '../../esp/offload/packets.js';
import { Bench, backend, GCM, keyMaker, ours, random, readFrom, theirs } from '../../helpers/packet-bench.js';
import { skipWithoutFfi } from '../../helpers/prerequisites.js';
import { must } from '../../helpers/results.js';

const skip = skipWithoutFfi();

const SIZE = 1000;

interface Turned {
  /** Payload octets of each packet that is written to TUN. */
  readonly written: number[];
  /** How often the socket was asked. */
  readonly looks: number;
}

/** One turn, in which the kernel gives one datagram at a time, of TCP segments with these flags. */
async function oneTurn(t: Test, flags: readonly number[]): Promise<Turned> {
  let looks = 0;
  const bench = new Bench('127.0.0.1', {
    offload: DEFAULT_OFFLOAD,
    calls: () => ({
      ...libc(),
      recvmmsg(fd, messages, _count, ...rest) {
        looks++;
        return libc().recvmmsg(fd, messages, 1, ...rest);
      },
    }),
  });
  t.teardown(() => bench.close());
  await bench.start();
  const keys = keyMaker(GCM);
  bench.install({ suite: GCM, keysIn: keys(), keysOut: keyMaker(GCM)(), localTs: theirs, peerTs: ours });
  const peer = new OutboundSa({ spi: 0xa0000001, suite: GCM, keys: keys(), crypto: backend, random });
  for (const [n, flag] of flags.entries()) {
    const packet = makePacket({
      ...{ version: 4, protocol: 'tcp', payload: seededOctets(SIZE, n + 1), id: n, sequence: n * SIZE },
      flags: flag,
    });
    const sealed = must(peer.seal(packet));
    await new Promise((resolve) => bench.client.send(sealed, bench.port, bench.address, resolve));
  }
  looks = 0;
  bench.loop.turn(1000);
  const written: number[] = [];
  for (let one = readFrom(bench.tun); one !== undefined; one = readFrom(bench.tun)) {
    written.push(one.length - VIRTIO_HEADER_LENGTH - 40);
  }
  return { written, looks };
}

t.test(
  'what goes on with the packets just received is looked for before they are written',
  { skip },
  async (t) => {
    t.same(await oneTurn(t, [ACK, ACK]), { written: [2 * SIZE], looks: 3 });
    t.same(await oneTurn(t, [ACK]), { written: [SIZE], looks: 2 }, 'nothing more is there: it is written');
  },
);

t.test('a segment that ends its train is written at once', { skip }, async (t) => {
  t.same(await oneTurn(t, [ACK | PSH, ACK]), { written: [SIZE], looks: 1 });
  t.same(await oneTurn(t, [ACK, ACK | PSH, ACK]), { written: [2 * SIZE], looks: 2 });
});

t.test('a turn ends, however much goes on', { skip }, async (t) => {
  t.same(await oneTurn(t, [ACK, ACK, ACK, ACK, ACK]), { written: [3 * SIZE], looks: 3 });
});
