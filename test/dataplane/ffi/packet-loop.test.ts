import { createSocket } from 'node:dgram';
import t from 'tap';
import { choosePacketCrypto } from '../../../src/dataplane/ffi/crypto/choose-crypto.js';
import type { WorkerReport } from '../../../src/dataplane/ffi/loop/messages.js';
import { PacketLoop } from '../../../src/dataplane/ffi/loop/packet-loop.js';
import { At, createArena, RING_SIZE, Vaulted } from '../../../src/dataplane/ffi/memory/arena.js';
import { OrderWriter } from '../../../src/dataplane/ffi/memory/control-ring.js';
import { GLOBAL_BLOCK, readDrops } from '../../../src/dataplane/ffi/memory/counters.js';
import { encodePeer, Order } from '../../../src/dataplane/ffi/memory/orders.js';
import { DROP_REASONS } from '../../../src/esp/drops.js';
import { InboundSa } from '../../../src/esp/open.js';
import { OutboundSa } from '../../../src/esp/seal.js';
import { SelectorSet } from '../../../src/esp/selectors.js';
import { openEventFd } from '../../../src/linux/eventfd.js';
import { addressOf, hostBuffer, libc } from '../../../src/linux/ffi.js';
import { localEndpoint, openPortGroup } from '../../../src/linux/sockets.js';
import { withNonEspMarker } from '../../../src/wire/esp.js';

import {
  Bench,
  backend,
  CBC,
  GCM,
  inward,
  keyMaker,
  nonZero,
  ours,
  outward,
  packetPair,
  random,
  readFrom,
  theirs,
  writeTo,
} from '../../helpers/packet-bench.js';
import { skipWithoutFfi } from '../../helpers/prerequisites.js';
import { must } from '../../helpers/results.js';

const skip = skipWithoutFfi();

for (const [name, suite, address] of [
  ['AES-GCM over IPv4', GCM, '127.0.0.1'],
  ['AES-CBC with HMAC over IPv6', CBC, '::1'],
] as const) {
  t.test(`${name}: packets cross in both directions, and every drop has its reason`, { skip }, async (t) => {
    const bench = new Bench(address);
    t.teardown(() => bench.close());
    await bench.start();
    const [keysIn, keysOut] = [keyMaker(suite), keyMaker(suite)];
    bench.install({ suite, keysIn: keysIn(), keysOut: keysOut() });
    t.ok(
      bench.arena.bytes.subarray(At.ring, At.ring + RING_SIZE).every((x) => x === 0),
      'no key stays in the ring',
    );
    t.ok(bench.arena.vault.bytes.subarray(Vaulted.keys, Vaulted.keys + 256).every((x) => x === 0));
    const peer = new OutboundSa({ spi: 0xa0000001, suite, keys: keysIn(), crypto: backend, random });
    const peerIn = new InboundSa({
      ...{ spi: 0xb0000001, suite, keys: keysOut(), crypto: backend, replayWindow: 64 },
      selectors: new SelectorSet(theirs, ours),
    });

    const sent = [outward(0), outward(1), outward(700), outward(1400), outward(9000)];
    for (const packet of sent) writeTo(bench.tun, packet);
    await bench.settle();
    t.same(
      bench.heard.map((datagram) => {
        const opened = peerIn.open(datagram);
        return opened.ok ? Buffer.from(opened.value).toString('hex') : opened.error;
      }),
      sent.map((packet) => Buffer.from(packet).toString('hex')),
    );
    const bytesOut = sent.reduce((sum, packet) => sum + packet.length, 0);
    t.match(bench.counters(), { packetsOut: 5, bytesOut, sequenceOut: 5, packetsIn: 0, lastInbound: 0 });

    const seal = (packet: Uint8Array): Uint8Array => must(peer.seal(packet));
    const received = [inward(0), inward(33), inward(1400), inward(9000)];
    const good = received.map(seal);
    await bench.send(...good);
    t.same(
      received.map(() => readFrom(bench.tun)),
      received,
    );
    t.equal(readFrom(bench.tun), undefined);
    const bytesIn = received.reduce((sum, packet) => sum + packet.length, 0);
    t.match(bench.counters(), { packetsIn: 4, bytesIn, packetsOut: 5 });
    t.ok(bench.counters().lastInbound > 0);

    const last = bench.counters().lastInbound;
    const flip = (packet: Uint8Array, at: number): Uint8Array => {
      const copy = Uint8Array.from(packet);
      copy[at] = copy[at]! ^ 1;
      return copy;
    };
    const fresh = seal(inward(100));
    await bench.send(
      ...good,
      flip(fresh, fresh.length - 1),
      flip(fresh, 20),
      flip(fresh, 6),
      fresh.subarray(0, fresh.length - 3),
      fresh.subarray(0, 20),
      flip(fresh, 0),
    );
    t.same(nonZero(bench.counters().drops), { replay: 4, auth_failed: 3, malformed: 2 });
    t.same(bench.globalDrops(), { unknown_spi: 1 });
    t.equal(bench.counters().lastInbound, last, 'only authentic packets are signs of life');
    t.equal(readFrom(bench.tun), undefined);
    await bench.send(fresh);
    t.not(readFrom(bench.tun), undefined, 'forgeries with its number did not move the window');

    const payload = (bytes: Uint8Array, nextHeader: number): Uint8Array =>
      must(peer.sealPayload(bytes, nextHeader));
    const slot = At.coalescer + 144;
    bench.arena.bytes.fill(0x77, slot, slot + 4096);
    await bench.send(
      seal(inward(10, '10.3.0.1')),
      seal(inward(10, '10.2.0.1', '10.9.0.1')),
      payload(new Uint8Array(40), 59),
      payload(new Uint8Array(40), 6),
      payload(inward(8), 41),
      payload(inward(8).subarray(0, 12), 4),
    );
    t.same(nonZero(bench.counters().drops), {
      ...{ replay: 4, auth_failed: 3, malformed: 4 },
      ...{ selector_mismatch: 2, dummy: 1, bad_next_header: 1 },
    });
    t.equal(readFrom(bench.tun), undefined);
    t.ok(bench.counters().lastInbound >= last);
    t.ok(
      bench.arena.bytes.subarray(slot, slot + 12).every((x) => x === 0),
      'refused plaintext is wiped',
    );
  });
}

t.test('what is not for an SA', { skip }, async (t) => {
  const bench = new Bench();
  t.teardown(() => bench.close());
  await bench.start();
  const keys = keyMaker(GCM);
  bench.install({ suite: GCM, keysIn: keys(), keysOut: keys(), outbound: false });
  for (let i = 0; i < 3; i++) writeTo(bench.tun, outward(10));
  writeTo(bench.tun, inward(10, '10.1.0.9', '198.51.100.1'));
  writeTo(bench.tun, Uint8Array.of(0x45, 0, 0));
  await bench.settle();
  t.same(bench.globalDrops(), { no_sa: 3, no_policy: 1, malformed: 1 });
  t.same(
    bench.reports.map((report) => (report.kind === 'acquire' ? report.destination.join('.') : report.kind)),
    ['10.2.0.9', '198.51.100.1'],
    'one request for each destination',
  );
  bench.id(Order.ACTIVATE, 1);
  bench.id(Order.ACTIVATE, 99);
  writeTo(bench.tun, outward(10));
  await bench.settle();
  t.equal(bench.heard.length, 1);
  t.equal(bench.counters().packetsOut, 1);

  bench.loop.child(1)!.skipSequence(0xfffffffd);
  for (let i = 0; i < 3; i++) writeTo(bench.tun, outward(10));
  await bench.settle();
  t.equal(bench.heard.length, 2);
  t.equal(bench.counters().sequenceOut, 0xffffffff);
  t.same(nonZero(bench.counters().drops), { sequence_exhausted: 2 }, 'the counter does not cycle');

  bench.id(Order.REMOVE, 1);
  bench.id(Order.REMOVE, 1);
  writeTo(bench.tun, outward(10));
  await bench.settle();
  t.equal(bench.globalDrops().no_policy, 2);
  t.equal(bench.counters().packetsOut, 0, 'the counters of a removed SA are gone');
  t.equal(bench.heard.length, 2);
});

t.test('a newer SA takes over, and the older one still receives', { skip }, async (t) => {
  const bench = new Bench();
  t.teardown(() => bench.close());
  await bench.start();
  const [first, second] = [keyMaker(GCM), keyMaker(CBC)];
  bench.install({ suite: GCM, keysIn: first(), keysOut: first() });
  bench.install(
    {
      id: 2,
      spiIn: 0xa0000002,
      spiOut: 0xb0000002,
      suite: CBC,
      keysIn: second(),
      keysOut: second(),
      outbound: false,
    },
    2,
  );
  writeTo(bench.tun, outward(10));
  await bench.settle();
  bench.id(Order.ACTIVATE, 2);
  writeTo(bench.tun, outward(10));
  await bench.settle();
  t.same(
    bench.heard.map((datagram) => datagram.readUInt32BE(0)),
    [0xb0000001, 0xb0000002],
  );
  for (const [spi, suite, keys] of [
    [0xa0000001, GCM, first],
    [0xa0000002, CBC, second],
  ] as const) {
    const sealed = new OutboundSa({ spi, suite, keys: keys(), crypto: backend, random }).seal(inward(5));
    if (sealed.ok) await bench.send(sealed.value);
    t.not(readFrom(bench.tun), undefined);
  }
  t.equal(bench.counters(1, 1).packetsIn, 1);
  t.equal(bench.counters(2, 2).packetsIn, 1);

  bench.id(Order.RETIRE, 2);
  bench.id(Order.RETIRE, 99);
  writeTo(bench.tun, outward(10));
  await bench.settle();
  t.equal(bench.heard.at(-1)?.readUInt32BE(0), 0xb0000001, 'one that was retired sends no more');
  const late = new OutboundSa({ spi: 0xa0000002, suite: CBC, keys: second(), crypto: backend, random });
  late.seal(inward(5));
  const sealed = late.seal(inward(5));
  if (sealed.ok) await bench.send(sealed.value);
  t.not(readFrom(bench.tun), undefined, 'and still receives');
  bench.id(Order.REMOVE, 2);
  bench.id(Order.RETIRE, 1);
  writeTo(bench.tun, outward(10));
  await bench.settle();
  t.same(bench.globalDrops(), { no_policy: 1 });
});

t.test('a peer that moves is reported once, and followed only when told', { skip }, async (t) => {
  const bench = new Bench();
  t.teardown(() => bench.close());
  await bench.start();
  const keys = keyMaker(GCM);
  const elsewhere = createSocket('udp4');
  t.teardown(() => elsewhere.close());
  await new Promise<void>((resolve) => elsewhere.bind(0, '127.0.0.1', resolve));
  const { port } = elsewhere.address();
  bench.install({ suite: GCM, keysIn: keys(), keysOut: keys(), peer: { address: '127.0.0.1', port } });
  const peer = new OutboundSa({ spi: 0xa0000001, suite: GCM, keys: keys(), crypto: backend, random });
  const packets = [1, 2, 3].map(() => must(peer.seal(inward(5))));
  const forged = Uint8Array.from(packets[0]!);
  forged[30] = forged[30]! ^ 1;
  await bench.send(forged);
  t.same(bench.reports, [], 'a forgery moves nobody');
  const from = bench.client.address().port;
  await bench.send(packets[1]!, packets[0]!, packets[2]!);
  t.same(bench.reports, [{ kind: 'moved', id: 1, address: '127.0.0.1', port: from }]);
  writeTo(bench.tun, outward(1));
  await bench.settle();
  t.equal(bench.heard.length, 0);
  bench.order(Order.UPDATE_PEER, encodePeer(1, { address: '127.0.0.1', port: from }));
  writeTo(bench.tun, outward(1));
  await bench.settle();
  t.equal(bench.heard.length, 1);
});

t.test('IKE on an ESP socket is handed over, within limits', { skip }, async (t) => {
  // Without steering: the only socket of its port gets everything.
  const arena = createArena();
  const reports: WorkerReport[] = [];
  const [inner, tun] = packetPair();
  const wake = openEventFd();
  const group = openPortGroup({ address: '127.0.0.1', port: 0, workers: 1 });
  const { crypto } = choosePacketCrypto(arena, backend, random);
  const setup = { tunFd: tun, espFds: [group.ikeFd], wakeFd: wake.fd };
  const loop = new PacketLoop(arena, crypto, setup, (report) => reports.push(report));
  const client = createSocket('udp4');
  const { port } = localEndpoint(group.ikeFd);
  t.teardown(() => {
    loop.free();
    client.close();
    wake.close();
    group.close();
    for (const fd of [inner, tun]) libc().close(fd);
  });
  const send = (bytes: Uint8Array) =>
    new Promise((resolve) => client.send(bytes, port, '127.0.0.1', resolve));
  await send(withNonEspMarker(Uint8Array.of(1, 2, 3, 4, 5)));
  await send(Uint8Array.of(0xff));
  await send(Uint8Array.of(1, 2, 3));
  loop.turn(1000);
  t.match(reports, [{ kind: 'ike', socket: 0, address: '127.0.0.1', port: client.address().port }]);
  t.same(reports[0]?.kind === 'ike' && [...reports[0].bytes], [1, 2, 3, 4, 5]);
  const malformed = readDrops(arena, GLOBAL_BLOCK).malformed;
  t.equal(malformed, 1, 'a runt is a drop, a keepalive is not');
  for (let i = 0; i < 300; i++) {
    await send(withNonEspMarker(Uint8Array.of(i & 0xff)));
    loop.turn(0);
  }
  for (let i = 0; i < 3; i++) loop.turn(5);
  t.equal(reports.length, 256, 'main did not answer: no more are queued');
  t.equal(readDrops(arena, GLOBAL_BLOCK).queue_full, 301 - 256);
  t.ok(DROP_REASONS.includes('queue_full'));

  const writer = new OrderWriter(arena);
  t.equal(loop.turn(0), true);
  writer.stop();
  wake.signal();
  t.equal(loop.turn(-1), false, 'a stop wakes and ends it');
});

t.test('a rehearsal moves packets, and leaves nothing behind', { skip }, async (t) => {
  const bench = new Bench();
  await bench.start();
  try {
    const rounds = bench.loop.rehearse(40);
    t.ok(rounds > 0 && rounds % 3 === 0, 'three packets a round came through');
    await bench.settle();
    t.same(bench.heard, [], 'none left by the socket');
    t.equal(libc().read(bench.tun, addressOf(hostBuffer(2048)), 2048), -1, 'nor by TUN');
    t.same(bench.globalDrops(), {});
    t.same(bench.reports, []);
    const { keySlots, keys } = Vaulted;
    t.ok(bench.arena.vault.bytes.subarray(keySlots, keySlots + 2048).every((octet) => octet === 0));
    t.ok(bench.arena.vault.bytes.subarray(keys, keys + 256).every((octet) => octet === 0));

    // Its SPI is as unknown as any other, and its packets have no policy.
    await bench.send(Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 1, ...new Uint8Array(64)));
    t.same(bench.globalDrops(), { unknown_spi: 1 });
  } finally {
    bench.close();
  }
});

t.test('broken descriptors end the path instead of spinning', { skip }, async (t) => {
  const arena = createArena();
  const [inner, tun] = packetPair();
  const wake = openEventFd();
  const group = openPortGroup({ address: '127.0.0.1', port: 0, workers: 1 });
  t.teardown(() => {
    wake.close();
    group.close();
    libc().close(tun);
  });
  const { crypto } = choosePacketCrypto(arena, backend, random);
  const setup = { tunFd: tun, espFds: group.espFds, wakeFd: wake.fd };
  const loop = new PacketLoop(arena, crypto, setup, () => {});
  libc().close(inner);
  t.throws(
    () => {
      for (let i = 0; i < 5000; i++) loop.turn(0);
    },
    { code: 'EIO' },
  );
  loop.free();
  t.throws(() => new PacketLoop(arena, crypto, { ...setup, espFds: [] }, () => {}), RangeError);
});
