import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { DataPlane } from '../../src/dataplane/dataplane.js';
import { createPortableDataPlane } from '../../src/dataplane/portable.js';
import { toHex } from '../../src/util/bytes.js';
import type { Endpoint } from '../../src/util/ip.js';
import { natKeepalive, withNonEspMarker } from '../../src/wire/esp.js';
import { Encr } from '../../src/wire/ike/registry.js';
import { findSuite, innerPacket, seededRandom } from '../helpers/esp.js';
import { pairEnds, TestDevice, TestListener } from '../helpers/portable-plane.js';
import { attachUdpSocket } from '../helpers/udp-link.js';

const crypto = createOpensslBackend();
const CHACHA = findSuite(Encr.CHACHA20_POLY1305, 0);

async function bound(family: 'udp4' | 'udp6'): Promise<{ socket: Socket; at: Endpoint }> {
  const socket = createSocket(family);
  socket.bind(0, family === 'udp4' ? '127.0.0.1' : '::1');
  await once(socket, 'listening');
  const { address, port } = socket.address();
  return { socket, at: { address, port } };
}

function site(socket: Socket) {
  const device = new TestDevice();
  const listener = new TestListener();
  const link = attachUdpSocket(socket, {
    espDatagram: (local, remote, bytes) => plane.espDatagram(local, remote, bytes),
    ikeDatagram: (local, remote, bytes) => listener.ikeDatagram(local, remote, bytes),
    runt: (local, remote, bytes) => plane.espDatagram(local, remote, bytes),
  });
  const plane: DataPlane = createPortableDataPlane({
    crypto,
    random: seededRandom('iv'),
    device,
    listener,
    now: () => 1,
    send: link.send,
  });
  const close = async () => {
    link.detach();
    await plane.close();
  };
  return { device, listener, plane, close };
}

/** Until `done`, at most five seconds: datagrams on loopback arrive when the kernel has time. */
async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !done(); i++) await sleep(10);
}

async function ipv6Works(): Promise<boolean> {
  try {
    const { socket } = await bound('udp6');
    socket.close();
    return true;
  } catch {
    return false;
  }
}

async function tunnelOver(t: Tap, family: 'udp4' | 'udp6'): Promise<void> {
  const a = await bound(family);
  const b = await bound(family);
  t.teardown(() => {
    a.socket.close();
    b.socket.close();
  });
  const siteA = site(a.socket);
  const siteB = site(b.socket);
  const ends = pairEnds(CHACHA, { a: a.at, b: b.at });
  siteA.plane.install(ends.a);
  siteB.plane.install(ends.b);
  const out = Array.from({ length: 50 }, (_, i) => innerPacket('10.1.0.1', '10.2.0.1', 60 + 20 * i));
  const back = Array.from({ length: 50 }, (_, i) => innerPacket('10.2.0.1', '10.1.0.1', 61 + 20 * i));
  for (const [i, packet] of out.entries()) {
    siteA.device.inject(packet);
    siteB.device.inject(back[i]!);
  }
  await until(() => siteA.device.written.length === 50 && siteB.device.written.length === 50);
  t.same(siteB.device.written.map(toHex), out.map(toHex));
  t.same(siteA.device.written.map(toHex), back.map(toHex));
  const [countersA] = siteA.plane.counters();
  const [countersB] = siteB.plane.counters();
  t.equal(countersA?.bytesOut, countersB?.bytesIn);
  t.equal(countersA?.bytesIn, countersB?.bytesOut);
  t.same([...siteA.listener.moved, ...siteB.listener.moved], [], 'each sees the other where it is');
  await siteA.close();
  await siteB.close();
  t.equal(a.socket.listenerCount('message'), 0, 'the socket is let go, not closed');
}

type Tap = typeof t;

t.test('a pair over loopback UDP', async (t) => tunnelOver(t as Tap, 'udp4'));

const skip = (await ipv6Works()) ? false : 'no IPv6 on loopback here';
t.test('a pair over loopback UDP and IPv6', { skip }, async (t) => tunnelOver(t as Tap, 'udp6'));

t.test('port 4500 is shared with IKE', async (t) => {
  const { socket, at } = await bound('udp4');
  const peer = await bound('udp4');
  const { listener, plane, close } = site(socket);
  t.teardown(() => {
    socket.close();
    peer.socket.close();
  });
  const send = (bytes: Uint8Array) => peer.socket.send(bytes, at.port, at.address);
  send(natKeepalive());
  send(Uint8Array.of(1));
  send(Uint8Array.of(0, 0, 0));
  send(Uint8Array.of(0xde, 0xad, 0xbe, 0xef, 0));
  send(new Uint8Array(60).fill(0xee));
  send(withNonEspMarker(Uint8Array.of(1, 2, 3)));
  await until(() => listener.ike.length > 0);
  t.equal(listener.ike.length, 1);
  t.same(listener.ike[0]!.bytes, Uint8Array.of(1, 2, 3), 'the marker is gone');
  t.same(listener.ike[0]!.local, at);
  t.same(listener.ike[0]!.remote, peer.at);
  t.match(plane.drops(), { malformed: 3, unknown_spi: 1 });
  await close();
});

t.test('a socket that is closed under the data plane costs packets, nothing more', async (t) => {
  const { socket, at } = await bound('udp4');
  const { device, plane, close } = site(socket);
  plane.install(pairEnds(CHACHA, { a: at, b: at }).a);
  socket.close();
  device.inject(innerPacket('10.1.0.1', '10.2.0.1', 100));
  t.equal(plane.counters()[0]?.drops.send_error, 1);
  await close();
});

t.test('packets are dropped when too many wait in the socket', async (t) => {
  const { socket, at } = await bound('udp4');
  const { device, plane, close } = site(socket);
  t.teardown(() => socket.close());
  plane.install(pairEnds(CHACHA, { a: at, b: at }).a);
  socket.getSendQueueSize = () => 5 * 1024 * 1024;
  device.inject(innerPacket('10.1.0.1', '10.2.0.1', 100));
  t.match(plane.counters()[0], { packetsOut: 1, drops: { queue_full: 1, send_error: 0 } });
  await close();
});

t.test('a datagram too big for UDP is a send error', async (t) => {
  const { socket, at } = await bound('udp4');
  const { device, plane, close } = site(socket);
  t.teardown(() => socket.close());
  plane.install(pairEnds(CHACHA, { a: at, b: at }).a);
  device.inject(innerPacket('10.1.0.1', '10.2.0.1', 65500));
  await until(() => plane.counters()[0]?.drops.send_error === 1);
  t.equal(plane.counters()[0]?.drops.send_error, 1);
  await close();
});
