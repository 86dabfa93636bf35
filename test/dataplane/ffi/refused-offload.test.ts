import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { MMSGHDR_SIZE } from '../../../src/dataplane/ffi/memory/arena.js';
import { DEFAULT_OFFLOAD } from '../../../src/dataplane/offload.js';
import { VIRTIO_HEADER_LENGTH } from '../../../src/esp/offload/virtio.js';
import { InboundSa } from '../../../src/esp/open.js';
import { OutboundSa } from '../../../src/esp/seal.js';
import { SelectorSet } from '../../../src/esp/selectors.js';
import { Errno } from '../../../src/linux/errors.js';
import { addressOf, hostBuffer, type Libc, libc } from '../../../src/linux/ffi.js';
import { NetworkLab } from '../../../src/linux/namespaces.js';
import { ACK, makePacket, seededOctets } from '../../esp/offload/packets.js';
import { addJoinedSites, FixedKeyGateway } from '../../helpers/fixed-key-pair.js';
import {
  Bench,
  backend,
  GCM,
  keyMaker,
  nonZero,
  ours,
  random,
  readFrom,
  theirs,
  writeTo,
} from '../../helpers/packet-bench.js';
import { skipWithoutFfi, skipWithoutLab, skipWithoutRoot } from '../../helpers/prerequisites.js';
import { must } from '../../helpers/results.js';
import { TcpFlow } from '../../helpers/tcp-flow.js';

const skip = skipWithoutFfi();
const skipLab = skip || skipWithoutRoot() || skipWithoutLab();

/** Payload of each segment, and segments of each super-packet. */
const SIZE = 1000;
const SEGMENTS = 10;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** The segments of one super-packet, the first with this number, as they are to arrive. */
function segments(first: number): Uint8Array[] {
  return Array.from({ length: SEGMENTS }, (_, i) => {
    const n = first + i;
    const payload = seededOctets(SIZE, n + 1);
    return makePacket({
      ...{ version: 4, protocol: 'tcp', payload, id: n, sequence: n * SIZE, flags: ACK },
    });
  });
}

/** What TUN gives for these segments: the virtio-net header, one header of TCP and the payload of all. */
function superPacket(parts: readonly Uint8Array[]): Uint8Array {
  const payload = Buffer.concat(parts.map((part) => part.subarray(40)));
  const packet = Buffer.alloc(VIRTIO_HEADER_LENGTH + 40 + payload.length);
  // NEEDS_CSUM, TCPv4, headers of 40, the size of a segment, checksum from 20 on and 16 behind that.
  packet.set([1, 1]);
  [40, SIZE, 20, 16].forEach((value, i) => {
    packet.writeUInt16LE(value, 2 + 2 * i);
  });
  packet.set(parts[0]!.subarray(0, 40), VIRTIO_HEADER_LENGTH);
  packet.writeUInt16BE(40 + payload.length, VIRTIO_HEADER_LENGTH + 2);
  packet.set(payload, VIRTIO_HEADER_LENGTH + 40);
  return packet;
}

/** Makes `lastErrno` answer with this, as after a call that failed. */
function fail(errno: number): -1 {
  const koffi = createRequire(import.meta.url)('koffi') as { errno(value: number): number };
  koffi.errno(errno);
  return -1;
}

/** What the peer reads out of the datagrams it has got so far. */
function opened(bench: Bench, sa: InboundSa): string[] {
  return bench.heard.splice(0).map((datagram) => {
    const result = sa.open(datagram);
    return result.ok ? hex(result.value) : result.error;
  });
}

function peerOf(bench: Bench): InboundSa {
  const [keysIn, keysOut] = [keyMaker(GCM), keyMaker(GCM)];
  bench.install({ suite: GCM, keysIn: keysIn(), keysOut: keysOut() });
  return new InboundSa({
    ...{ spi: 0xb0000001, suite: GCM, keys: keysOut(), crypto: backend, replayWindow: 64 },
    selectors: new SelectorSet(theirs, ours),
  });
}

/** Waits until the peer has got so many datagrams. */
async function heard(bench: Bench, count: number): Promise<void> {
  for (let i = 0; i < 500 && bench.heard.length < count; i++) await bench.settle();
}

t.test(
  'EIO for a train of datagrams: they leave one by one, and no train is tried again',
  { skip },
  async (t) => {
    let trains = 0;
    /** As a device without segmentation of UDP: what carries a segment size is refused, in its turn. */
    const calls = (bench: Bench): Libc => ({
      ...libc(),
      sendmmsg(fd, messages, count, flags) {
        const { view, base } = bench.arena;
        let plain = 0;
        const controlLength = (i: number) => view.getUint32(messages - base + i * MMSGHDR_SIZE + 40, true);
        while (plain < count && controlLength(plain) === 0) plain++;
        if (plain > 0) return libc().sendmmsg(fd, messages, plain, flags);
        trains++;
        return fail(Errno.EIO);
      },
    });
    const bench = new Bench('127.0.0.1', { offload: DEFAULT_OFFLOAD, calls });
    t.teardown(() => bench.close());
    await bench.start();
    const peer = peerOf(bench);
    const sent: Uint8Array[] = [];
    for (let round = 0; round < 3; round++) {
      const parts = segments(round * SEGMENTS);
      writeTo(bench.tun, superPacket(parts));
      sent.push(...parts);
      await heard(bench, SEGMENTS);
      t.same(opened(bench, peer), parts.map(hex), `super-packet ${round + 1} arrives whole and in order`);
    }
    t.equal(trains, 1, 'one train was tried');
    const offload = bench.reports.filter(({ kind }) => kind === 'offload');
    t.same(offload, [{ kind: 'offload', name: 'segment', errno: Errno.EIO }], 'and it is told once');
    const bytesOut = sent.reduce((sum, packet) => sum + packet.length, 0);
    t.match(bench.counters(), { packetsOut: sent.length, bytesOut });
    t.same(nonZero(bench.counters().drops), {});
  },
);

t.test('EINVAL from the kernel for every train', { skip }, async (t) => {
  /** The kernel refuses trains on a socket that sends no checksums (SOL_SOCKET 1, SO_NO_CHECK 11). */
  const prepare = (fd: number): void => {
    const one = hostBuffer(8);
    one[0] = 1;
    t.equal(libc().setsockopt(fd, 1, 11, addressOf(one), 4), 0);
  };
  const bench = new Bench('127.0.0.1', { offload: DEFAULT_OFFLOAD, prepare });
  t.teardown(() => bench.close());
  await bench.start();
  const peer = peerOf(bench);
  const offloadReports = () => bench.reports.filter(({ kind }) => kind === 'offload');
  // It may be that the path became narrower: only when it stays so the socket is given up as one for trains.
  let rounds = 0;
  for (; rounds < 200 && offloadReports().length === 0; rounds++) {
    const parts = segments(rounds * SEGMENTS);
    writeTo(bench.tun, superPacket(parts));
    await heard(bench, SEGMENTS);
    const got = opened(bench, peer);
    if (got.join() !== parts.map(hex).join()) t.same(got, parts.map(hex));
    await sleep(50);
  }
  t.ok(rounds > 1, `${rounds} super-packets went one by one`);
  t.same(offloadReports(), [{ kind: 'offload', name: 'segment', errno: Errno.EINVAL }]);
  t.ok(
    bench.reports.some(({ kind }) => kind === 'path'),
    'main was told to look at the path meanwhile',
  );
  for (let more = 0; more < 2; more++, rounds++) {
    const parts = segments(rounds * SEGMENTS);
    writeTo(bench.tun, superPacket(parts));
    await heard(bench, SEGMENTS);
    t.same(opened(bench, peer), parts.map(hex));
  }
  t.equal(offloadReports().length, 1, 'it is told once');
  t.equal(bench.counters().packetsOut, rounds * SEGMENTS, 'all are counted as sent');
  t.same(nonZero(bench.counters().drops), {});
});

async function arrivesMerged(t: Test, refuse: boolean): Promise<void> {
  let merged = 0;
  const calls = (bench: Bench): Libc => ({
    ...libc(),
    write(fd, address, length) {
      const gsoType = bench.arena.bytes[address - bench.arena.base + 1];
      if (fd !== bench.tunFd || gsoType === 0) return libc().write(fd, address, length);
      merged++;
      return refuse ? fail(Errno.EINVAL) : libc().write(fd, address, length);
    },
  });
  const bench = new Bench('127.0.0.1', { offload: DEFAULT_OFFLOAD, calls });
  t.teardown(() => bench.close());
  await bench.start();
  const [keysIn, keysOut] = [keyMaker(GCM), keyMaker(GCM)];
  bench.install({ suite: GCM, keysIn: keysIn(), keysOut: keysOut(), localTs: theirs, peerTs: ours });
  const peer = new OutboundSa({ spi: 0xa0000001, suite: GCM, keys: keysIn(), crypto: backend, random });
  const read: Uint8Array[] = [];
  const collect = (): void => {
    for (let one = readFrom(bench.tun); one !== undefined; one = readFrom(bench.tun)) read.push(one);
  };
  for (let round = 0; round < 2; round++) {
    const parts = segments(round * SEGMENTS);
    for (const part of parts) {
      const sealed = must(peer.seal(part));
      await new Promise((resolve) => bench.client.send(sealed, bench.port, bench.address, resolve));
    }
    for (let i = 0; i < 500 && bench.counters().packetsIn < (round + 1) * SEGMENTS; i++) await bench.settle();
    collect();
    if (refuse) {
      t.same(
        read.splice(0).map((packet) => hex(packet.subarray(VIRTIO_HEADER_LENGTH))),
        parts.map(hex),
        `burst ${round + 1} is written whole and in order`,
      );
    }
  }
  t.match(bench.counters(), { packetsIn: 2 * SEGMENTS });
  t.same(bench.globalDrops(), {});
  if (refuse) {
    t.equal(merged, 1, 'one merged packet was tried');
    t.same(bench.reports, [{ kind: 'offload', name: 'coalesce', errno: Errno.EINVAL }], 'it is told once');
  } else {
    t.ok(merged > 0, 'segments are merged where the kernel takes them');
    t.same(bench.reports, []);
    t.ok(read.length < 2 * SEGMENTS);
  }
}

t.test(
  'EINVAL for a merged packet on TUN: its segments are written, and no more are merged',
  { skip },
  async (t) => {
    await arrivesMerged(t, true);
  },
);

t.test('the same burst without a refusal', { skip }, async (t) => {
  await arrivesMerged(t, false);
});

t.test(
  'EMSGSIZE: a route that becomes narrower under TCP loses no offload',
  { skip: skipLab, timeout: 200_000 },
  async (t) => {
    const lab = NetworkLab.create();
    t.teardown(() => lab.dispose());
    await addJoinedSites(lab);
    const gateways = [new FixedKeyGateway(lab, 'a', GCM), new FixedKeyGateway(lab, 'b', GCM)] as const;
    for (const gateway of gateways) t.match(await gateway.answer(), { ready: /^evp/ });
    const { children: wide } = await gateways[0].counters();
    const flow = await TcpFlow.start(
      lab,
      { node: 'ha', address: '10.1.0.10' },
      { node: 'hb', address: '10.2.0.10' },
    );
    const sentPackets = async () => (await gateways[0].counters()).children[0]!.packetsOut;
    const atLeast = async (count: number): Promise<void> => {
      const target = (await sentPackets()) + count;
      while ((await sentPackets()) < target) await sleep(20);
    };
    await atLeast(2000);
    await lab.check('a', ['ip', 'route', 'add', '192.0.2.2/32', 'dev', 'wan', 'mtu', '1000']);
    await atLeast(2000);
    const { sent, received } = await flow.finish();
    t.same(received, sent, 'all octets arrive');
    // Whatever else a gateway says than its counters would be found in their place.
    const { children, drops } = await gateways[0].counters();
    t.equal(children[0]!.pathMtu, 1000);
    t.ok(children[0]!.innerMtu! < wide[0]!.innerMtu!, 'the tunnel has become narrower with it');
    const { too_big, ...others } = children[0]!.drops;
    t.comment(`${too_big} packets were answered with "fragmentation needed"`);
    t.same(nonZero(others), {}, 'nothing else was dropped');
    // The kernel speaks to its neighbours on every device.
    const { no_policy: _, ...atAll } = drops;
    t.same(nonZero(atAll), {});
    for (const gateway of gateways) gateway.tell('close');
  },
);
