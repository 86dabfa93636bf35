import t, { type Test } from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { EspSuite } from '../../src/crypto/types.js';
import type { ChildCounters } from '../../src/dataplane/dataplane.js';
import type { TapOptions, TappedPacket } from '../../src/dataplane/packet-tap.js';
import type { DropCounts } from '../../src/esp/drops.js';
import { InboundSa } from '../../src/esp/open.js';
import type { EspPair } from '../../src/esp/params.js';
import { OutboundSa } from '../../src/esp/seal.js';
import { SelectorSet } from '../../src/esp/selectors.js';
import { type EspStart, FRESH_START, LAST_SEQUENCE } from '../../src/esp/start.js';
import { readU32, toHex } from '../../src/util/bytes.js';
import type { Endpoint } from '../../src/util/ip.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';
import {
  espKeys,
  findSuite,
  forgeEsp,
  innerPacket,
  rawKeys,
  seededRandom,
  withTrailer,
} from '../helpers/esp.js';
import { icmpError, ROUTER_ERRORS } from '../helpers/icmp-errors.js';
import { pairEnds } from '../helpers/portable-plane.js';
import { must } from '../helpers/results.js';

/** A data plane at the end B of `pairEnds`, driven by a test: the host on one side, the peer A on the other. */
export interface Subject {
  /** Where the peer's datagrams come from. */
  readonly peer: Endpoint;
  /** Another address that the peer may move to. */
  readonly elsewhere: Endpoint;
  install(pair: EspPair): Promise<void>;
  remove(id: number): Promise<void>;
  expect(spi: number): Promise<void>;
  forget(spi: number): Promise<void>;
  activate(id: number): Promise<void>;
  retire(id: number): Promise<void>;
  updatePeer(id: number, peer: Endpoint): Promise<void>;
  enterTerm(term: number): Promise<void>;
  reserve(id: number, limit: number): Promise<void>;
  resume(id: number, start: EspStart): Promise<void>;
  skipOutbound(id: number, packets: number): Promise<void>;
  /** The host sends a packet. */
  fromHost(packet: Uint8Array): Promise<void>;
  /** An ESP packet arrives: in UDP, or as IP protocol 50. */
  fromPeer(packet: Uint8Array, form: 'udp' | 'esp'): Promise<void>;
  /** An ESP packet in UDP arrives from the peer's other address. */
  fromElsewhere(packet: Uint8Array): Promise<void>;
  /** An ESP packet that the kernel gave to the IKE socket. */
  fromIkeSocket(packet: Uint8Array): Promise<void>;
  /** What the host has got since the last call. */
  toHost(): Promise<Uint8Array[]>;
  /** ESP packets that have left since the last call. */
  toPeer(form: 'udp' | 'esp'): Promise<Uint8Array[]>;
  /** ESP packets in UDP that have left for the peer's other address since the last call. */
  toElsewhere(): Promise<Uint8Array[]>;
  /** Lets this much time pass. */
  wait(millis: number): Promise<void>;
  /** Of no SA, and of the only SA. */
  drops(): DropCounts;
  childDrops(): DropCounts;
  counters(id: number): ChildCounters;
  /** The new addresses of the peer that were reported. */
  moved(): { readonly id: number; readonly from: Endpoint }[];
  /** The destinations that an SA was wanted for. */
  acquired(): string[];
  /** Copies packets; `watch` and `close` take effect at once. */
  tap(options: Omit<TapOptions, 'now'>): {
    watch(id: number): void;
    take(): TappedPacket[];
    close(): void;
  };
  close(): Promise<void>;
}

const GCM = findSuite(Encr.AES_GCM_16, 128);
const CHACHA = findSuite(Encr.CHACHA20_POLY1305, 0);
const CBC = findSuite(Encr.AES_CBC, 256, Integ.HMAC_SHA2_256_128);
const crypto = createOpensslBackend();

/** What A seals for B with the keys of `pairEnds`. */
function peerSeals(generation = 1, suite = GCM): (packet: Uint8Array) => Uint8Array {
  const { a } = pairEnds(suite, { generation });
  const keys = espKeys(suite, `${generation} to b`);
  const sa = new OutboundSa({ spi: a.spiOut, suite, keys, crypto, random: seededRandom('iv') });
  return (packet) => must(sa.seal(packet));
}

/** What A makes of the packets that B seals. */
function peerOpens(suite: EspSuite, generation = 1): (packet: Uint8Array) => Uint8Array {
  const { a } = pairEnds(suite, { generation });
  const sa = new InboundSa({
    ...{ spi: a.spiIn, suite, keys: espKeys(suite, `${generation} to a`), crypto },
    selectors: new SelectorSet(a.localTs, a.peerTs),
    replayWindow: 64,
  });
  return (packet) => must(sa.open(packet)).slice();
}

/** The plaintext as it is, trailer included, in the peer's packet of this sequence number. */
function forged(sequence: number, plaintext: Uint8Array): Uint8Array {
  const { b } = pairEnds(GCM);
  return forgeEsp(crypto, GCM, rawKeys(GCM, '1 to b'), { spi: b.spiIn, sequence }, plaintext);
}

const TO_B = innerPacket('10.1.0.9', '10.2.0.9', 300);
const TO_A = innerPacket('10.2.0.9', '10.1.0.9', 300);
const hex = (packets: readonly Uint8Array[]) => packets.map(toHex);
const nonZero = (counts: DropCounts) =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0));
const spisOf = (packets: readonly Uint8Array[]) => packets.map((packet) => readU32(packet, 0));
const flipped = (packet: Uint8Array): Uint8Array => {
  const changed = packet.slice();
  changed[30]! ^= 1;
  return changed;
};

/** What every data plane does, whatever moves its packets. */
export function contract(
  name: string,
  options: { readonly skip?: string | false },
  make: () => Promise<Subject>,
): void {
  const { skip = false } = options;
  const test = (title: string, body: (t: Test, subject: Subject) => Promise<void>) =>
    t.test(`${name}: ${title}`, { skip }, async (t) => {
      const subject = await make();
      try {
        await body(t, subject);
      } finally {
        await subject.close();
      }
    });

  test('both forms of ESP are taken on an SA of either form (RFC 7296 §2.23)', async (t, subject) => {
    for (const [generation, encapsulation] of [
      [1, 'udp'],
      [2, 'esp'],
    ] as const) {
      const { b } = pairEnds(GCM, { generation, a: subject.peer });
      await subject.install({ ...b, encapsulation });
      const seal = peerSeals(generation);
      for (const form of ['udp', 'esp', 'udp'] as const) {
        await subject.fromPeer(seal(TO_B), form);
        t.same(hex(await subject.toHost()), [toHex(TO_B)], `${form} on an SA that sends ${encapsulation}`);
      }
      await subject.fromHost(TO_A);
      t.equal((await subject.toPeer(encapsulation)).length, 1, 'what this end sends keeps its form');
      t.equal((await subject.toPeer(encapsulation === 'udp' ? 'esp' : 'udp')).length, 0);
      await subject.remove(generation);
    }
    t.same(subject.moved(), [], 'a packet without UDP says nothing about a port');
    t.equal(subject.drops().unknown_spi, 0);
  });

  test('ESP that lands on the IKE socket is taken', async (t, subject) => {
    await subject.install(pairEnds(GCM, { a: subject.peer }).b);
    await subject.fromIkeSocket(peerSeals()(TO_B));
    t.same(hex(await subject.toHost()), [toHex(TO_B)]);
    await subject.fromIkeSocket(new Uint8Array(7));
    await subject.fromIkeSocket(Uint8Array.from({ length: 70 }, (_, i) => i + 1));
    t.same(await subject.toHost(), []);
  });

  for (const [kind, router, near, far, error] of ROUTER_ERRORS) {
    test(`${kind} from a router outside of the selectors goes both ways`, async (t, subject) => {
      await subject.install(pairEnds(GCM, { a: subject.peer }).b);
      const seal = peerSeals();
      // `near` is at the peer's end A here. A router behind A complains about a packet of ours.
      const inbound = icmpError(router, far, innerPacket(far, near, 1200), error);
      await subject.fromPeer(seal(inbound), 'udp');
      t.same(hex(await subject.toHost()), [toHex(inbound)]);
      await subject.fromHost(icmpError(router, near, innerPacket(near, far, 1200), error));
      t.equal((await subject.toPeer('udp')).length, 1);
      await subject.fromPeer(seal(icmpError(router, far, innerPacket(near, far, 1200), error)), 'udp');
      await subject.fromHost(icmpError(router, near, innerPacket(far, near, 1200), error));
      t.same(await subject.toHost(), [], 'not what quotes a packet of the wrong direction');
      t.same(await subject.toPeer('udp'), []);
      t.equal(subject.childDrops().selector_mismatch, 1);
      t.equal(subject.drops().no_policy, 1);
    });
  }

  test('packets on an SA whose answer is under way are opened when it is installed', async (t, subject) => {
    const { b } = pairEnds(GCM, { a: subject.peer });
    const seal = peerSeals();
    const inner = [1, 2, 3].map((n) => innerPacket('10.1.0.9', '10.2.0.9', 100 + n));
    await subject.expect(b.spiIn);
    await subject.fromPeer(seal(inner[0]!), 'udp');
    await subject.fromPeer(seal(inner[1]!), 'esp');
    t.same(await subject.toHost(), []);
    t.equal(subject.drops().unknown_spi, 0);
    await subject.install(b);
    await subject.fromPeer(seal(inner[2]!), 'udp');
    t.same(hex(await subject.toHost()), hex(inner), 'in the order of arrival');
    t.equal(subject.childDrops().replay, 0);
  });

  test('early packets are a few, for a moment, and only for SPIs given out', async (t, subject) => {
    const { b } = pairEnds(GCM, { a: subject.peer });
    const seal = peerSeals();
    await subject.fromPeer(seal(TO_B), 'udp');
    t.equal(subject.drops().unknown_spi, 1, 'not given out');
    await subject.expect(b.spiIn);
    await subject.fromPeer(seal(TO_B), 'udp');
    await subject.wait(150);
    t.equal(subject.drops().early, 1, 'too old, and counted');
    for (let i = 0; i < 20; i++) await subject.fromPeer(seal(TO_B), 'udp');
    t.ok(subject.drops().unknown_spi + subject.drops().early > 2, 'no more than a few are kept');
    await subject.forget(b.spiIn);
    const { early, unknown_spi } = subject.drops();
    t.equal(early + unknown_spi, 22, 'every one of them is counted');
    await subject.install(b);
    t.same(await subject.toHost(), []);
    await subject.fromPeer(seal(TO_B), 'udp');
    t.equal((await subject.toHost()).length, 1);
  });

  for (const [name, suite] of [
    ['AES-GCM', GCM],
    ['AES-CBC with HMAC', CBC],
  ] as const) {
    test(`${name}: both ways, unchanged, and the counters are those of inner packets`, async (t, subject) => {
      await subject.install(pairEnds(suite, { a: subject.peer }).b);
      const [seal, open] = [peerSeals(1, suite), peerOpens(suite)];
      const inward = [
        TO_B,
        innerPacket('10.1.0.2', '10.2.0.3', 1300),
        innerPacket('2001:db8:1::1', '2001:db8:2::1', 99),
      ];
      const outward = [TO_A, innerPacket('2001:db8:2::1', '2001:db8:1::1', 500)];
      await subject.wait(4711);
      for (const packet of inward) await subject.fromPeer(seal(packet), 'udp');
      for (const packet of outward) await subject.fromHost(packet);
      t.same(hex(await subject.toHost()), hex(inward));
      t.same(hex((await subject.toPeer('udp')).map(open)), hex(outward));
      t.match(subject.counters(1), {
        id: 1,
        packetsIn: 3,
        bytesIn: 1699,
        packetsOut: 2,
        bytesOut: 800,
        sequenceOut: 2,
      });
      t.equal(subject.counters(1).lastInbound, 5711);
      t.same(nonZero(subject.counters(1).drops), {});
      t.same(nonZero(subject.drops()), {});
      t.same(subject.moved(), []);
    });
  }

  test('outbound packets without an SA have their reasons, and are reported once a second', async (t, subject) => {
    await subject.fromHost(TO_A);
    t.same(nonZero(subject.drops()), { no_policy: 1 });
    await subject.install(pairEnds(GCM, { a: subject.peer, outbound: false }).b);
    await subject.fromHost(TO_A);
    await subject.fromHost(innerPacket('10.2.0.9', '10.9.0.2', 100));
    await subject.fromHost(innerPacket('10.9.0.1', '10.1.0.9', 100));
    await subject.fromHost(TO_A.subarray(0, 19));
    t.same(nonZero(subject.drops()), { no_policy: 3, no_sa: 1, malformed: 1 });
    t.same(subject.acquired(), ['10.1.0.9', '10.9.0.2'], 'each destination once');
    await subject.wait(999);
    await subject.fromHost(TO_A);
    t.equal(subject.acquired().length, 2);
    await subject.wait(1);
    await subject.fromHost(TO_A);
    t.same(subject.acquired().slice(2), ['10.1.0.9'], 'and again a second later');
    t.same(await subject.toPeer('udp'), []);
    await subject.activate(1);
    await subject.fromHost(TO_A);
    t.equal((await subject.toPeer('udp')).length, 1);
    t.equal(subject.counters(1).packetsOut, 1);
  });

  test('inbound packets that are refused are counted with their reasons', async (t, subject) => {
    await subject.install(pairEnds(GCM, { a: subject.peer }).b);
    await subject.fromPeer(new Uint8Array(7).fill(0xee), 'esp');
    await subject.fromPeer(new Uint8Array(60).fill(0xee), 'udp');
    await subject.fromPeer(new Uint8Array(60).fill(0xee), 'esp');
    t.same(nonZero(subject.drops()), { malformed: 1, unknown_spi: 2 });
    const padding = withTrailer(GCM, TO_B, 4);
    padding[padding.length - 3]! ^= 0x40;
    const first = forged(1, withTrailer(GCM, TO_B, 4));
    for (const packet of [
      first,
      first,
      flipped(forged(2, withTrailer(GCM, TO_B, 4))),
      forged(2, withTrailer(GCM, TO_B, 4)).subarray(0, 30),
      forged(3, withTrailer(GCM, TO_B, 59)),
      forged(4, withTrailer(GCM, TO_B, 99)),
      forged(5, padding),
      forged(6, withTrailer(GCM, TO_B.subarray(0, 19), 4)),
    ]) {
      await subject.fromPeer(packet, 'udp');
    }
    t.same(hex(await subject.toHost()), [toHex(TO_B)], 'nothing else reached the host');
    t.same(nonZero(subject.childDrops()), {
      ...{ replay: 1, auth_failed: 1, malformed: 2, dummy: 1, bad_next_header: 1, bad_padding: 1 },
    });
    await subject.wait(500);
    await subject.fromPeer(forged(7, withTrailer(GCM, innerPacket('10.9.0.9', '10.2.0.9', 60), 4)), 'udp');
    t.equal(subject.childDrops().selector_mismatch, 1);
    t.match(
      subject.counters(1),
      { packetsIn: 1, bytesIn: 300, lastInbound: 1500 },
      'authentic: the peer lives',
    );
    await subject.fromPeer(forged(2, withTrailer(GCM, TO_B, 4)), 'udp');
    t.equal((await subject.toHost()).length, 1, 'what was not authentic has not used up its number');
  });

  test('the anti-replay window (RFC 4303 §3.4.3)', async (t, subject) => {
    await subject.install({ ...pairEnds(GCM, { a: subject.peer }).b, replayWindow: 32 });
    for (const [sequence, passes] of [
      [40, true],
      [8, false],
      [9, true],
      [9, false],
      [40, false],
      [41, true],
      [9, false],
      [10, true],
      [0xffffffff, true],
      [42, false],
      [0, false],
    ] as const) {
      await subject.fromPeer(forged(sequence, withTrailer(GCM, TO_B, 4)), 'udp');
      t.equal((await subject.toHost()).length, passes ? 1 : 0, `number ${sequence}`);
    }
    t.same(nonZero(subject.childDrops()), { replay: 6 });
  });

  for (const suite of [GCM, CHACHA]) {
    const { id } = suite.encryption;
    test(`suite ${id}: the term is the upper half of the IV, the sequence number the lower`, async (t, subject) => {
      const opens = [1, 2].map((generation) => peerOpens(suite, generation));
      const ends = (generation: number) => pairEnds(suite, { generation, a: subject.peer }).b;
      await subject.install(ends(1));
      const ivs = async (): Promise<string[]> => {
        const packets = await subject.toPeer('udp');
        for (const packet of packets) {
          const open = opens[readU32(packet, 0) === ends(1).spiOut ? 0 : 1]!;
          t.equal(toHex(open(packet)), toHex(TO_A), 'the peer takes any IV');
        }
        return packets.map((packet) => toHex(packet.subarray(8, 16)));
      };
      await subject.fromHost(TO_A);
      t.same(await ivs(), ['0000000000000001'], 'without high availability it is zero');
      await subject.enterTerm(7);
      await subject.fromHost(TO_A);
      t.same(await ivs(), ['0000000700000002'], 'of a child SA that is there');
      await subject.enterTerm(0xfffffffe);
      await subject.fromHost(TO_A);
      // The same networks: the newer one carries them.
      await subject.install(ends(2));
      await subject.fromHost(TO_A);
      await subject.retire(2);
      await subject.fromHost(TO_A);
      t.same(
        await ivs(),
        ['fffffffe00000003', 'fffffffe00000001', 'fffffffe00000004'],
        'of one that is installed later, and in turns',
      );
    });
  }

  test('no sequence number beyond what is reserved', async (t, subject) => {
    const { b } = pairEnds(GCM, { a: subject.peer });
    await subject.install({ ...b, start: { next: 0x8000_0000, limit: 0x8000_0001, highest: 0 } });
    const sent = async (packets: number): Promise<number[]> => {
      for (let i = 0; i < packets; i++) await subject.fromHost(TO_A);
      return (await subject.toPeer('udp')).map((packet) => readU32(packet, 4));
    };
    t.match(subject.counters(1), { sequenceOut: 0x7fff_ffff, reservedOut: 0x8000_0001 });
    t.same(await sent(3), [0x8000_0000, 0x8000_0001]);
    t.same(nonZero(subject.childDrops()), { not_reserved: 1 });
    await subject.reserve(1, 0x8000_0002);
    t.same(await sent(2), [0x8000_0002], 'the number whose turn it was is not lost');
    await subject.reserve(1, 5);
    t.same(await sent(1), [], 'a limit below what is used');
    t.match(subject.counters(1), { sequenceOut: 0x8000_0002, reservedOut: 5 });
    await subject.reserve(1, LAST_SEQUENCE);
    t.same(await sent(1), [0x8000_0003], 'no limit any more');
    t.same(nonZero(subject.childDrops()), { not_reserved: 3 });
  });

  test('a takeover begins after every number that was reserved, and never goes back', async (t, subject) => {
    // A standby holds it dormant: it has no numbers, and no part in outbound traffic.
    const { b } = pairEnds(GCM, { a: subject.peer, outbound: false });
    await subject.install({ ...b, start: { ...FRESH_START, limit: 0 } });
    await subject.activate(1);
    await subject.fromHost(TO_A);
    t.same(nonZero(subject.childDrops()), { not_reserved: 1 });
    await subject.enterTerm(8);
    await subject.resume(1, { next: 1001, limit: LAST_SEQUENCE, highest: 500 });
    await subject.fromHost(TO_A);
    t.same(
      (await subject.toPeer('udp')).map((one) => toHex(one.subarray(4, 16))),
      ['000003e9'.concat('00000008', '000003e9')],
    );
    for (const [sequence, passes] of [
      [500, false],
      [470, false],
      [503, true],
      [501, true],
      [501, false],
    ] as const) {
      await subject.fromPeer(forged(sequence, withTrailer(GCM, TO_B, 4)), 'udp');
      t.equal((await subject.toHost()).length, passes ? 1 : 0, `number ${sequence}`);
    }
    t.match(subject.counters(1), { highestIn: 503, reservedOut: LAST_SEQUENCE });
    await subject.resume(1, { next: 7, limit: LAST_SEQUENCE, highest: 9 });
    await subject.fromHost(TO_A);
    t.same(
      (await subject.toPeer('udp')).map((one) => readU32(one, 4)),
      [1002],
      'not back outbound',
    );
    await subject.fromPeer(forged(503, withTrailer(GCM, TO_B, 4)), 'udp');
    t.same(await subject.toHost(), [], 'nor inbound');
  });

  test('numbers that are left out (RFC 6311 §5.2)', async (t, subject) => {
    await subject.install(pairEnds(GCM, { a: subject.peer }).b);
    await subject.skipOutbound(1, 0x1_0000);
    await subject.fromHost(TO_A);
    t.same(
      (await subject.toPeer('udp')).map((one) => readU32(one, 4)),
      [0x1_0001],
    );
    await subject.skipOutbound(1, LAST_SEQUENCE);
    await subject.fromHost(TO_A);
    t.same(await subject.toPeer('udp'), [], 'more than there are');
    t.same(nonZero(subject.childDrops()), { sequence_exhausted: 1 });
    t.equal(subject.counters(1).sequenceOut, LAST_SEQUENCE);
  });

  test('octets after the inner packet are padding, and do not count (RFC 4303 §2.7)', async (t, subject) => {
    await subject.install(pairEnds(GCM, { a: subject.peer }).b);
    const padded = new Uint8Array(TO_B.length + 200).fill(0xaa);
    padded.set(TO_B);
    await subject.fromPeer(forged(1, withTrailer(GCM, padded, 4)), 'udp');
    t.same(hex(await subject.toHost()), [toHex(TO_B)]);
    t.equal(subject.counters(1).bytesIn, TO_B.length);
  });

  test('a rekey moves traffic without a gap', async (t, subject) => {
    const ends = (generation: number, outbound: boolean) =>
      pairEnds(GCM, { generation, outbound, a: subject.peer }).b;
    await subject.install(ends(1, true));
    await subject.install(ends(2, false));
    const sent = async () => {
      await subject.fromHost(TO_A);
      return spisOf(await subject.toPeer('udp'));
    };
    t.same(await sent(), [0xa000_0001], 'installed only: still the old one');
    await subject.activate(2);
    t.same(await sent(), [0xa000_0002]);
    await subject.retire(2);
    t.same(await sent(), [0xa000_0001], 'back on the one that is left');
    await subject.retire(1);
    t.same(await sent(), []);
    const [old, next] = [peerSeals(1), peerSeals(2)];
    await subject.fromPeer(old(TO_B), 'udp');
    await subject.fromPeer(next(TO_B), 'udp');
    t.equal((await subject.toHost()).length, 2, 'both still receive');
    await subject.remove(1);
    await subject.fromPeer(old(TO_B), 'udp');
    await subject.fromPeer(next(TO_B), 'udp');
    t.equal((await subject.toHost()).length, 1);
    t.equal(subject.drops().unknown_spi, 1);
    t.equal(subject.counters(2).packetsIn, 2);
  });

  test('the peer moves (RFC 7296 §2.23)', async (t, subject) => {
    const { peer, elsewhere } = subject;
    await subject.install(pairEnds(GCM, { a: peer }).b);
    const seal = peerSeals();
    const packets = Array.from({ length: 12 }, () => seal(TO_B));
    await subject.fromPeer(packets[2]!, 'udp');
    for (const packet of [packets[2]!, packets[1]!, flipped(packets[3]!)])
      await subject.fromElsewhere(packet);
    t.same(subject.moved(), [], 'a replay, an older packet and a forged one say nothing');
    await subject.fromElsewhere(packets[3]!);
    await subject.fromElsewhere(packets[4]!);
    t.same(subject.moved(), [{ id: 1, from: elsewhere }], 'reported once');
    await subject.fromHost(TO_A);
    t.equal((await subject.toPeer('udp')).length, 1, 'nothing changes by itself');
    await subject.fromPeer(packets[5]!, 'udp');
    await subject.fromElsewhere(packets[6]!);
    t.equal(subject.moved().length, 2, 'once more after the peer was back');
    await subject.updatePeer(1, elsewhere);
    await subject.updatePeer(99, elsewhere);
    await subject.fromHost(TO_A);
    t.equal((await subject.toElsewhere()).length, 1);
    t.same(await subject.toPeer('udp'), []);
    await subject.fromElsewhere(packets[7]!);
    await subject.fromPeer(packets[8]!, 'esp');
    t.equal(subject.moved().length, 2);
    await subject.fromPeer(packets[9]!, 'udp');
    t.same(subject.moved()[2], { id: 1, from: peer }, 'and back');
    await subject.updatePeer(1, elsewhere);
    await subject.fromPeer(packets[10]!, 'udp');
    t.equal(subject.moved().length, 4, 'an update forgets what was reported');
  });

  test('an SA that sends ESP without UDP has no address that could move', async (t, subject) => {
    await subject.install({ ...pairEnds(GCM, { a: subject.peer }).b, encapsulation: 'esp' });
    await subject.fromElsewhere(peerSeals()(TO_B));
    t.equal((await subject.toHost()).length, 1);
    t.same(subject.moved(), []);
  });

  const WHOLE = { snap: 65_535, inner: true, dropped: true };

  test('a tap gets what passes, inside and outside, in both forms', async (t, subject) => {
    for (const [generation, form] of [
      [1, 'udp'],
      [2, 'esp'],
    ] as const) {
      const { b } = pairEnds(GCM, { generation, a: subject.peer });
      await subject.install({ ...b, encapsulation: form });
      const tap = subject.tap(WHOLE);
      tap.watch(generation);
      const sealed = peerSeals(generation)(TO_B);
      await subject.fromPeer(sealed, form);
      await subject.fromHost(TO_A);
      const [left] = await subject.toPeer(form);
      const common = { childId: generation, drop: undefined };
      const inner = { ...common, layer: 'inner' } as const;
      const outer = { ...common, layer: 'outer', form } as const;
      const copies = tap.take();
      t.match(copies, [
        { ...outer, direction: 'in', length: sealed.length },
        { ...inner, direction: 'in', length: TO_B.length },
        { ...inner, direction: 'out', length: TO_A.length },
        { ...outer, direction: 'out', length: left!.length },
      ]);
      t.same(hex(copies.map(({ bytes }) => bytes)), hex([sealed, TO_B, TO_A, left!]));
      const peers = copies.flatMap((copy) => (copy.layer === 'outer' ? [copy.remote] : []));
      if (form === 'udp') t.same(peers, [subject.peer, subject.peer]);
      else t.same(peers[1], { address: subject.peer.address, port: 0 });
      t.same(tap.take(), [], 'each once');
      tap.close();
      await subject.remove(generation);
    }
  });

  test('a tap gets what is dropped, with the reason', async (t, subject) => {
    const { b } = pairEnds(GCM, { a: subject.peer });
    await subject.install(b);
    const tap = subject.tap(WHOLE);
    tap.watch(b.id);
    const seal = peerSeals();
    const [first, second] = [seal(TO_B), seal(TO_B)];
    const stray = Uint8Array.from(second);
    stray[0]! ^= 1;
    await subject.fromPeer(first, 'udp');
    await subject.fromPeer(first, 'udp');
    await subject.fromPeer(flipped(second), 'udp');
    await subject.fromPeer(stray, 'udp');
    await subject.fromHost(innerPacket('10.2.0.9', '192.0.2.77', 60));
    t.match(
      tap.take().map(({ layer, direction, childId, drop }) => [layer, direction, childId ?? 0, drop ?? '']),
      [
        ['outer', 'in', b.id, ''],
        ['inner', 'in', b.id, ''],
        ['outer', 'in', b.id, 'replay'],
        ['outer', 'in', b.id, 'auth_failed'],
        ['outer', 'in', 0, 'unknown_spi'],
        ['inner', 'out', 0, 'no_policy'],
      ],
    );
  });

  test('a tap gets no more than was asked for', async (t, subject) => {
    const { b } = pairEnds(GCM, { a: subject.peer });
    const tap = subject.tap({ snap: 40, inner: false, dropped: false });
    await subject.install(b);
    const seal = peerSeals();
    await subject.fromPeer(seal(TO_B), 'udp');
    t.same(tap.take(), [], 'its child SA is not watched');
    tap.watch(b.id);
    const sealed = seal(TO_B);
    await subject.fromPeer(sealed, 'udp');
    await subject.fromPeer(sealed, 'udp');
    await subject.fromHost(innerPacket('10.2.0.9', '192.0.2.77', 60));
    const copies = tap.take();
    t.same(
      copies.map(({ layer, drop, length }) => [layer, drop, length]),
      [['outer', undefined, sealed.length]],
    );
    t.same(hex(copies.map(({ bytes }) => bytes)), hex([sealed.subarray(0, 40)]));
    tap.close();
    await subject.fromPeer(seal(TO_B), 'udp');
    const again = subject.tap(WHOLE);
    t.same(again.take(), [], 'nothing is left of the one before');
    again.watch(b.id);
    await subject.fromPeer(seal(TO_B), 'udp');
    t.equal(again.take().length, 2);
    again.close();
  });

  test('a child SA may be watched before it is installed', async (t, subject) => {
    const { b } = pairEnds(GCM, { a: subject.peer });
    const tap = subject.tap({ ...WHOLE, inner: false });
    tap.watch(b.id);
    await subject.expect(b.spiIn);
    await subject.fromPeer(peerSeals()(TO_B), 'udp');
    await subject.install(b);
    t.match(tap.take(), [{ layer: 'outer', childId: b.id, drop: undefined }], 'what came early, too');
  });
}
