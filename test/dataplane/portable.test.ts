import fc from 'fast-check';
import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { CryptoBackend } from '../../src/crypto/types.js';
import type { SendEsp } from '../../src/dataplane/esp-sender.js';
import {
  type ClosablePacketDevice,
  createPortableDataPlane,
  type PortableDataPlane,
} from '../../src/dataplane/portable.js';
import { equalBytes, readU32, toHex, writeU32 } from '../../src/util/bytes.js';
import { type Endpoint, formatIp } from '../../src/util/ip.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';
import { findSuite, innerPacket, seededRandom } from '../helpers/esp.js';
import { A, B, pairEnds, TestDevice, TestListener, watchedBackend } from '../helpers/portable-plane.js';

const crypto = createOpensslBackend();
const GCM = findSuite(Encr.AES_GCM_16, 128);
const CBC = findSuite(Encr.AES_CBC, 256, Integ.HMAC_SHA2_256_128);
const TO_B = innerPacket('10.1.0.1', '10.2.0.1', 100);
const TO_A = innerPacket('10.2.0.1', '10.1.0.1', 100);

interface Sent {
  readonly remote: Endpoint;
  readonly bytes: Uint8Array;
}

/** A data plane whose datagrams are kept in `sent` until the test delivers them. */
class Site {
  readonly device = new TestDevice();
  readonly listener = new TestListener();
  readonly plane: PortableDataPlane;
  readonly sent: Sent[] = [];
  now = 1000;

  constructor(
    backend: CryptoBackend = crypto,
    send?: SendEsp,
    openDevice?: (name: string) => ClosablePacketDevice,
  ) {
    this.plane = createPortableDataPlane({
      crypto: backend,
      random: seededRandom('iv'),
      device: this.device,
      ...(openDevice === undefined ? {} : { openDevice }),
      listener: this.listener,
      now: () => this.now,
      send: send ?? ((_local, remote, bytes) => this.sent.push({ remote, bytes })),
    });
  }

  /** The only child's counters. */
  get counters() {
    const all = this.plane.counters();
    if (all.length !== 1) throw new Error(`${all.length} child SAs`);
    return all[0]!;
  }

  receive(bytes: Uint8Array, from: Endpoint): void {
    this.plane.espDatagram(B, from, bytes);
  }
}

function tunnel(suite = GCM): { a: Site; b: Site } {
  const a = new Site();
  const b = new Site();
  const ends = pairEnds(suite);
  a.plane.install(ends.a);
  b.plane.install(ends.b);
  return { a, b };
}

/** All that `from` has sent, in order. */
function deliver(from: Site, to: Site, source: Endpoint): void {
  for (const { bytes } of from.sent.splice(0)) to.receive(bytes, source);
}

t.test('a pair carries packets both ways and counts the same', async (t) => {
  for (const suite of [GCM, CBC]) {
    const { a, b } = tunnel(suite);
    b.now = 4711;
    const out = [
      TO_B,
      innerPacket('10.1.0.2', '10.2.0.9', 1400),
      innerPacket('2001:db8:1::1', '2001:db8:2::1', 500),
    ];
    for (const packet of out) a.device.inject(packet);
    t.ok(a.sent.every(({ remote }) => remote === a.sent[0]!.remote && remote.address === B.address));
    deliver(a, b, A);
    b.device.inject(TO_A);
    deliver(b, a, B);
    t.same(b.device.written.map(toHex), out.map(toHex));
    t.same(a.device.written.map(toHex), [toHex(TO_A)]);
    t.match(a.counters, { id: 1, packetsOut: 3, bytesOut: 2000, packetsIn: 1, bytesIn: 100, sequenceOut: 3 });
    t.match(b.counters, { id: 1, packetsIn: 3, bytesIn: 2000, packetsOut: 1, bytesOut: 100, sequenceOut: 1 });
    t.equal(b.counters.lastInbound, 4711);
    t.equal(
      Object.values(b.counters.drops).reduce((x, y) => x + y),
      0,
    );
    t.equal(a.listener.moved.length + b.listener.moved.length, 0);
    t.equal(a.plane.kind, 'portable');
  }
});

t.test('outbound packets without an SA', async (t) => {
  const site = new Site();
  site.device.inject(TO_B);
  t.equal(site.plane.drops().no_policy, 1);
  site.plane.install(pairEnds(GCM, { outbound: false }).a);
  site.device.inject(TO_B);
  site.device.inject(innerPacket('10.1.0.1', '10.9.0.1', 100));
  site.device.inject(innerPacket('10.9.0.1', '10.2.0.1', 100));
  site.device.inject(TO_B.subarray(0, 19));
  site.device.inject(new Uint8Array(0));
  t.match(site.plane.drops(), { no_policy: 3, no_sa: 1, malformed: 2 });
  t.same(site.listener.acquired.map(formatIp), ['10.2.0.1', '10.9.0.1'], 'the daemon knows what is wanted');
  site.now += 999;
  site.device.inject(TO_B);
  t.equal(site.listener.acquired.length, 2, 'once a second for a destination');
  site.now += 1;
  site.device.inject(TO_B);
  t.equal(site.listener.acquired.length, 3);
  t.equal(site.sent.length, 0);
  site.plane.activateOutbound(1);
  site.device.inject(TO_B);
  t.equal(site.sent.length, 1);
});

t.test('inbound packets that are refused, each under its reason', async (t) => {
  const { a, b } = tunnel();
  for (let i = 0; i < 3; i++) a.device.inject(TO_B);
  const [first, second, third] = a.sent.map(({ bytes }) => bytes);
  b.receive(first!, A);
  b.receive(first!, A);
  const forged = second!.slice();
  forged[30]! ^= 1;
  b.receive(forged, A);
  b.receive(second!.subarray(0, 30), A);
  t.match(b.counters.drops, { replay: 1, auth_failed: 1, malformed: 1 });
  b.receive(new Uint8Array(7), A);
  b.receive(new Uint8Array(0), A);
  const stranger = third!.slice();
  writeU32(stranger, 0, 0x12345678);
  b.receive(stranger, A);
  t.match(b.plane.drops(), { malformed: 2, unknown_spi: 1 });
  b.device.refuse = true;
  b.receive(third!, A);
  t.equal(b.counters.drops.tun_write, 1);
  t.match(b.counters, { packetsIn: 1, bytesIn: 100 }, 'only what the host took counts');
});

t.test('an inner packet from outside the selectors does not reach the host', async (t) => {
  const { a, b } = tunnel();
  // A's view of the child SA is wider than B's.
  a.plane.remove(1);
  const ends = pairEnds(GCM);
  a.plane.install({ ...ends.a, localTs: ends.a.peerTs, peerTs: ends.a.localTs });
  a.device.inject(TO_A);
  deliver(a, b, A);
  t.equal(b.counters.drops.selector_mismatch, 1);
  t.equal(b.device.written.length, 0);
  t.equal(b.counters.lastInbound, 1000, 'yet the peer lives');
});

t.test('rekeying moves traffic without a gap', async (t) => {
  const { a, b } = tunnel();
  const next = pairEnds(CBC, { generation: 2, outbound: false });
  b.plane.install(next.b);
  a.plane.install(next.a);
  a.device.inject(TO_B);
  t.equal(readU32(a.sent[0]!.bytes, 0), 0xb000_0001, 'installed only: still the old one');
  a.plane.activateOutbound(2);
  a.device.inject(TO_B);
  t.equal(readU32(a.sent[1]!.bytes, 0), 0xb000_0002);
  deliver(a, b, A);
  t.equal(b.device.written.length, 2, 'both are received');
  a.device.inject(TO_B);
  b.device.inject(TO_A);
  a.plane.retire(1);
  b.plane.retire(1);
  deliver(b, a, B);
  t.equal(a.device.written.splice(0).length, 1, 'one that was retired still receives');
  b.plane.remove(1);
  a.plane.remove(1);
  deliver(a, b, A);
  t.equal(b.device.written.length, 3);
  b.device.inject(TO_A);
  t.equal(b.plane.drops().no_sa, 1, 'the other end was not told yet');
  b.plane.activateOutbound(2);
  b.device.inject(TO_A);
  deliver(b, a, B);
  t.equal(a.device.written.length, 1);
  t.same(
    a.plane.counters().map((c) => c.id),
    [2],
  );
});

t.test('the peer moves (RFC 7296 §2.23)', async (t) => {
  const { a, b } = tunnel();
  const elsewhere: Endpoint = { address: '203.0.113.7', port: 61000 };
  for (let i = 0; i < 6; i++) a.device.inject(TO_B);
  const packets = a.sent.splice(0).map(({ bytes }) => bytes);
  b.receive(packets[2]!, A);
  b.receive(packets[2]!, elsewhere);
  b.receive(packets[1]!, elsewhere);
  const forged = packets[3]!.slice();
  forged[40]! ^= 4;
  b.receive(forged, elsewhere);
  t.same(b.listener.moved, [], 'a replay, an older packet and a forged one say nothing');
  b.receive(packets[3]!, elsewhere);
  b.receive(packets[4]!, elsewhere);
  t.same(b.listener.moved, [{ id: 1, from: elsewhere }], 'told once');
  b.device.inject(TO_A);
  t.same(b.sent.pop()!.remote, A, 'nothing changes by itself');
  b.plane.updatePeer(1, elsewhere);
  b.plane.updatePeer(99, elsewhere);
  b.device.inject(TO_A);
  t.same(b.sent.pop()!.remote, elsewhere);
  b.receive(packets[5]!, A);
  t.same(b.listener.moved[1], { id: 1, from: A }, 'and back');
});

t.test('the kernel refuses a datagram', async (t) => {
  const site = new Site(crypto, (_local, _remote, _bytes, dropped) => dropped('send_error'));
  site.plane.install(pairEnds(GCM).a);
  site.device.inject(TO_B);
  t.match(site.counters, { packetsOut: 1, drops: { send_error: 1 } });
});

t.test('keys live no longer than their SA', async (t) => {
  for (const suite of [GCM, CBC]) {
    for (const end of ['remove', 'close'] as const) {
      const { crypto: watched, keys } = watchedBackend(crypto);
      const a = new Site(watched);
      const b = new Site(watched);
      const ends = pairEnds(suite);
      a.plane.install(ends.a);
      b.plane.install(ends.b);
      for (const { keysIn, keysOut } of [ends.a, ends.b]) {
        t.ok(keysIn.encryption.wiped && keysOut.encryption.wiped, 'the caller keeps nothing');
        t.ok((keysIn.integrity?.wiped ?? true) && (keysOut.integrity?.wiped ?? true));
      }
      a.device.inject(TO_B);
      deliver(a, b, A);
      t.equal(keys.size, 4, 'the backend saw a key and a nonce or a MAC key at each end');
      t.ok([...keys].every((key) => key.some((octet) => octet !== 0)));
      if (end === 'remove') {
        a.plane.remove(1);
        b.plane.remove(1);
        b.plane.remove(1);
      } else {
        await a.plane.close();
        await b.plane.close();
        await b.plane.close();
      }
      t.ok(
        [...keys].every((key) => key.every((octet) => octet === 0)),
        `all zero after ${end}`,
      );
      t.same(a.plane.counters(), []);
    }
  }
});

t.test('an install that cannot be is refused and its keys are wiped', async (t) => {
  const { a } = tunnel();
  const refused = (change: object, message: RegExp) => {
    const { a: pair } = pairEnds(GCM, { generation: 5 });
    t.throws(() => a.plane.install({ ...pair, ...change }), { name: 'RangeError', message });
    t.ok(pair.keysIn.encryption.wiped && pair.keysOut.encryption.wiped);
  };
  refused({ id: 1 }, /installed already/);
  refused({ spiIn: 0xa000_0001 }, /SPI 2684354561 is in use/);
  refused({ encapsulation: 'esp' }, /set "encapsulation: always"/);
  refused({ id: -4 }, /whole number/);
  refused({ suite: CBC }, /takes/);
  refused({ replayWindow: 1 }, /from 32 to 65536/);
  a.device.inject(TO_B);
  t.equal(a.sent.length, 1, 'the child SA that was there still works');
  await a.plane.close();
  refused({}, /closed/);
});

t.test('after close nothing moves', async (t) => {
  const { a, b } = tunnel();
  a.device.inject(TO_B);
  await b.plane.close();
  deliver(a, b, A);
  t.same(b.device.written, []);
  t.equal(b.device.receiver, undefined, 'the device is let go');
});

t.test('a wire that loses, doubles and reorders delivers each packet at most once, unchanged', async () => {
  const events = fc.array(
    fc.record({
      loss: fc.boolean(),
      copies: fc.integer({ min: 1, max: 3 }),
      delay: fc.integer({ min: 0, max: 60 }),
    }),
    { maxLength: 120 },
  );
  fc.assert(
    fc.property(events, fc.integer({ min: 32, max: 64 }), (list, replayWindow) => {
      const a = new Site();
      const b = new Site();
      const ends = pairEnds(GCM);
      a.plane.install(ends.a);
      b.plane.install({ ...ends.b, replayWindow });
      const wire: { at: number; bytes: Uint8Array }[] = [];
      let lost = 0;
      for (const [i, { loss, copies, delay }] of list.entries()) {
        a.device.inject(innerPacket('10.1.0.1', '10.2.0.1', 28 + i));
        const { bytes } = a.sent.pop()!;
        if (loss) lost++;
        else for (let n = 0; n < copies; n++) wire.push({ at: i + (n * delay) / 2 + delay, bytes });
      }
      wire.sort((x, y) => x.at - y.at);
      for (const { bytes } of wire) b.receive(bytes, A);
      const lengths = b.device.written.map((packet) => packet.length);
      const intact = b.device.written.every((packet) =>
        equalBytes(packet, innerPacket('10.1.0.1', '10.2.0.1', packet.length)),
      );
      const once = new Set(lengths).size === lengths.length;
      const { packetsIn, drops } = b.counters;
      return intact && once && packetsIn + drops.replay === wire.length && packetsIn <= list.length - lost;
    }),
    { numRuns: 60 },
  );
});

t.test('several devices: packets use the child SAs of their own device only', async (t) => {
  const opened = new Map<string, TestDevice & { closed: number }>();
  const site = new Site(crypto, undefined, (name) => {
    const device = Object.assign(new TestDevice(), {
      closed: 0,
      close() {
        this.closed++;
      },
    });
    opened.set(name, device);
    return device;
  });
  const number = site.plane.addDevice('vpn-c');
  t.equal(number, 1);
  const further = opened.get('vpn-c')!;
  const { a, b } = pairEnds(GCM);
  site.plane.install({ ...a, device: number });
  site.device.inject(TO_B);
  t.equal(site.sent.length, 0, 'the same networks, another device');
  t.equal(site.listener.acquired.length, 1);
  further.inject(TO_B);
  t.equal(site.sent.length, 1);

  const peer = new Site();
  peer.plane.install(b);
  peer.device.inject(innerPacket('10.2.0.1', '10.1.0.1', 64));
  site.plane.espDatagram(A, B, peer.sent[0]!.bytes);
  t.equal(site.device.written.length, 0);
  t.equal(further.written.length, 1, 'what comes in goes to the device of its SA');

  t.throws(() => site.plane.install({ ...pairEnds(GCM, { generation: 2 }).a, device: 7 }), /no device 7/);
  site.plane.remove(1);
  site.plane.removeDevice(number);
  site.plane.removeDevice(number);
  t.equal(further.closed, 1);
  t.equal(further.receiver, undefined);
  t.equal(site.plane.addDevice('vpn-d'), 1, 'its number is free again');
  await site.plane.close();
  t.equal(opened.get('vpn-d')!.closed, 1, 'closing the data plane closes what is left');
  t.throws(() => new Site().plane.addDevice('x'), /one packet device only/);
});
