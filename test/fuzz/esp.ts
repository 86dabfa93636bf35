import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { EspSuite } from '../../src/crypto/types.js';
import { createPortableDataPlane } from '../../src/dataplane/portable.js';
import { SelectorSet } from '../../src/esp/selectors.js';
import { equalBytes } from '../../src/util/bytes.js';
import { createPacketView, readPacket } from '../../src/wire/ip.js';
import { makePacket, seededOctets } from '../esp/offload/packets.js';
import { coalesce, resplit } from '../esp/offload/trains.js';
import {
  ESP_SUITES,
  forgeEsp,
  inboundSa,
  innerPacket,
  rawKeys,
  selector,
  suiteName,
  supportsSuite,
  TEST_SPI,
  withTrailer,
} from '../helpers/esp.js';
import { mutate } from '../helpers/ike-corpus.js';
import { A, B, pairEnds, TestDevice, TestListener } from '../helpers/portable-plane.js';
import { skipWithoutFfi } from '../helpers/prerequisites.js';
import type { SeededRandom } from '../helpers/seeded-random.js';
import { type FuzzPart, hold, pick } from './part.js';

const PACKETS = 20;
const crypto = createOpensslBackend();
const SUITES = ESP_SUITES.filter((suite) => supportsSuite(crypto, suite));
const withoutFfi = skipWithoutFfi();
const OURS = ['10.1.0.1', '2001:db8:1::1'] as const;
const THEIRS = ['10.2.0.1', '2001:db8:2::1'] as const;
const view = createPacketView();

/** What a peer might seal: a packet that fits, changed, with a trailer that may be changed as well. */
function plaintext(suite: EspSuite, random: SeededRandom): Uint8Array {
  const next = (below: number): number => random.below(below);
  const six = random.below(2);
  const packet = innerPacket(THEIRS[six]!, OURS[six]!, 60 + random.below(1300));
  const inside = random.below(3) === 0 ? packet : mutate(packet, next);
  const nextHeader = random.below(8) === 0 ? random.below(256) : [4, 41][six]!;
  const whole = withTrailer(suite, inside, nextHeader);
  if (random.below(3) === 0) {
    for (let n = random.below(4); n >= 0; n--) whole[whole.length - 1 - random.below(20)] = random.below(256);
  }
  return whole;
}

/** What comes out of an SA for A must be a packet from the peer's networks to ours. */
function judgeInner(packet: Uint8Array): void {
  hold(readPacket(packet, 0, packet.length, view), 'what was let in is no packet');
  hold(view.totalLength === packet.length, 'what was let in has octets behind it');
  const [source, destination] = view.version === 4 ? ['0a02', '0a01'] : ['20010db80002', '20010db80001'];
  const at = view.version === 4 ? 12 : 8;
  const hex = (from: number) => Buffer.from(packet.subarray(from, from + source.length / 2)).toString('hex');
  hold(hex(at) === source, 'the source is none of the peer');
  hold(hex(at + (view.version === 4 ? 4 : 16)) === destination, 'the destination is none of ours');
}

/** The engine-independent SA, in every suite. */
function openPlaintexts(random: SeededRandom): number {
  const suite = pick(random, SUITES);
  const sides = (list: readonly string[]) => list.map((network) => selector(network));
  const selectors = new SelectorSet(
    sides(['10.1.0.0/16', '2001:db8:1::/48']),
    sides(['10.2.0.0/16', '2001:db8:2::/48']),
  );
  const inbound = inboundSa(crypto, suite, { selectors });
  for (let sequence = 1; sequence <= PACKETS; sequence++) {
    const packet = forgeEsp(
      crypto,
      suite,
      rawKeys(suite),
      { spi: TEST_SPI, sequence },
      plaintext(suite, random),
    );
    if (random.below(5) === 0) inbound.open(mutate(packet, (below) => random.below(below)));
    const opened = inbound.open(packet);
    if (opened.ok) judgeInner(opened.value);
  }
  const good = innerPacket(THEIRS[0], OURS[0], 100);
  const last = { spi: TEST_SPI, sequence: PACKETS + 1 };
  const opened = inbound.open(forgeEsp(crypto, suite, rawKeys(suite), last, withTrailer(suite, good, 4)));
  hold(
    opened.ok && equalBytes(opened.value, good),
    `${suiteName(suite)}: the SA does not open good packets any more`,
  );
  return PACKETS;
}

/** The portable packet path, both directions. */
function portablePath(random: SeededRandom): number {
  const suite = pick(random, SUITES);
  const device = new TestDevice();
  const listener = new TestListener();
  const sent: Uint8Array[] = [];
  const plane = createPortableDataPlane({
    crypto,
    random,
    device,
    listener,
    now: () => 1000,
    send: (_local, _remote, bytes) => void sent.push(bytes),
  });
  plane.install(pairEnds(suite).a);
  const keys = rawKeys(suite, '1 to a');
  const spi = 0xa000_0001;
  for (let sequence = 1; sequence <= PACKETS; sequence++) {
    const packet = forgeEsp(crypto, suite, keys, { spi, sequence }, plaintext(suite, random));
    const bytes = random.below(6) === 0 ? mutate(packet, (below) => random.below(below)) : packet;
    plane.espDatagram(A, B, bytes);
    device.inject(mutate(innerPacket(OURS[0], THEIRS[0], 100), (below) => random.below(below)));
  }
  for (const packet of device.written) judgeInner(packet);
  const written = device.written.length;
  const good = innerPacket(THEIRS[0], OURS[0], 100);
  const last = { spi, sequence: PACKETS + 1 };
  plane.espDatagram(A, B, forgeEsp(crypto, suite, keys, last, withTrailer(suite, good, 4)));
  hold(device.written.length === written + 1, 'the portable path does not let good packets in any more');
  const before = sent.length;
  device.inject(innerPacket(OURS[0], THEIRS[0], 100));
  hold(sent.length === before + 1, 'the portable path does not send any more');
  hold(listener.failures.length === 0, listener.failures.join('; '));
  return 2 * PACKETS + 2;
}

const CONTENT = seededOctets(70_000, 7);

/** Trains: what is coalesced and split again is what was received, whatever its octets say. */
function trains(random: SeededRandom): number {
  const flows = [0, 1, 2].map((flow) => ({
    version: flow === 2 ? (6 as const) : (4 as const),
    protocol: flow === 1 ? ('udp' as const) : ('tcp' as const),
    sourcePort: 1000 + flow,
  }));
  const at = flows.map(() => 0);
  const packets: Uint8Array[] = [];
  for (let n = 0; n < PACKETS; n++) {
    const flow = random.below(flows.length);
    const size = pick(random, [0, 1, 9, 100, 100, 100, 1400]);
    const packet = makePacket({
      ...flows[flow]!,
      payload: CONTENT.subarray(at[flow], at[flow]! + size),
      sequence: at[flow]!,
      id: 7 + n,
    });
    at[flow]! += size;
    packets.push(random.below(4) === 0 ? mutate(packet, (below) => random.below(below)) : packet);
  }
  const whole = packets.filter((packet) => packet.length > 0);
  const taken = whole.flatMap((packet) =>
    readPacket(packet, 0, packet.length, view) ? [packet.subarray(0, view.totalLength)] : [],
  );
  const text = (list: readonly Uint8Array[]) => list.map((one) => Buffer.from(one).toString('latin1')).sort();
  const [before, after] = [text(taken), text(resplit(coalesce(whole)))];
  hold(before.length === after.length, `${before.length} packets became ${after.length}`);
  hold(
    before.every((packet, i) => packet === after[i]),
    'a packet changed on its way through a train',
  );
  return PACKETS;
}

/** The packet loop with its calls into OpenSSL and the kernel, between sockets in the place of TUN and peer. */
async function ffiLoop(random: SeededRandom): Promise<number> {
  const { Bench, CBC, GCM, inward, keyMaker, readFrom, writeTo } = await import('../helpers/packet-bench.js');
  const suite = pick(random, [GCM, CBC]);
  const bench = new Bench();
  try {
    await bench.start();
    const [keysIn, keysOut] = [keyMaker(suite), keyMaker(suite)];
    bench.install({ suite, keysIn: keysIn(), keysOut: keysOut() });
    const raw = keysIn();
    const keys = {
      encryption: raw.encryption.expose(),
      integrity: raw.integrity?.expose() ?? new Uint8Array(0),
    };
    const forge = (sequence: number, text: Uint8Array) =>
      forgeEsp(crypto, suite, keys, { spi: 0xa0000001, sequence }, text);
    const datagrams: Uint8Array[] = [];
    for (let sequence = 1; sequence <= PACKETS; sequence++) {
      const packet = forge(sequence, plaintext(suite, random));
      datagrams.push(random.below(6) === 0 ? mutate(packet, (below) => random.below(below)) : packet);
    }
    await bench.send(...datagrams.filter((datagram) => datagram.length > 0));
    for (let n = 0; n < PACKETS; n++) {
      const packet = mutate(innerPacket(OURS[0], THEIRS[0], 100), (below) => random.below(below));
      if (packet.length > 0) writeTo(bench.tun, packet);
    }
    await bench.settle();
    for (let packet = readFrom(bench.tun); packet !== undefined; packet = readFrom(bench.tun))
      judgeInner(packet);
    const good = inward(100);
    await bench.send(forge(PACKETS + 1, withTrailer(suite, good, 4)));
    const got = readFrom(bench.tun);
    hold(got !== undefined && equalBytes(got, good), 'the packet loop does not let good packets in any more');
  } finally {
    bench.close();
  }
  return 2 * PACKETS + 1;
}

/**
 * Authentic ESP packets with mutated plaintexts, and mutated ones, through the SA, the portable path, coalescing and
 * splitting, and the packet loop where FFI is there: what comes out is a packet within the selectors or nothing.
 */
export const espPart: FuzzPart = {
  name: 'esp',
  async run(random) {
    const inputs = openPlaintexts(random) + portablePath(random) + trains(random);
    return inputs + (withoutFfi === false ? await ffiLoop(random) : 0);
  },
};
