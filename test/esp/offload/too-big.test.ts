import fc from 'fast-check';
import t from 'tap';
import { Fragmenter } from '../../../src/esp/offload/fragment.js';
import { MAX_ICMPV4_ERROR, MAX_ICMPV6_ERROR, writeTooBig } from '../../../src/esp/offload/icmp-too-big.js';
import { createPacketMemory } from '../../../src/esp/offload/packet-memory.js';
import { parseIp } from '../../../src/util/ip.js';
import { createPacketView, type PacketView, readPacket } from '../../../src/wire/ip.js';
import { buildEcho } from '../../helpers/whole-packets.js';
import {
  type FlowPacket,
  ipHeaderLength,
  makePacket,
  naiveSum,
  newMemory,
  seededOctets,
  transportSum,
} from './packets.js';

const memory = createPacketMemory(newMemory(4));
const { bytes } = memory;
const PACKET_AT = 1001;
const OUT_AT = 100003;
const OUT_SPACE = 66000;
const CANARY = 0xd7;
const ROUTER4 = parseIp('10.1.0.254')!;
const ROUTER6 = parseIp('fd00:1::fe')!;
const content = seededOctets(66000, 31);

function place(packet: Uint8Array): PacketView {
  bytes.fill(CANARY);
  bytes.set(packet, PACKET_AT);
  const view = createPacketView();
  if (!readPacket(bytes, PACKET_AT, packet.length, view)) throw new Error('not a packet');
  return view;
}

/** Nothing but the packet and the slot of this size was touched. */
function contained(packet: Uint8Array, slot: number): boolean {
  const canaries = (from: number, to: number): boolean => {
    for (let i = from; i < to; i++) if (bytes[i] !== CANARY) return false;
    return true;
  };
  return (
    Buffer.compare(bytes.subarray(PACKET_AT, PACKET_AT + packet.length), packet) === 0 &&
    canaries(0, PACKET_AT) &&
    canaries(PACKET_AT + packet.length, OUT_AT) &&
    canaries(OUT_AT + slot, bytes.length)
  );
}

/** The answer to the packet, or undefined when there is none. */
function tooBig(packet: Uint8Array, mtu: number, router = packet[0]! >>> 4 === 4 ? ROUTER4 : ROUTER6) {
  const view = place(packet);
  const length = writeTooBig(memory, view, OUT_AT, mtu, router);
  if (!contained(packet, length)) throw new Error('octets outside of the slot were written');
  return length === 0 ? undefined : bytes.slice(OUT_AT, OUT_AT + length);
}

t.test('fragmentation needed', async (t) => {
  for (const size of [0, 1, 400, 520, 521, 1400, 9000]) {
    const packet = makePacket({ version: 4, protocol: 'tcp', payload: content.subarray(0, size) });
    const answer = tooBig(packet, 1380)!;
    const quoted = Math.min(packet.length, 548);
    t.equal(answer.length, 28 + quoted);
    t.ok(answer.length <= MAX_ICMPV4_ERROR);
    t.equal(naiveSum(answer, 0, 20), 0xffff, 'IP header checksum');
    t.equal(naiveSum(answer, 20, answer.length - 20), 0xffff, 'ICMP checksum');
    t.same([...answer.subarray(12, 16)], [...ROUTER4]);
    t.same([...answer.subarray(16, 20)], [10, 1, 0, 1], 'to the sender');
    t.same([...answer.subarray(20, 22)], [3, 4]);
    t.same([...answer.subarray(24, 28)], [0, 0, 1380 >> 8, 1380 & 255], 'next-hop MTU, RFC 1191 §4');
    t.same(answer.subarray(28), packet.subarray(0, quoted));
    t.equal(answer[1], 0xc0, 'internetwork control');
    t.equal((answer[2]! << 8) | answer[3]!, answer.length);
  }
  const small = makePacket({ version: 4, protocol: 'tcp', payload: content.subarray(0, 100) });
  t.same([...tooBig(small, 20)!.subarray(24, 28)], [0, 0, 0, 68], 'no MTU below the least');
});

t.test('packet too big', async (t) => {
  for (const size of [1300, 1301, 9000]) {
    const packet = makePacket({ version: 6, protocol: 'tcp', payload: content.subarray(0, size) });
    const answer = tooBig(packet, 1380)!;
    const quoted = Math.min(packet.length, 1232);
    t.equal(answer.length, 48 + quoted);
    t.ok(answer.length <= MAX_ICMPV6_ERROR);
    t.equal(transportSum(answer), 0xffff, 'ICMPv6 checksum with pseudo-header');
    t.same([...answer.subarray(8, 24)], [...ROUTER6]);
    t.same(answer.subarray(24, 40), packet.subarray(8, 24), 'to the sender');
    t.same([...answer.subarray(40, 42)], [2, 0]);
    t.same([...answer.subarray(44, 48)], [0, 0, 1380 >> 8, 1380 & 255]);
    t.same(answer.subarray(48), packet.subarray(0, quoted));
  }
  const packet = makePacket({ version: 6, protocol: 'tcp', payload: content.subarray(0, 1300) });
  t.same([...tooBig(packet, 1000)!.subarray(44, 48)], [0, 0, 5, 0], 'RFC 8201 §4: no MTU below 1280');
});

t.test('what is not answered', async (t) => {
  const v4: FlowPacket = { version: 4, protocol: 'udp', payload: content.subarray(0, 1400) };
  const v6: FlowPacket = { version: 6, protocol: 'udp', payload: content.subarray(0, 1400) };
  t.ok(tooBig(makePacket(v4), 1300));
  t.equal(tooBig(makePacket(v4), 1300, ROUTER6), undefined, 'a router of the other family');
  t.equal(tooBig(makePacket(v6), 1300, ROUTER4), undefined);
  t.equal(tooBig(makePacket({ ...v4, fragment: 0 }), 1300), undefined, 'without DF');
  t.ok(tooBig(makePacket({ ...v4, fragment: 0x6000 }), 1300), 'a first fragment');
  t.equal(tooBig(makePacket({ ...v4, fragment: 0x4001 }), 1300), undefined, 'a later fragment');
  const change = (fields: FlowPacket, at: number, ...octets: number[]): Uint8Array => {
    const packet = makePacket(fields);
    packet.set(octets, at);
    return packet;
  };
  t.equal(tooBig(change(v4, 16, 224, 0, 0, 5), 1300), undefined, 'to a group');
  t.equal(tooBig(change(v4, 16, 255, 255, 255, 255), 1300), undefined, 'broadcast');
  t.equal(tooBig(change(v4, 12, 0, 0, 0, 0), 1300), undefined, 'from nobody');
  t.equal(tooBig(change(v4, 12, 224, 0, 0, 1), 1300), undefined, 'from a group');
  t.ok(tooBig(change(v6, 24, 0xff, 0x0e), 1300), 'IPv6 groups need it for their path MTU');
  t.equal(tooBig(change(v6, 8, 0xff, 0x0e), 1300), undefined, 'from an IPv6 group');
  const echo = buildEcho(
    { source: parseIp('10.1.0.1')!, destination: parseIp('10.2.0.1')! },
    'request',
    1,
    1,
    content.subarray(0, 1400),
  );
  t.ok(tooBig(echo, 1300), 'a long ping is answered');
  for (const type of [3, 4, 5, 11, 12]) {
    const error = echo.slice();
    error[20] = type;
    t.equal(tooBig(error, 1300), undefined, `ICMP type ${type}`);
  }
  const answer = tooBig(makePacket(v6), 1300)!;
  t.equal(tooBig(answer, 1300), undefined, 'our own answer');
});

/** All fragments; throws when octets outside of a fragment's slot are written. */
function fragment(packet: Uint8Array, mtu: number): Uint8Array[] {
  const view = place(packet);
  const fragmenter = new Fragmenter(memory);
  const count = fragmenter.begin(view, mtu);
  const out: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    bytes.fill(CANARY, OUT_AT, OUT_AT + OUT_SPACE);
    const length = fragmenter.next(OUT_AT);
    if (length === 0) throw new Error(`fragment ${i} of ${count} is missing`);
    out.push(bytes.slice(OUT_AT, OUT_AT + length));
    if (i < 3 || i === count - 1) {
      if (!contained(packet, length)) throw new Error('octets outside of the slot were written');
    }
  }
  if (fragmenter.next(OUT_AT) !== 0) throw new Error('more fragments than announced');
  return out;
}

/** RFC 791 §3.2 from the other side: the packet as a receiver puts it together. */
function reassemble(fragments: readonly Uint8Array[]): Uint8Array {
  const first = fragments[0]!;
  const headerLength = ipHeaderLength(first);
  const parts: Uint8Array[] = [first.slice(0, headerLength)];
  const start = (((first[6]! << 8) | first[7]!) & 0x1fff) * 8;
  let expected = start;
  fragments.forEach((packet, i) => {
    const field = (packet[6]! << 8) | packet[7]!;
    const header = ipHeaderLength(packet);
    if ((field & 0x1fff) * 8 !== expected) throw new Error(`fragment ${i} is not at ${expected}`);
    if (naiveSum(packet, 0, header) !== 0xffff) throw new Error(`header checksum of fragment ${i}`);
    if (((packet[2]! << 8) | packet[3]!) !== packet.length) throw new Error(`length of fragment ${i}`);
    if ((field & 0x2000) === 0 && i < fragments.length - 1)
      throw new Error(`fragment ${i} says it is the last`);
    parts.push(packet.subarray(header));
    expected += packet.length - header;
  });
  const last = fragments.at(-1)!;
  const out = Buffer.concat(parts);
  out.writeUInt16BE(out.length, 2);
  out.writeUInt16BE((((last[6]! << 8) | last[7]!) & 0xe000) | (start / 8), 6);
  out.writeUInt16BE(0, 10);
  out.writeUInt16BE(0xffff - naiveSum(out, 0, headerLength), 10);
  return new Uint8Array(out);
}

/** Security (copied) and record route (not copied), padded. */
const OPTIONS = Uint8Array.of(130, 4, 1, 2, 7, 7, 4, 0, 0, 0, 0, 1, 148, 4, 0, 0);

t.test('fragments are put together to the same packet', async () => {
  fc.assert(
    fc.property(
      fc.nat(9000),
      fc.integer({ min: 68, max: 2000 }),
      fc.constantFrom(0, 0x2000, 0x0010, 0x2010, 0x2100),
      fc.constantFrom(new Uint8Array(0), OPTIONS, Uint8Array.of(1, 1, 1, 0)),
      (size, mtu, flags, ipOptions) => {
        // All fragments but the last hold whole units, those that are fragmented again too.
        const length = (flags & 0x2000) !== 0 ? size & ~7 : size;
        const packet = makePacket({
          version: 4,
          protocol: 'udp',
          payload: content.subarray(0, length),
          id: 0xabcd,
          fragment: flags,
          ipOptions,
          hopLimit: 9,
          trafficClass: 0x2e,
        });
        const fragments = fragment(packet, mtu);
        if (packet.length <= mtu) return fragments.length === 1 && same(fragments[0]!, packet);
        // Only the first may be shorter than it could be, by less than a unit.
        return (
          fragments.length > 1 &&
          fragments.every((one) => one.length <= mtu && one[8] === 9 && one[1] === 0x2e) &&
          fragments.slice(1, -1).every((one) => one.length > mtu - 8) &&
          same(reassemble(fragments), packet)
        );
      },
    ),
    { numRuns: 150 },
  );
});

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

t.test('options: those with the copied flag go into every fragment', async (t) => {
  const packet = makePacket({
    version: 4,
    protocol: 'udp',
    payload: content.subarray(0, 300),
    fragment: 0,
    ipOptions: OPTIONS,
  });
  const fragments = fragment(packet, 100);
  t.same(fragments[0]!.subarray(20, 36), OPTIONS);
  for (const later of fragments.slice(1)) {
    t.equal(later[0], 0x47);
    t.same([...later.subarray(20, 28)], [130, 4, 1, 2, 148, 4, 0, 0]);
  }
  t.equal(fragments.length, 5);
});

t.test('what is not fragmented', async (t) => {
  const payload = content.subarray(0, 1400);
  t.same(fragment(makePacket({ version: 6, protocol: 'udp', payload }), 1280), [], 'IPv6');
  t.same(fragment(makePacket({ version: 4, protocol: 'udp', payload }), 1280), [], 'DF');
  const plain = makePacket({ version: 4, protocol: 'udp', payload, fragment: 0 });
  t.same(fragment(plain, 27), [], 'no room for a unit');
  t.same(fragment(plain, 0), []);
  t.equal(fragment(plain, 28).length, 176, 'one unit each');
  const beyond = makePacket({ version: 4, protocol: 'udp', payload, fragment: 0x1fff });
  t.same(fragment(beyond, 1280), [], 'ends beyond 65,535 octets');
  const longest = makePacket({
    version: 4,
    protocol: 'udp',
    payload: content.subarray(0, 65507),
    fragment: 0,
  });
  const fragments = fragment(longest, 1500);
  t.equal(fragments.length, 45);
  t.ok(same(reassemble(fragments), longest));
});

t.test('damaged options end the copying, nothing else', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 40, maxLength: 40 }), (ipOptions) => {
      const packet = makePacket({
        version: 4,
        protocol: 'udp',
        payload: content.subarray(0, 200),
        fragment: 0,
        ipOptions,
      });
      return same(reassemble(fragment(packet, 100)), packet);
    }),
    { numRuns: 200 },
  );
});
