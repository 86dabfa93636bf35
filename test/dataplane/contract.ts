import t, { type Test } from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { DropCounts } from '../../src/esp/drops.js';
import type { EspPair } from '../../src/esp/params.js';
import { OutboundSa } from '../../src/esp/seal.js';
import { toHex } from '../../src/util/bytes.js';
import type { Endpoint } from '../../src/util/ip.js';
import { Encr } from '../../src/wire/ike/registry.js';
import { espKeys, findSuite, innerPacket, seededRandom } from '../helpers/esp.js';
import { icmpError, ROUTER_ERRORS } from '../helpers/icmp-errors.js';
import { pairEnds } from '../helpers/portable-plane.js';
import { must } from '../helpers/results.js';

/** A data plane at the end B of `pairEnds`, driven by a test: the host on one side, the peer A on the other. */
export interface Subject {
  /** Where the peer's datagrams come from. */
  readonly peer: Endpoint;
  install(pair: EspPair): Promise<void>;
  remove(id: number): Promise<void>;
  expect(spi: number): Promise<void>;
  forget(spi: number): Promise<void>;
  /** The host sends a packet. */
  fromHost(packet: Uint8Array): Promise<void>;
  /** An ESP packet arrives: in UDP, or as IP protocol 50. */
  fromPeer(packet: Uint8Array, form: 'udp' | 'esp'): Promise<void>;
  /** An ESP packet that the kernel gave to the IKE socket. */
  fromIkeSocket(packet: Uint8Array): Promise<void>;
  /** What the host has got since the last call. */
  toHost(): Promise<Uint8Array[]>;
  /** ESP packets that have left since the last call. */
  toPeer(form: 'udp' | 'esp'): Promise<Uint8Array[]>;
  /** Lets this much time pass. */
  wait(millis: number): Promise<void>;
  /** Of no SA, and of the only SA. */
  drops(): DropCounts;
  childDrops(): DropCounts;
  /** How often a new address of the peer was reported. */
  moved(): number;
  close(): Promise<void>;
}

const GCM = findSuite(Encr.AES_GCM_16, 128);
const crypto = createOpensslBackend();

/** What A seals for B with the keys of `pairEnds`. */
function peerSeals(generation = 1): (packet: Uint8Array) => Uint8Array {
  const { a } = pairEnds(GCM, { generation });
  const keys = espKeys(GCM, `${generation} to b`);
  const sa = new OutboundSa({ spi: a.spiOut, suite: GCM, keys, crypto, random: seededRandom('iv') });
  return (packet) => must(sa.seal(packet));
}

const TO_B = innerPacket('10.1.0.9', '10.2.0.9', 300);
const TO_A = innerPacket('10.2.0.9', '10.1.0.9', 300);
const hex = (packets: readonly Uint8Array[]) => packets.map(toHex);

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
    t.equal(subject.moved(), 0, 'a packet without UDP says nothing about a port');
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
}
