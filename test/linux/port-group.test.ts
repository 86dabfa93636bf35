import { createSocket, type Socket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import t from 'tap';
import { bindError, LinuxError } from '../../src/linux/errors.js';
import { openEventFd } from '../../src/linux/eventfd.js';
import { addressOf, hostBuffer, libc } from '../../src/linux/ffi.js';
import { setLinkUp } from '../../src/linux/links.js';
import { POLLFD_SIZE, POLLIN, poll, pollEvents, writePollFd } from '../../src/linux/poll.js';
import { sockaddrAddress, sockaddrPort, writeSockaddr } from '../../src/linux/sockaddr.js';
import { closeSocket, openPortGroup, openRawEsp, type PortGroup } from '../../src/linux/sockets.js';
import { steeringProgram } from '../../src/linux/steering.js';
import { parseIp } from '../../src/util/ip.js';
import { enterOwnNamespace } from '../helpers/own-namespace.js';
import { skipWithoutRoot } from '../helpers/prerequisites.js';

const skip = skipWithoutRoot();
if (!skip) {
  enterOwnNamespace();
  setLinkUp('lo', 65536);
}

/** Reads one datagram with its sender, or undefined when nothing came within 2 s. */
function receive(fd: number): { bytes: Uint8Array; address: string; port: number } | undefined {
  const memory = hostBuffer(4096);
  const view = new DataView(memory.buffer);
  const at = addressOf(memory);
  writePollFd(view, 0, fd, POLLIN);
  if (poll(at, 1, 2000) <= 0 || (pollEvents(view, 0) & POLLIN) === 0) return undefined;
  view.setUint32(POLLFD_SIZE, 32, true);
  const length = libc().recvfrom(fd, at + 128, 2048, 0, at + 64, at + POLLFD_SIZE);
  return {
    bytes: memory.slice(128, 128 + length),
    address: sockaddrAddress(memory, 64),
    port: sockaddrPort(memory, 64),
  };
}

function silent(fd: number): boolean {
  const memory = hostBuffer(8);
  writePollFd(new DataView(memory.buffer), 0, fd, POLLIN);
  return poll(addressOf(memory), 1, 0) === 0;
}

function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}

for (const [family, address] of [
  ['udp4', '127.0.0.1'],
  ['udp6', '::1'],
] as const) {
  t.test(`${family}: IKE and ESP are told apart by the kernel`, { skip }, async (t) => {
    const workers = 4;
    const group: PortGroup = openPortGroup({ address, port: 4500, workers });
    t.teardown(() => group.close());
    t.equal(group.espFds.length, workers);
    const ike = createSocket(family);
    t.teardown(() => ike.close());
    await new Promise<void>((resolve) => ike.bind({ fd: group.releaseIke() }, resolve));
    t.equal(ike.address().port, 4500);
    const heard: Buffer[] = [];
    ike.on('message', (message) => heard.push(message));
    const client: Socket = createSocket(family);
    t.teardown(() => client.close());
    const send = (bytes: Uint8Array): Promise<unknown> =>
      new Promise((resolve) => client.send(bytes, 4500, address, resolve));

    for (const spi of [0x100, 0x101, 0x102, 0x103, 0xfffffffe, 0xffffffff, 0x80000001, 0x01000000]) {
      const packet = new Uint8Array(64);
      new DataView(packet.buffer).setUint32(0, spi);
      new DataView(packet.buffer).setUint32(4, 7);
      await send(packet);
      const worker = (spi & (workers - 1)) >>> 0;
      const got = receive(group.espFds[worker]!);
      t.same(got?.bytes, packet, `SPI ${spi.toString(16)} arrives at worker ${worker}`);
      t.equal(got?.address, address);
      t.equal(got?.port, client.address().port);
      t.ok(group.espFds.every(silent), 'and nowhere else');
    }

    const ikeMessage = new Uint8Array(32).fill(5).fill(0, 0, 4);
    const runts = [0, 1, 2, 3, 4, 5, 6, 7].map((length) => new Uint8Array(length).fill(255));
    for (const datagram of [ikeMessage, ...runts]) await send(datagram);
    const deadline = Date.now() + 5000;
    while (heard.length < 1 + runts.length && Date.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    t.same(
      heard.map((message) => message.length),
      [32, 0, 1, 2, 3, 4, 5, 6, 7],
    );
    t.ok(group.espFds.every(silent), 'no marker and no runt reaches a worker');
  });
}

t.test('a taken port is refused, not shared', { skip }, async (t) => {
  const before = openFds();
  const first = openPortGroup({ address: '127.0.0.1', port: 4501, workers: 1 });
  for (const address of ['127.0.0.1', '0.0.0.0']) {
    try {
      openPortGroup({ address, port: 4501, workers: 1 });
      t.fail('a second group must not join the first');
    } catch (error) {
      t.ok(error instanceof LinuxError);
      const { code, message, remedy } = error as LinuxError;
      t.equal(code, 'EADDRINUSE');
      t.match(message, /port 4501/);
      t.match(remedy, /ss -ulpn/);
    }
  }
  const other = createSocket('udp4');
  const outcome = await new Promise((resolve) => {
    other.once('error', resolve);
    other.bind({ port: 4501, address: '127.0.0.1', exclusive: true }, () => resolve('bound'));
  });
  t.match(outcome, { code: 'EADDRINUSE' });
  try {
    other.close();
  } catch {
    // A socket that failed to bind is closed already.
  }
  first.close();
  first.close();
  openPortGroup({ address: '127.0.0.1', port: 4501, workers: 1 }).close();
  t.equal(openFds(), before, 'no descriptor is left');
});

t.test('refusals name address and remedy', { skip }, async (t) => {
  const before = openFds();
  t.throws(() => openPortGroup({ address: '203.0.113.9', port: 4500, workers: 1 }), {
    code: 'EADDRNOTAVAIL',
    remedy: /203\.0\.113\.9 is not an address of this host/,
  });
  t.throws(() => openPortGroup({ address: 'here', port: 4500, workers: 1 }), /not an IP address/);
  t.throws(() => openPortGroup({ address: '127.0.0.1', port: 4500, workers: 3 }), /power of two/);
  t.match(bindError(13, '127.0.0.1', 500).remedy, /CAP_NET_BIND_SERVICE/);
  t.equal(openFds(), before);
});

t.test('socket addresses', async (t) => {
  const bytes = new Uint8Array(64).fill(0xee);
  t.equal(writeSockaddr(bytes, 4, parseIp('192.0.2.7')!, 4500), 16);
  t.same([...bytes.subarray(4, 20)], [2, 0, 0x11, 0x94, 192, 0, 2, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
  t.equal(sockaddrAddress(bytes, 4), '192.0.2.7');
  t.equal(sockaddrPort(bytes, 4), 4500);
  t.equal(writeSockaddr(bytes, 4, parseIp('2001:db8::7')!, 65535), 28);
  t.equal(sockaddrAddress(bytes, 4), '2001:db8::7');
  t.equal(sockaddrPort(bytes, 4), 65535);
  t.equal(bytes[32], 0xee, 'nothing is written behind the address');
  t.throws(() => steeringProgram(0), RangeError);
});

for (const address of ['127.0.0.1', '::1']) {
  t.test(`raw ESP on ${address} goes to the worker of its SPI`, { skip }, async (t) => {
    const workers = 4;
    const fds = Array.from({ length: workers }, (_, index) => openRawEsp(address, { workers, index }));
    const sender = openRawEsp(address);
    t.teardown(() => [...fds, sender].forEach(closeSocket));
    const memory = hostBuffer(128);
    const nameLength = writeSockaddr(memory, 64, parseIp(address)!, 0);
    const send = (length: number): number =>
      libc().sendto(sender, addressOf(memory), length, 0, addressOf(memory) + 64, nameLength);
    for (const spi of [0x100, 0x101, 0x102, 0x103, 0xfffffffe, 0xffffffff, 0x80000001]) {
      memory.fill(spi & 0xff, 0, 32);
      new DataView(memory.buffer).setUint32(0, spi);
      t.equal(send(32), 32);
      const got = receive(fds[spi & (workers - 1)]!);
      t.same(got?.bytes.slice(-32), memory.slice(0, 32), `SPI ${spi.toString(16)}`);
      t.ok(fds.every(silent), 'and nowhere else');
    }
    t.equal(send(3), 3);
    while (receive(sender)!.bytes.length > (address === '::1' ? 3 : 23));
    t.ok(fds.every(silent), 'what has no SPI reaches nobody');
  });
}

t.test('an eventfd wakes poll', { skip }, async (t) => {
  const event = openEventFd();
  t.teardown(() => event.close());
  t.ok(silent(event.fd));
  event.signal();
  event.signal();
  t.notOk(silent(event.fd));
  event.clear();
  event.clear();
  t.ok(silent(event.fd));
});
