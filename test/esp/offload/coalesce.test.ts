import fc from 'fast-check';
import t from 'tap';
import { createVirtioHeader, GsoType, VirtioFlag } from '../../../src/esp/offload/virtio.js';
import { readPacket } from '../../../src/wire/ip.js';
import {
  ACK,
  checksumsHold,
  type FlowPacket,
  ipHeaderLength,
  makePacket,
  naiveSum,
  PSH,
  seededOctets,
  timestamps,
  transportSum,
} from './packets.js';
import {
  bytes,
  CANARY,
  coalesce,
  coalescer,
  collect,
  ITEMS,
  type Item,
  offer,
  resplit,
  splitter,
  switches,
  view,
} from './trains.js';

const segmentsOf = (items: readonly Item[]): number[] => items.map((item) => item.segments);

const SIZE = 100;
const content = seededOctets(70000, 99);

/** Segment `i` of a flow that sends `SIZE` octets a packet. */
function segment(i: number, fields: Partial<FlowPacket> = {}): Uint8Array {
  return makePacket({
    version: 4,
    protocol: 'tcp',
    payload: content.subarray(i * SIZE, (i + 1) * SIZE),
    id: 1000 + i,
    sequence: (0xffffff00 + i * SIZE) >>> 0,
    ...fields,
  });
}

function datagram(i: number, fields: Partial<FlowPacket> = {}): Uint8Array {
  return segment(i, { protocol: 'udp', ...fields });
}

for (const version of [4, 6] as const) {
  for (const protocol of ['tcp', 'udp'] as const) {
    t.test(`a train of ${protocol} over IPv${version}`, async (t) => {
      const fields: Partial<FlowPacket> = { version, protocol, tcpOptions: timestamps(7, 8) };
      const packets = [0, 1, 2, 3].map((i) => segment(i, fields));
      packets.push(segment(4, { ...fields, payload: content.subarray(400, 430), flags: ACK | PSH }));
      const items = coalesce(packets);
      t.same(segmentsOf(items), [5]);
      const { packet, virtio } = items[0]!;
      const start = version === 4 ? 20 : 40;
      const headerLength = start + (protocol === 'tcp' ? 32 : 8);
      t.same(virtio, {
        flags: VirtioFlag.NEEDS_CSUM,
        gsoType: protocol === 'udp' ? GsoType.UDP_L4 : version === 4 ? GsoType.TCPV4 : GsoType.TCPV6,
        headerLength,
        gsoSize: SIZE,
        checksumStart: start,
        checksumOffset: protocol === 'tcp' ? 16 : 6,
      });
      // The packet as one: same fields, all of the payload. Its checksum field holds the pseudo-header's sum.
      const whole = segment(0, {
        ...fields,
        payload: content.subarray(0, 430),
        ...(protocol === 'tcp' ? { flags: ACK | PSH } : {}),
        withoutChecksum: true,
      });
      const field = start + (protocol === 'tcp' ? 16 : 6);
      const pseudo = (transportSum(whole) + 0xffff - naiveSum(whole, start, whole.length - start)) % 0xffff;
      new DataView(whole.buffer).setUint16(field, pseudo);
      t.same(packet, whole);
      t.same(resplit(items), packets, 'splitting gives the packets again');
    });
  }
}

t.test('what may differ or must not', async (t) => {
  const merged = (first: Partial<FlowPacket>, second: Partial<FlowPacket> = first): boolean => {
    const packets = [segment(0, first), segment(1, second)];
    const items = coalesce(packets);
    t.same(resplit(items), packets);
    return items.length === 1;
  };
  t.ok(merged({}));
  t.ok(merged({}, { flags: ACK | PSH }), 'PSH on the last');
  t.notOk(merged({ flags: ACK | PSH }, {}), 'PSH closes');
  for (const flags of [ACK | 0x01, ACK | 0x02, ACK | 0x04, ACK | 0x20, ACK | 0x40, ACK | 0x80, 0, PSH]) {
    t.notOk(merged({}, { flags }), `flags 0x${flags.toString(16)}`);
    t.notOk(merged({ flags }, {}), `flags 0x${flags.toString(16)} first`);
    t.notOk(merged({ flags }, { flags }), `flags 0x${flags.toString(16)} both`);
  }
  t.notOk(merged({}, { window: 503 }), 'window');
  t.notOk(merged({}, { acknowledgment: 7 }), 'acknowledgment');
  t.notOk(merged({}, { sequence: 5 }), 'gap');
  t.notOk(merged({}, { sourcePort: 40001 }), 'source port');
  t.notOk(merged({}, { destinationPort: 5202 }), 'destination port');
  t.notOk(merged({}, { host: 2 }), 'source');
  t.notOk(merged({}, { hopLimit: 63 }), 'TTL');
  t.notOk(merged({}, { trafficClass: 0x04 }), 'DSCP');
  t.notOk(merged({ trafficClass: 2 }, { trafficClass: 3 }), 'ECN');
  t.notOk(merged({}, { fragment: 0 }), 'DF');
  t.notOk(merged({ fragment: 0 }, {}), 'DF the other way');
  t.ok(merged({ fragment: 0 }), 'no DF on either, ids counting');
  t.notOk(merged({}, { fragment: 0x2000 }), 'MF');
  t.notOk(merged({ fragment: 0x2000 }), 'MF on both');
  t.notOk(merged({ fragment: 0x8000 }), 'reserved flag');
  t.notOk(merged({ fragment: 0xc000 }), 'reserved flag and DF');
  t.notOk(merged({}, { fragment: 0x4001 }), 'fragment offset');
  t.notOk(merged({ id: 9 }, { id: 11 }), 'ids with a gap');
  t.notOk(merged({ id: 9, fragment: 0 }, { id: 9, fragment: 0 }), 'the same id without DF');
  t.ok(merged({ id: 0xffff }, { id: 0 }), 'ids wrap');
  t.ok(merged({ tcpOptions: timestamps(1, 2) }));
  t.notOk(merged({ tcpOptions: timestamps(1, 2) }, { tcpOptions: timestamps(1, 3) }), 'timestamps');
  t.notOk(merged({ tcpOptions: timestamps(1, 2) }, {}), 'length of options');
  t.notOk(merged({ ipOptions: new Uint8Array(4).fill(1) }), 'IP options');
  t.notOk(merged({ payload: new Uint8Array(0), sequence: 5 }), 'no payload');
  const v6 = { version: 6 } as const;
  t.ok(merged(v6));
  t.notOk(merged(v6, { ...v6, hopLimit: 63 }), 'hop limit');
  t.notOk(merged(v6, { ...v6, trafficClass: 1 }), 'traffic class');
  t.notOk(merged(v6, { ...v6, flowLabel: 1 }), 'flow label');
  t.ok(merged({ ...v6, flowLabel: 0xabcde }));
  t.notOk(merged({ ...v6, extension: true }), 'extension header');
  t.notOk(merged({}, v6), 'version');
  const udp = { protocol: 'udp' } as const;
  t.ok(merged(udp));
  t.notOk(merged(udp, { ...udp, hopLimit: 63 }), 'UDP TTL');
  t.notOk(merged(udp, { ...udp, sourcePort: 1 }), 'UDP port');
  t.notOk(merged({ ...udp, withoutChecksum: true }), 'UDP without checksum');
  t.notOk(merged({}, udp), 'protocol');
});

t.test('atomic datagrams with one id: as macOS sends them', async (t) => {
  const packets = [0, 1, 2].map((i) => segment(i, { id: 0 }));
  t.same(segmentsOf(coalesce(packets)), [3]);
  const mixed = [segment(0, { id: 0 }), segment(1, { id: 0 }), segment(2, { id: 2 })];
  t.same(segmentsOf(coalesce(mixed)), [2, 1], 'either all the same or counting');
  const late = [segment(0, { id: 0 }), segment(1, { id: 1 }), segment(2, { id: 1 })];
  t.same(segmentsOf(coalesce(late)), [2, 1]);
});

t.test('sizes', async (t) => {
  const sized = (...sizes: number[]): Uint8Array[] => {
    let at = 0;
    return sizes.map((size, i) => {
      const packet = segment(0, { id: i, sequence: at, payload: content.subarray(at, at + size) });
      at += size;
      return packet;
    });
  };
  const both = (packets: Uint8Array[]): number[] => {
    const items = coalesce(packets);
    t.same(resplit(items), packets);
    return segmentsOf(items);
  };
  t.same(both(sized(100, 100, 50, 100)), [3, 1], 'a shorter one is the last');
  t.same(both(sized(100, 101)), [1, 1], 'a longer one never follows');
  t.same(both(sized(10, 10, 10)), [3], 'payload shorter than the header');
  t.same(both(sized(1, 1)), [2]);
  t.same(both(sized(...new Array<number>(47).fill(1448))), [45, 2], 'no more than 65,535 octets');
  t.same(both(sized(32768, 32727)), [2], '65,535 exactly');
  t.same(both(sized(32768, 32728)), [1, 1], 'and one more');
  const udp = Array.from({ length: 130 }, (_, i) => datagram(i));
  t.same(both(udp), [64, 64, 2], 'a UDP train has at most 64');
});

t.test('nothing overtakes within a flow', async (t) => {
  const bare = segment(2, { payload: new Uint8Array(0) });
  const other = (i: number): Uint8Array => segment(i, { sourcePort: 7 });
  const cases: [string, Uint8Array[], number[]][] = [
    ['bare ACK', [segment(0), segment(1), bare, segment(2)], [2, 1, 1]],
    ['FIN', [segment(0), segment(1, { flags: ACK | 1 }), segment(2)], [1, 1, 1]],
    ['out of order', [segment(1), segment(0), segment(2)], [1, 1, 1]],
    ['retransmission', [segment(0), segment(1), segment(1), segment(2)], [2, 2]],
    ['other flows between', [segment(0), other(0), segment(1), other(1), segment(2)], [3, 2]],
    ['a later fragment', [segment(0), segment(9, { fragment: 0x0010 }), segment(1)], [1, 1, 1]],
    [
      'a fragment of UDP between TCP',
      [segment(0), datagram(9, { fragment: 0x2000 }), segment(1), datagram(10)],
      [2, 1, 1],
    ],
  ];
  for (const [name, packets, expected] of cases) {
    const items = coalesce(packets);
    t.same(segmentsOf(items), expected, name);
    // By protocol and source port.
    const flow = (list: Uint8Array[], protocol: number, port: number): Uint8Array[] =>
      list.filter((packet) => packet[9] === protocol && ((packet[20]! << 8) | packet[21]!) === port);
    for (const protocol of [6, 17]) {
      for (const port of [7, 40000]) {
        t.same(flow(resplit(items), protocol, port), flow(packets, protocol, port), name);
      }
    }
  }
});

t.test('damaged packets pass alone and unchanged', async (t) => {
  const damage = (packet: Uint8Array, at: number): Uint8Array => {
    packet[at] = packet[at]! ^ 0x20;
    return packet;
  };
  for (const version of [4, 6] as const) {
    for (const protocol of ['tcp', 'udp'] as const) {
      const name = `${protocol} over IPv${version}`;
      const make = (i: number): Uint8Array => segment(i, { version, protocol });
      const last = make(0).length - 1;
      const first = [damage(make(0), last), make(1), make(2)];
      let items = coalesce(first);
      t.same(segmentsOf(items), [1, 2], `${name}: the first`);
      t.same(items[0]!.packet, first[0]);
      t.same(items[0]!.virtio, createVirtioHeader());
      const second = [make(0), damage(make(1), last), make(2), make(3)];
      items = coalesce(second);
      t.same(segmentsOf(items), [1, 1, 2], `${name}: the second`);
      t.same(items[1]!.packet, second[1]);
    }
  }
  // TTL, so that the header checksum is wrong and the transport's right.
  const header = [segment(0), segment(1)];
  for (const packet of header) packet[8] = 63;
  t.same(segmentsOf(coalesce(header)), [1, 1], 'IPv4 header checksum');
});

t.test('rejected packets leave nothing behind', async (t) => {
  bytes.fill(CANARY);
  offer(segment(0));
  offer(segment(1));
  for (const size of [1, 60, 1400, 66000]) {
    const at = coalescer.target(size);
    bytes.fill(0xee, at, at + size);
    coalescer.reject(size);
  }
  const from = coalescer.packetAt(0) + 40 + 2 * SIZE;
  t.ok(
    bytes.subarray(from, from + 1000).every((octet) => octet === 0),
    'wiped',
  );
  // Nobody says what happened to this one.
  const at = coalescer.target(200);
  bytes.fill(0xee, at, at + 30);
  offer(segment(2));
  const items: Item[] = [];
  collect(items);
  t.same(segmentsOf(items), [3]);
  t.same(resplit(items), [segment(0), segment(1), segment(2)]);
  coalescer.reject(100);
  t.same(coalescer.count, 0, 'a rejection without a target does nothing');
});

t.test('overlap: the target lies so that no payload has to move', async (t) => {
  bytes.fill(CANARY);
  offer(segment(0));
  const start = coalescer.packetAt(0);
  t.equal(coalescer.target(200), start + 40 + SIZE - 40);
  t.equal(coalescer.target(40), coalescer.packetAt(1), 'too short to go on');
  t.equal(coalescer.target(66047), coalescer.packetAt(1), 'too long to lie behind');
  offer(segment(1, { flags: ACK | PSH }));
  t.equal(coalescer.target(200), coalescer.packetAt(1), 'the item is closed');
  t.throws(() => {
    readPacket(bytes, start, 240, view);
    coalescer.accept(view);
  }, RangeError);
  coalescer.clear();
});

t.test('what the kernel refuses to take as a train is split again where it stands', async (t) => {
  const packets = Array.from({ length: 45 }, (_, i) =>
    segment(0, {
      id: i,
      sequence: i * 1448,
      payload: content.subarray(i * 1448, (i + 1) * 1448),
      sourcePort: i < 40 ? 1 : 2,
    }),
  );
  for (const packet of packets) offer(packet);
  coalescer.finish();
  t.equal(coalescer.count, 2);
  const out: Uint8Array[] = [];
  for (let i = 0; i < coalescer.count; i++) {
    t.equal(splitter.begin(coalescer.itemAt(i), coalescer.itemLength(i)), coalescer.segments(i));
    while (splitter.next()) out.push(bytes.slice(splitter.at, splitter.at + splitter.length));
  }
  coalescer.clear();
  t.same(out, packets);
});

t.test('full', async (t) => {
  for (let i = 0; i < ITEMS; i++) t.ok(offer(segment(i, { flags: ACK | PSH })));
  t.equal(coalescer.target(100), -1);
  const items: Item[] = [];
  collect(items);
  t.equal(items.length, ITEMS);
  t.ok(coalescer.target(100) > 0);
  coalescer.clear();
});

t.test('switches', async (t) => {
  const packets = [segment(0), segment(1), datagram(0), datagram(1)];
  switches.udp = false;
  t.same(segmentsOf(coalesce(packets)), [2, 1, 1]);
  switches.tcp = false;
  const items = coalesce(packets);
  t.same(segmentsOf(items), [1, 1, 1, 1]);
  t.same(
    items.map((item) => item.packet),
    packets,
  );
  switches.udp = true;
  t.same(segmentsOf(coalesce(packets)), [1, 1, 2]);
  switches.tcp = true;
});

/** A step of one of four flows: what its next packet is like. */
const step = fc.record({
  flow: fc.nat(3),
  size: fc.constantFrom(0, 1, 9, 100, 100, 100, 100, 1400, 1400, 9000),
  push: fc.boolean(),
  odd: fc.constantFrom(
    'none',
    'none',
    'none',
    'none',
    'none',
    'none',
    'fin',
    'gap',
    'back',
    'ack',
    'ttl',
    'damage',
    'fragment',
    'window',
  ),
});

const FLOWS = [
  { version: 4, protocol: 'tcp', sourcePort: 1, tcpOptions: timestamps(5, 6) },
  { version: 6, protocol: 'tcp', sourcePort: 2 },
  { version: 4, protocol: 'udp', sourcePort: 3 },
  { version: 6, protocol: 'udp', sourcePort: 4 },
] as const;

interface Sent {
  readonly flow: number;
  readonly packet: Uint8Array;
}

/** The packets of a burst, in the order of their arrival. */
function burst(steps: readonly { flow: number; size: number; push: boolean; odd: string }[]): Sent[] {
  const state = FLOWS.map(() => ({ at: 0, id: 65530, acknowledgment: 1, window: 500 }));
  return steps.map(({ flow, size, push, odd }) => {
    const s = state[flow]!;
    if (odd === 'gap') s.at += 100;
    if (odd === 'back') s.at = Math.max(0, s.at - size);
    if (odd === 'ack') s.acknowledgment++;
    if (odd === 'window') s.window++;
    const packet = makePacket({
      ...FLOWS[flow]!,
      payload: content.subarray(s.at % 50000, (s.at % 50000) + size),
      sequence: s.at,
      id: s.id,
      acknowledgment: s.acknowledgment,
      window: s.window,
      flags: ACK | (push ? PSH : 0) | (odd === 'fin' ? 1 : 0),
      hopLimit: odd === 'ttl' ? 9 : 64,
      fragment: odd === 'fragment' ? 0x2000 : 0x4000,
    });
    s.at += size;
    s.id = (s.id + 1) & 0xffff;
    if (odd === 'damage') packet[packet.length - 1] = packet[packet.length - 1]! ^ 1;
    return { flow, packet };
  });
}

function flowOf(packet: Uint8Array): number {
  const at = ipHeaderLength(packet);
  return ((packet[at]! << 8) | packet[at + 1]!) - 1;
}

t.test('split(coalesce(x)) = x in every flow', async (t) => {
  let merges = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60, size: 'max' }), (steps) => {
      const sent = burst(steps);
      const items = coalesce(sent.map(({ packet }) => packet));
      const received = resplit(items);
      merges += sent.length - items.length;
      if (received.length !== sent.length) return false;
      return FLOWS.every((_, flow) => {
        const before = sent.filter((x) => x.flow === flow).map((x) => x.packet);
        const after = received.filter((packet) => flowOf(packet) === flow);
        return Buffer.compare(Buffer.concat(before), Buffer.concat(after)) === 0;
      });
    }),
    { numRuns: 1000 },
  );
  t.ok(merges > 2000, `${merges} merges were tried by it`);
});

t.test('mutated packets: no exception, no octet outside, nothing mended', async (t) => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 2, maxLength: 20, size: 'max' }),
      fc.array(fc.tuple(fc.nat(19), fc.nat(79), fc.nat(255)), { maxLength: 8 }),
      fc.array(fc.tuple(fc.nat(19), fc.nat(1500)), { maxLength: 3 }),
      (steps, changes, cuts) => {
        const packets = burst(steps).map(({ packet }) => packet);
        for (const [which, at, value] of changes) {
          const packet = packets[which % packets.length]!;
          packet[at % packet.length] = value;
        }
        for (const [which, length] of cuts) {
          const i = which % packets.length;
          packets[i] = packets[i]!.subarray(0, Math.max(1, length % (packets[i]!.length + 1)));
        }
        const whole = packets.filter((packet) => readPacket(packet, 0, packet.length, view));
        const taken = whole.map((packet) => {
          readPacket(packet, 0, packet.length, view);
          return packet.subarray(0, view.totalLength);
        });
        const received = resplit(coalesce(packets));
        // As a set: which flow a mutated packet belongs to is not for this test to say.
        const sorted = (list: readonly Uint8Array[]): string[] =>
          list.map((packet) => Buffer.from(packet).toString('latin1')).sort();
        const [a, b] = [sorted(taken), sorted(received)];
        return a.length === b.length && a.every((text, i) => text === b[i]);
      },
    ),
    { numRuns: 1500 },
  );
  t.ok(checksumsHold(segment(0)));
});
