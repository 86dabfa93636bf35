import fc from 'fast-check';
import t from 'tap';
import { clampMss, DEFAULT_MSS_CEILING, mssLimit } from '../../../src/esp/offload/mss.js';
import {
  decapsulateEcn,
  ECN_DROP,
  Ecn,
  innerEcn,
  outerTrafficClass,
  setTrafficClass,
} from '../../../src/esp/offload/tos.js';
import { createPacketView, type PacketView, readPacket } from '../../../src/wire/ip.js';
import { ACK, checksumsHold, type FlowPacket, makePacket } from './packets.js';

function parse(packet: Uint8Array): PacketView {
  const view = createPacketView();
  if (!readPacket(packet, 0, packet.length, view)) throw new Error('not a packet');
  return view;
}

const SYN = 0x02;
const MSS_1460 = [2, 4, 0x05, 0xb4];

function syn(version: 4 | 6, tcpOptions: number[], fields: Partial<FlowPacket> = {}): Uint8Array {
  return makePacket({
    version,
    protocol: 'tcp',
    payload: new Uint8Array(0),
    flags: SYN,
    tcpOptions: Uint8Array.from(tcpOptions),
    ...fields,
  });
}

t.test('the MSS to clamp to', async (t) => {
  t.equal(DEFAULT_MSS_CEILING, 1360);
  t.equal(mssLimit(1438, 4), 1360, 'no more than the ceiling');
  t.equal(mssLimit(1400, 4), 1360);
  t.equal(mssLimit(1399, 4), 1359);
  t.equal(mssLimit(1419, 6), 1359, 'the IPv6 header is 20 octets longer');
  t.equal(mssLimit(1438, 4, 9000), 1398);
  t.equal(mssLimit(1438, 6, 9000), 1378);
  t.equal(mssLimit(1438, 4, 500), 500);
  t.equal(mssLimit(0, 4), 28, 'never below what every path carries');
});

t.test('MSS of SYN and SYN-ACK is lowered', async (t) => {
  for (const version of [4, 6] as const) {
    for (const flags of [SYN, SYN | ACK, SYN | 0xc0]) {
      for (const options of [
        MSS_1460,
        // SACK permitted, timestamps, window scale around it, as Linux and Windows send them.
        [...MSS_1460, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7],
        [1, ...MSS_1460, 1, 1, 1],
        [1, 3, 3, 8, ...MSS_1460],
        [3, 3, 7, ...MSS_1460, 0],
      ]) {
        const packet = syn(version, options, { flags });
        const lowered = options.map((octet, i) =>
          octet === 0x05 && options[i + 1] === 0xb4 ? 0x05 : octet === 0xb4 ? 0x50 : octet,
        );
        t.equal(clampMss(parse(packet), 1360), 1460);
        t.same(packet, syn(version, lowered, { flags }), 'the option and the checksum, nothing else');
        t.ok(checksumsHold(packet));
        t.equal(clampMss(parse(packet), 1360), 0, 'once');
      }
    }
  }
});

t.test('what is left alone', async (t) => {
  const same = (packet: Uint8Array, name: string, limit = 1360): void => {
    const before = packet.slice();
    t.equal(clampMss(parse(packet), limit), 0, name);
    t.same(packet, before, name);
  };
  for (const version of [4, 6] as const) {
    same(syn(version, [2, 4, 0x02, 0x18]), 'a smaller MSS is never raised');
    same(syn(version, MSS_1460), 'an equal one stays', 1460);
    same(syn(version, []), 'no option is added');
    same(syn(version, [1, 1, 1, 1]), 'nothing but padding');
    same(syn(version, MSS_1460, { flags: ACK }), 'no SYN');
    same(syn(version, [0, ...MSS_1460, 0, 0, 0]), 'behind the end of options');
    same(syn(version, [2, 3, 0x05, 0xb4]), 'an MSS option of another length');
    same(syn(version, [9, 0, ...MSS_1460, 0, 0]), 'an option of length 0');
    same(syn(version, [9, 1, ...MSS_1460, 0, 0]), 'an option of length 1');
    same(syn(version, [9, 9, ...MSS_1460, 0, 0]), 'an option longer than the header');
    same(syn(version, [1, 1, 1, 2]), 'an option cut off by the header');
    same(makePacket({ version, protocol: 'udp', payload: Uint8Array.from(MSS_1460) }), 'UDP');
  }
  same(syn(4, MSS_1460, { fragment: 0x2000 }), 'a fragment');
  same(syn(4, MSS_1460, { fragment: 0x0001 }), 'a later fragment');
  const wrong = syn(4, MSS_1460);
  wrong[36] = wrong[36]! ^ 1;
  clampMss(parse(wrong), 1360);
  t.notOk(checksumsHold(wrong), 'a wrong checksum stays wrong');
});

t.test('random options: never an exception, checksums hold, the MSS is never raised', async () => {
  fc.assert(
    fc.property(
      fc.constantFrom(4, 6),
      fc.array(fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 8), fc.nat(255)), {
        minLength: 4,
        maxLength: 40,
      }),
      fc.nat(65535),
      (version, octets, limit) => {
        const packet = syn(version as 4 | 6, octets.slice(0, octets.length & ~3));
        const before = packet.slice();
        const old = clampMss(parse(packet), limit);
        const changed = Buffer.compare(before, packet) !== 0;
        return checksumsHold(packet) && (old > limit ? changed : old === 0 && !changed);
      },
    ),
    { numRuns: 1000 },
  );
});

t.test('ECN by RFC 6040', async (t) => {
  const { NOT_ECT, ECT_0, ECT_1, CE } = Ecn;
  // Figure 4: rows are the inner header, columns the outer.
  const columns = [NOT_ECT, ECT_0, ECT_1, CE];
  const rows: [number, number[]][] = [
    [NOT_ECT, [NOT_ECT, NOT_ECT, NOT_ECT, ECN_DROP]],
    [ECT_0, [ECT_0, ECT_0, ECT_1, CE]],
    [ECT_1, [ECT_1, ECT_1, ECT_1, CE]],
    [CE, [CE, CE, CE, CE]],
  ];
  for (const [inner, expected] of rows) {
    columns.forEach((outer, i) => {
      t.equal(innerEcn(0xb8 | inner, 0x28 | outer), expected[i], `inner ${inner} outer ${outer}`);
      for (const version of [4, 6] as const) {
        const packet = makePacket({
          version,
          protocol: 'tcp',
          payload: new Uint8Array(3),
          trafficClass: 0xb8 | inner,
          flowLabel: 0xfffff,
        });
        const view = parse(packet);
        t.equal(decapsulateEcn(view, 0x28 | outer), expected[i] !== ECN_DROP);
        const result = expected[i] === ECN_DROP ? inner : expected[i]!;
        t.equal(parse(packet).trafficClass, 0xb8 | result, 'DSCP stays as it came');
        t.equal(view.trafficClass, 0xb8 | result);
        t.ok(checksumsHold(packet));
      }
    });
  }
  t.equal(outerTrafficClass(0xb8 | CE), 0xb8 | CE, 'normal mode copies');
  t.equal(outerTrafficClass(0xb8 | CE, false), 0xb8, 'compatibility mode');
});

t.test('traffic class', async (t) => {
  for (const version of [4, 6] as const) {
    const fields: FlowPacket = { version, protocol: 'udp', payload: new Uint8Array(9), flowLabel: 0x12345 };
    for (const [from, to] of [
      [0, 0xff],
      [0xff, 0],
      [0x28, 0xba],
    ] as const) {
      const packet = makePacket({ ...fields, trafficClass: from });
      setTrafficClass(parse(packet), to);
      t.same(packet, makePacket({ ...fields, trafficClass: to }));
    }
  }
});
