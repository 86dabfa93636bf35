import fc from 'fast-check';
import t from 'tap';
import { createPacketMemory } from '../../../src/esp/offload/packet-memory.js';
import { SPLITTER_SPACE, Splitter, TAIL_ROOM } from '../../../src/esp/offload/split.js';
import {
  checksumFieldWithin,
  clearVirtioHeader,
  createVirtioHeader,
  GsoType,
  readVirtioHeader,
  VIRTIO_HEADER_LENGTH,
  VirtioFlag,
  writeVirtioHeader,
} from '../../../src/esp/offload/virtio.js';
import {
  ACK,
  checksumsHold,
  type FlowPacket,
  ipHeaderLength,
  makePacket,
  naiveSum,
  newMemory,
  PSH,
  seededOctets,
  timestamps,
  transportSum,
} from './packets.js';

const memory = createPacketMemory(newMemory(4));
const { bytes } = memory;
const SCRATCH = 64;
const AT = 8192;
const splitter = new Splitter(memory, SCRATCH);
/** Octets of memory that are looked at for writes outside of the packet. */
const FILLED = 100000;
const CANARIES = new Uint8Array(FILLED).fill(0xa5);

interface Train {
  readonly packet: Uint8Array;
  readonly virtio: Uint8Array;
}

/** What the kernel hands over for the big packet: the checksum field holds the pseudo-header's sum. */
function train(
  fields: FlowPacket,
  gsoSize: number,
  change: { flags?: number; gsoType?: number; headerLength?: number; checksumStart?: number } = {},
): Train {
  const packet = makePacket(fields);
  const tcp = fields.protocol === 'tcp';
  const start = ipHeaderLength(packet);
  const offset = start + (tcp ? 16 : 6);
  const view = new DataView(packet.buffer);
  view.setUint16(offset, 0);
  const whole = transportSum(packet);
  const data = naiveSum(packet, start, packet.length - start);
  // whole = pseudo + data, in one's complement.
  view.setUint16(offset, (whole + (0xffff - data)) % 0xffff || 0xffff);
  const gso = tcp ? (fields.version === 4 ? GsoType.TCPV4 : GsoType.TCPV6) : GsoType.UDP_L4;
  const virtio = new Uint8Array(VIRTIO_HEADER_LENGTH);
  writeVirtioHeader(virtio, 0, {
    flags: change.flags ?? VirtioFlag.NEEDS_CSUM,
    gsoType: change.gsoType ?? gso,
    headerLength: change.headerLength ?? packet.length,
    gsoSize,
    checksumStart: change.checksumStart ?? start,
    checksumOffset: tcp ? 16 : 6,
  });
  return { packet, virtio };
}

/**
 * All segments. As the data plane does, each is used up before the next is asked for: the octets that the ESP
 * trailer may take are overwritten, and so is the segment itself.
 */
function split({ packet, virtio }: Train): Uint8Array[] {
  bytes.set(CANARIES);
  bytes.set(virtio, AT);
  bytes.set(packet, AT + VIRTIO_HEADER_LENGTH);
  const length = VIRTIO_HEADER_LENGTH + packet.length;
  const count = splitter.begin(AT, length);
  const out: Uint8Array[] = [];
  while (splitter.next()) {
    const { at, length: size } = splitter;
    if (size > splitter.longest) throw new Error('a segment is longer than announced');
    out.push(bytes.slice(at, at + size));
    bytes.fill(0x5a, at, at + size + TAIL_ROOM);
  }
  if (out.length !== count) throw new Error(`${count} segments announced, ${out.length} made`);
  if (splitter.next()) throw new Error('segments after the last one');
  const untouched = (from: number, to: number): boolean =>
    Buffer.compare(bytes.subarray(from, to), CANARIES.subarray(0, to - from)) === 0;
  if (
    !untouched(0, SCRATCH) ||
    !untouched(SCRATCH + SPLITTER_SPACE, AT) ||
    !untouched(AT + length + TAIL_ROOM, FILLED)
  ) {
    throw new Error('octets outside of the packet were written');
  }
  return out;
}

t.test('virtio-net header', async (t) => {
  const header = {
    flags: 1,
    gsoType: 0x81,
    headerLength: 0x0102,
    gsoSize: 0x0304,
    checksumStart: 0x0506,
    checksumOffset: 0x0708,
  };
  const octets = new Uint8Array(14).fill(0xee);
  writeVirtioHeader(octets, 2, header);
  t.same([...octets], [0xee, 0xee, 1, 0x81, 2, 1, 4, 3, 6, 5, 8, 7, 0xee, 0xee]);
  const back = createVirtioHeader();
  readVirtioHeader(octets, 2, back);
  t.same(back, header);
  clearVirtioHeader(octets, 2);
  t.same([...octets], [0xee, 0xee, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xee, 0xee]);
  const field = { ...createVirtioHeader(), checksumStart: 20, checksumOffset: 16 };
  t.ok(checksumFieldWithin(field, 38));
  t.notOk(checksumFieldWithin(field, 37));
});

for (const version of [4, 6] as const) {
  t.test(`TCP over IPv${version}`, async (t) => {
    const payload = seededOctets(3 * 1000 + 17, 7);
    const fields: FlowPacket = {
      version,
      protocol: 'tcp',
      payload,
      id: 0xfffe,
      sequence: 0xfffffff0,
      // CWR, ECE, PSH, FIN
      flags: ACK | PSH | 0x01 | 0x40 | 0x80,
      tcpOptions: timestamps(1000, 2000),
      trafficClass: 0xba,
    };
    const segments = split(train(fields, 1000, { gsoType: (version === 4 ? 1 : 4) | GsoType.ECN }));
    const flags = [ACK | 0xc0, ACK | 0x40, ACK | 0x40, ACK | PSH | 0x41];
    const expected = [0, 1, 2, 3].map((i) =>
      makePacket({
        ...fields,
        payload: payload.subarray(i * 1000, (i + 1) * 1000),
        id: (0xfffe + i) & 0xffff,
        sequence: (0xfffffff0 + i * 1000) >>> 0,
        flags: flags[i]!,
      }),
    );
    t.same(segments, expected);
    t.ok(segments.every(checksumsHold));
    t.equal(splitter.longest, expected[0]!.length);
  });

  t.test(`UDP over IPv${version}`, async (t) => {
    const payload = seededOctets(1000, 9);
    const fields: FlowPacket = { version, protocol: 'udp', payload, id: 5 };
    const expected = [0, 1, 2].map((i) =>
      makePacket({ ...fields, payload: payload.subarray(i * 400, (i + 1) * 400), id: 5 + i }),
    );
    t.same(split(train(fields, 400)), expected);
  });

  t.test(`UDP over IPv${version}: a checksum of zero is sent as all ones`, async (t) => {
    // The last two octets of the payload make the sum of each datagram all ones.
    const cell = (filler: number): Uint8Array => {
      const part = new Uint8Array(8).fill(filler);
      const sum = transportSum(
        makePacket({ version, protocol: 'udp', payload: part, withoutChecksum: true }),
      );
      const word = (filler * 257 + (0xffff - sum)) % 0xffff;
      part.set([word >>> 8, word], 6);
      return part;
    };
    const payload = Uint8Array.from([...cell(0x11), ...cell(0x2f)]);
    const segments = split(train({ version, protocol: 'udp', payload }, 8));
    t.equal(segments.length, 2);
    for (const segment of segments) {
      t.same([...segment.subarray(ipHeaderLength(segment) + 6).subarray(0, 2)], [0xff, 0xff]);
      t.ok(checksumsHold(segment));
    }
  });
}

t.test('IP options and extension headers are repeated', async (t) => {
  // Record route, which has to be in the first fragment only, but segments are no fragments.
  const ipOptions = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 0);
  const v4: FlowPacket = { version: 4, protocol: 'tcp', payload: seededOctets(300, 1), ipOptions };
  const v6: FlowPacket = { version: 6, protocol: 'tcp', payload: seededOctets(300, 1), extension: true };
  for (const fields of [v4, v6]) {
    const expected = [0, 1, 2].map((i) =>
      makePacket({
        ...fields,
        payload: fields.payload.subarray(i * 128, (i + 1) * 128),
        id: i,
        sequence: i * 128,
      }),
    );
    t.same(split(train(fields, 128)), expected, `IPv${fields.version}`);
  }
});

t.test('a super-packet of the greatest length, in segments of one octet and of all of it', async (t) => {
  const payload = seededOctets(65535 - 40, 3);
  for (const size of [1, 100, 536, 1448, 65495, 65535]) {
    const segments = split(train({ version: 4, protocol: 'tcp', payload }, size));
    t.equal(segments.length, Math.ceil(payload.length / size), `${segments.length} segments`);
    const joined = Buffer.concat(segments.map((segment) => segment.subarray(40)));
    t.ok(Buffer.compare(joined, payload) === 0 && segments.every(checksumsHold));
  }
});

t.test('plain packets', async (t) => {
  for (const version of [4, 6] as const) {
    for (const protocol of ['tcp', 'udp'] as const) {
      const fields: FlowPacket = { version, protocol, payload: seededOctets(99, 4) };
      const { packet, virtio } = train(fields, 0, { gsoType: GsoType.NONE });
      t.same(split({ packet, virtio }), [makePacket(fields)], `${protocol} over IPv${version} is completed`);
    }
  }
  const broken = makePacket({ version: 4, protocol: 'tcp', payload: seededOctets(50, 5) });
  broken[37] = broken[37]! ^ 1;
  const plain = new Uint8Array(VIRTIO_HEADER_LENGTH);
  t.same(split({ packet: broken, virtio: plain }), [broken], 'nothing is mended without being asked for');
  const valid = Uint8Array.from(plain);
  valid[0] = VirtioFlag.DATA_VALID;
  t.same(split({ packet: broken, virtio: valid }), [broken]);
  const noChecksum = makePacket({
    version: 4,
    protocol: 'udp',
    payload: seededOctets(5, 5),
    withoutChecksum: true,
  });
  t.same(split({ packet: noChecksum, virtio: plain }), [noChecksum], 'UDP without checksum stays so');

  // A UDP datagram whose sum is all ones.
  const payload = new Uint8Array(4);
  const sum = transportSum(makePacket({ version: 6, protocol: 'udp', payload, withoutChecksum: true }));
  new DataView(payload.buffer).setUint16(2, 0xffff - sum);
  const zero = train({ version: 6, protocol: 'udp', payload }, 0, { gsoType: GsoType.NONE });
  t.same([...split(zero)[0]!.subarray(46, 48)], [0xff, 0xff], 'a computed zero is sent as all ones');
});

t.test('what is refused', async (t) => {
  const fields: FlowPacket = { version: 4, protocol: 'tcp', payload: seededOctets(100, 6) };
  const refused = (given: Train, why: string): void => {
    t.same(split(given), [], why);
    t.equal(splitter.refusal, why);
  };
  refused({ packet: new Uint8Array(0), virtio: new Uint8Array(10) }, 'too short');
  refused(train(fields, 50, { gsoType: 3 }), 'unknown GSO type');
  refused(train(fields, 50, { gsoType: 0x7f }), 'unknown GSO type');
  refused(train(fields, 0), 'no segment size or no payload');
  refused(train({ ...fields, payload: new Uint8Array(0) }, 50), 'no segment size or no payload');
  refused(train(fields, 50, { gsoType: GsoType.TCPV6 }), 'GSO type contradicts the packet');
  refused(train(fields, 50, { gsoType: GsoType.UDP_L4 }), 'GSO type contradicts the packet');
  refused(train({ ...fields, version: 6 }, 50, { gsoType: 1 }), 'GSO type contradicts the packet');
  refused(train(fields, 50, { checksumStart: 24 }), 'checksum start contradicts the packet');
  refused(train({ ...fields, fragment: 0x2000 }, 50), 'not a whole IP packet');
  const late = { gsoType: GsoType.NONE, checksumStart: 200 };
  refused(train(fields, 50, late), 'checksum field outside of the packet');
  for (const offset of [4 << 4, 0, 15 << 4]) {
    const given = train({ ...fields, payload: seededOctets(30, 1) }, 10);
    given.packet[32] = offset;
    refused(given, 'impossible header length');
  }
  const short = train(fields, 50);
  refused({ ...short, packet: short.packet.subarray(0, 100) }, 'not a whole IP packet');
  refused({ ...short, packet: Uint8Array.from([...short.packet, 0]) }, 'not a whole IP packet');
  t.equal(split(train(fields, 50)).length, 2, 'and the splitter still works');
});

t.test('the header length of the kernel is not trusted', async (t) => {
  const fields: FlowPacket = { version: 4, protocol: 'tcp', payload: seededOctets(100, 6) };
  const right = split(train(fields, 30, { headerLength: 40 }));
  for (const headerLength of [0, 39, 100, 140, 65535]) {
    t.same(split(train(fields, 30, { headerLength })), right, `hdr_len ${headerLength}`);
  }
});

t.test('mutated input: no exception, no octet written outside', async () => {
  const samples = (['tcp', 'udp'] as const).flatMap((protocol) =>
    ([4, 6] as const).map((version) =>
      train({ version, protocol, payload: seededOctets(700, 8), tcpOptions: timestamps(1, 2) }, 96),
    ),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...samples),
      fc.array(fc.tuple(fc.nat(79), fc.nat(255)), { maxLength: 6 }),
      fc.nat(900),
      (sample, changes, cut) => {
        const whole = Uint8Array.from([...sample.virtio, ...sample.packet]);
        for (const [at, value] of changes) whole[at] = value;
        const virtio = whole.slice(0, VIRTIO_HEADER_LENGTH);
        const packet = whole.slice(VIRTIO_HEADER_LENGTH, VIRTIO_HEADER_LENGTH + cut);
        // `split` throws when something was written outside.
        split({ packet, virtio });
        return true;
      },
    ),
    { numRuns: 2000 },
  );
});
