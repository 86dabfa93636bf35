import fc from 'fast-check';
import t from 'tap';
import { concat, fromHex, readU16, toHex, writeU16 } from '../../src/util/bytes.js';
import { parseIp } from '../../src/util/ip.js';
import { addToChecksum, checksum, finishChecksum } from '../../src/wire/checksum.js';
import { isIcmpError } from '../../src/wire/icmp.js';
import {
  buildPacket,
  createPacketView,
  destinationOf,
  MAX_EXTENSION_HEADERS,
  NO_PORT,
  readPacket,
} from '../../src/wire/ip.js';
import { tcpHeaderLength } from '../../src/wire/tcp.js';
import {
  buildEcho,
  buildTooBig,
  buildUdpPacket,
  ipv4ChecksumHolds,
  pseudoHeaderSum,
  sourceOf,
  udpDataLength,
} from '../helpers/whole-packets.js';

const A4 = parseIp('10.1.0.1')!;
const B4 = parseIp('10.2.0.2')!;
const A6 = parseIp('2001:db8:1::1')!;
const B6 = parseIp('2001:db8:2::2')!;

/** A view of the packet, or undefined when it is refused. */
function parse(packet: Uint8Array) {
  const view = createPacketView();
  return readPacket(packet, 0, packet.length, view) ? view : undefined;
}

/** An IPv6 packet: fixed header, then what the hexadecimal text says. */
function ipv6(nextHeader: number, hex: string): Uint8Array {
  return buildPacket({ source: A6, destination: B6, protocol: nextHeader }, fromHex(hex));
}

t.test('an IPv4 packet with options, octet by octet', async (t) => {
  const packet = fromHex(
    [
      '46 b8 0020', // version 4, header of 24 octets, DSCP 46, 32 octets in all
      '1234 4000', // identification, DF
      '3f 11 0000', // TTL 63, UDP, checksum not looked at
      '0a010001 0a020002',
      '94040000', // router alert
      '1f90 0035 0008 0000', // UDP 8080 to 53
      'eeee', // behind the packet
    ].join(''),
  );
  const view = createPacketView();
  const buffer = concat(new Uint8Array(3), packet);
  t.ok(readPacket(buffer, 3, packet.length, view));
  const { bytes, ...fields } = view;
  t.equal(bytes, buffer);
  t.same(fields, {
    offset: 3,
    version: 4,
    headerLength: 24,
    totalLength: 32,
    protocol: 17,
    payloadOffset: 27,
    sourceOffset: 15,
    destinationOffset: 19,
    addressLength: 4,
    trafficClass: 0xb8,
    hopLimit: 63,
    dontFragment: true,
    fragmentOffset: 0,
    moreFragments: false,
    sourcePort: 8080,
    destinationPort: 53,
  });
  t.same(sourceOf(view), A4);
  t.same(destinationOf(view), B4);
  t.equal(udpDataLength(view), 0);
});

t.test('what is no whole packet is refused', async (t) => {
  const view = createPacketView();
  const packet = buildUdpPacket({ source: A4, destination: B4 }, 1, 2, fromHex('00'));
  for (let cut = 0; cut < packet.length; cut++) {
    t.equal(readPacket(packet, 0, cut, view), false, `IPv4 cut at ${cut}`);
  }
  const six = ipv6(0, '3c00000000000000 2c00000000000000 1100000000000000 0001000200080000');
  for (let cut = 0; cut < six.length; cut++) {
    t.equal(readPacket(six, 0, cut, view), false, `IPv6 cut at ${cut}`);
  }
  t.equal(readPacket(packet, 0, packet.length + 1, view), false, 'beyond the buffer');
  t.equal(readPacket(packet, -1, packet.length, view), false);
  const change = (at: number, value: number) => {
    const changed = Uint8Array.from(packet);
    changed[at] = value;
    return readPacket(changed, 0, changed.length, view);
  };
  t.equal(change(0, 0x44), false, 'header length below 20');
  t.equal(change(0, 0x4f), false, 'header longer than the packet');
  t.equal(change(0, 0x55), false, 'version 5');
  t.equal(change(3, 19), false, 'total length below the header');
});

t.test('fragments: only the first one has ports', async (t) => {
  const packet = buildUdpPacket(
    { source: A4, destination: B4, dontFragment: false },
    53,
    4000,
    new Uint8Array(8),
  );
  writeU16(packet, 6, 0x2000);
  t.match(parse(packet), { moreFragments: true, fragmentOffset: 0, sourcePort: 53, dontFragment: false });
  t.equal(udpDataLength(parse(packet)!), -1);
  writeU16(packet, 6, 0x2003);
  t.match(parse(packet), { moreFragments: true, fragmentOffset: 24, sourcePort: NO_PORT });
  writeU16(packet, 6, 0x1fff);
  t.match(parse(packet), { moreFragments: false, fragmentOffset: 65528, destinationPort: NO_PORT });
  t.match(parse(ipv6(44, '11000001 00000000 00350fa0 00080000')), {
    protocol: 17,
    moreFragments: true,
    fragmentOffset: 0,
    sourcePort: 53,
    destinationPort: 4000,
  });
  // What stands behind a later fragment's header is data, whatever it looks like.
  t.match(parse(ipv6(44, '3c000009 00000000 ffffffff ffffffff')), {
    protocol: 60,
    fragmentOffset: 8,
    moreFragments: true,
    sourcePort: NO_PORT,
    headerLength: 48,
  });
});

t.test('IPv6 extension headers', async (t) => {
  const all = ipv6(
    0,
    [
      '2b00 000000000000', // hop-by-hop
      '3c00 000000000000', // routing
      '3300 000000000000', // destination options
      '0604 0000 00000001 00000001 000000000000000000000000', // AH of 24 octets
      '01bb0016 00000000 00000000 50020000 00000000',
    ].join(''),
  );
  const view = parse(all)!;
  t.match(view, { protocol: 6, headerLength: 88, payloadOffset: 88, sourcePort: 443, destinationPort: 22 });
  t.equal(tcpHeaderLength(view), 20);
  const chain = (count: number) => ipv6(60, `${'3c00000000000000'.repeat(count - 1)}3b00000000000000`);
  t.match(parse(chain(MAX_EXTENSION_HEADERS)), { protocol: 59, sourcePort: NO_PORT });
  t.equal(parse(chain(MAX_EXTENSION_HEADERS + 1)), undefined, 'too many');
  t.equal(parse(ipv6(60, '1101 000000000000')), undefined, 'a header beyond the packet');
  t.equal(parse(ipv6(60, '11')), undefined);
  t.match(
    parse(buildPacket({ source: A6, destination: B6, protocol: 59, trafficClass: 0xb8 }, new Uint8Array(0))),
    {
      trafficClass: 0xb8,
      hopLimit: 64,
      addressLength: 16,
    },
  );
});

t.test('ports and what stands for them (RFC 4301 §4.4.1.1)', async (t) => {
  const ports = (protocol: number, hex: string) => {
    const view = parse(buildPacket({ source: A4, destination: B4, protocol }, fromHex(hex)))!;
    return [view.sourcePort, view.destinationPort];
  };
  for (const protocol of [6, 17, 132, 136]) t.same(ports(protocol, '01bb0016'), [443, 22], `${protocol}`);
  t.same(ports(6, '01bb00'), [NO_PORT, NO_PORT], 'cut');
  t.same(ports(1, '0800'), [0x0800, 0x0800], 'echo request');
  t.same(ports(1, '08'), [NO_PORT, NO_PORT]);
  t.same(ports(58, '8000'), [0x8000, 0x8000]);
  t.same(ports(135, '3b0105'), [0x0500, 0x0500], 'mobility header');
  t.same(ports(50, 'c1a2b3c400000001'), [NO_PORT, NO_PORT]);
  const view = createPacketView();
  const udp = buildUdpPacket({ source: A4, destination: B4 }, 1, 2, new Uint8Array(0));
  const gre = buildPacket({ source: A4, destination: B4, protocol: 47 }, new Uint8Array(8));
  readPacket(udp, 0, udp.length, view);
  readPacket(gre, 0, gre.length, view);
  t.equal(view.sourcePort, NO_PORT, 'nothing stays from the packet before');
});

t.test('TCP and UDP headers that contradict the packet', async (t) => {
  const tcp = (offset: string, rest = '') =>
    tcpHeaderLength(
      parse(
        buildPacket(
          { source: A4, destination: B4, protocol: 6 },
          fromHex(`01bb0016 00000000 00000000 ${offset}020000 00000000 ${rest}`),
        ),
      )!,
    );
  t.equal(tcp('50'), 20);
  t.equal(tcp('60', '01010101'), 24);
  t.equal(tcp('60'), -1);
  t.equal(tcp('40'), -1);
  const udp = (hex: string) =>
    udpDataLength(parse(buildPacket({ source: A4, destination: B4, protocol: 17 }, fromHex(hex)))!);
  t.equal(udp('00010002 0009 0000 aa'), 1);
  t.equal(udp('00010002 0008 0000 aa'), 0);
  t.equal(udp('00010002 000a 0000 aa'), -1);
  t.equal(udp('00010002 0007 0000 aa'), -1);
  t.equal(udp('00010002 0008'), -1);
  t.equal(
    udpDataLength(parse(buildPacket({ source: A4, destination: B4, protocol: 6 }, new Uint8Array(20)))!),
    -1,
  );
});

t.test('the Internet checksum', async (t) => {
  // RFC 1071 §3 sums 0001 f203 f4f5 f6f7 to ddf2.
  t.equal(checksum(fromHex('0001f203f4f5f6f7'), 0, 8), ~0xddf2 & 0xffff);
  t.equal(checksum(fromHex('0102030405'), 0, 5), checksum(fromHex('010203040500'), 0, 6), 'odd length');
  t.equal(checksum(new Uint8Array(65535).fill(0xff), 0, 65534), 0, 'no overflow');
  t.equal(checksum(new Uint8Array(0), 0, 0), 0xffff);
  // An IPv4 header with known checksum b861.
  t.equal(checksum(fromHex('4500 0073 0000 4000 4011 0000 c0a80001 c0a800c7'), 0, 20), 0xb861);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(100), (bytes, cut) => {
      const at = Math.min(bytes.length, cut) & ~1;
      const parts = addToChecksum(addToChecksum(0, bytes, 0, at), bytes, at, bytes.length - at);
      let slow = 0;
      for (let i = 0; i < bytes.length; i++) {
        slow += i % 2 === 0 ? bytes[i]! * 256 : bytes[i]!;
        if (slow > 0xffff) slow -= 0xffff;
      }
      const expected = ~slow & 0xffff;
      return finishChecksum(parts) === expected && checksum(bytes, 0, bytes.length) === expected;
    }),
    { numRuns: 500, seed: 1 },
  );
});

t.test('built packets parse and their checksums hold', async (t) => {
  const holds = (packet: Uint8Array) => {
    const view = parse(packet)!;
    if (view.version === 4 && !ipv4ChecksumHolds(packet, 0)) return false;
    const length = view.totalLength - view.headerLength;
    const pseudo =
      view.protocol === 1
        ? 0
        : pseudoHeaderSum(packet, view.sourceOffset, view.addressLength, view.protocol, length);
    return finishChecksum(addToChecksum(pseudo, packet, view.payloadOffset, length)) === 0;
  };
  for (const [source, destination] of [
    [A4, B4],
    [A6, B6],
  ] as const) {
    const fields = { source, destination };
    for (const data of [new Uint8Array(0), fromHex('aa'), new Uint8Array(1000).fill(0x5a)]) {
      const udp = buildUdpPacket(fields, 1234, 53, data);
      t.match(parse(udp), { protocol: 17, sourcePort: 1234, destinationPort: 53 });
      t.equal(udpDataLength(parse(udp)!), data.length);
      t.ok(holds(udp));
      for (const kind of ['request', 'reply'] as const) {
        const echo = buildEcho(fields, kind, 0xffff, 2, data);
        t.ok(holds(echo));
        t.equal(
          toHex(echo.subarray(parse(echo)!.payloadOffset + 4, parse(echo)!.payloadOffset + 8)),
          'ffff0002',
        );
      }
    }
  }
  t.match(parse(buildEcho({ source: A4, destination: B4 }, 'request', 1, 1, A4)), { sourcePort: 0x0800 });
  t.match(parse(buildEcho({ source: A6, destination: B6 }, 'reply', 1, 1, A4)), { sourcePort: 129 * 256 });
  t.throws(() => buildPacket({ source: A4, destination: B6, protocol: 6 }, A4), RangeError);
  t.throws(
    () => buildPacket({ source: A4, destination: B4, protocol: 6 }, new Uint8Array(65516)),
    RangeError,
  );
  // A UDP checksum that comes out as zero is sent as ffff (RFC 768).
  const sums = new Set<number>();
  for (let port = 0; port < 0x10000; port++) {
    const packet = buildUdpPacket({ source: A4, destination: B4 }, port, 0, new Uint8Array(0));
    sums.add(readU16(packet, 26));
  }
  t.equal(sums.has(0), false);
  t.ok(sums.has(0xffff));
});

t.test('too big: RFC 1191 and RFC 4443 §3.2', async (t) => {
  const long4 = buildUdpPacket({ source: A4, destination: B4 }, 1, 2, new Uint8Array(1400));
  const answer4 = buildTooBig(parse(long4)!, parseIp('10.1.0.254')!, 1280)!;
  const view4 = parse(answer4)!;
  t.match(view4, { protocol: 1, sourcePort: 0x0304, totalLength: 576 });
  t.same(destinationOf(view4), A4);
  t.equal(readU16(answer4, 26), 1280, 'the MTU');
  t.equal(toHex(answer4.subarray(28, 76)), toHex(long4.subarray(0, 48)), 'the packet is quoted');
  t.equal(checksum(answer4, 20, 556), 0);

  const long6 = buildUdpPacket({ source: A6, destination: B6 }, 1, 2, new Uint8Array(1400));
  const answer6 = buildTooBig(parse(long6)!, parseIp('2001:db8:1::fe')!, 1400)!;
  t.match(parse(answer6), { protocol: 58, sourcePort: 0x0200, totalLength: 1280 });
  t.equal(toHex(answer6.subarray(44, 48)), '00000578');

  const none = (packet: Uint8Array) => buildTooBig(parse(packet)!, parseIp('10.1.0.254')!, 1280);
  t.equal(none(answer4), undefined, 'no error about an error');
  t.ok(isIcmpError(view4));
  t.notOk(isIcmpError(parse(long4)!));
  t.equal(none(answer6), undefined);
  const fragmentable = { source: A4, destination: B4, dontFragment: false };
  t.equal(none(buildUdpPacket(fragmentable, 1, 2, new Uint8Array(1400))), undefined);
  t.ok(none(buildEcho({ source: A4, destination: B4 }, 'request', 1, 1, new Uint8Array(1400))));
  const group = { source: A4, destination: parseIp('224.0.0.5')! };
  t.equal(none(buildUdpPacket(group, 1, 2, new Uint8Array(1400))), undefined);
  const nobody = { source: parseIp('0.0.0.0')!, destination: B4 };
  t.equal(none(buildUdpPacket(nobody, 1, 2, new Uint8Array(1400))), undefined);
  const unspecified = { source: parseIp('::')!, destination: B6 };
  t.equal(buildTooBig(parse(buildUdpPacket(unspecified, 1, 2, A4))!, A6, 1280), undefined);
});

t.test('random octets are either refused or stay inside the buffer', async () => {
  const view = createPacketView();
  fc.assert(
    fc.property(
      fc.constantFrom(0x45, 0x46, 0x60),
      fc.uint8Array({ minLength: 1, maxLength: 120 }),
      (first, bytes) => {
        bytes[0] = first;
        // A plausible length lets most packets come past the first check.
        if (bytes.length > 6)
          writeU16(bytes, first === 0x60 ? 4 : 2, first === 0x60 ? bytes.length - 40 : bytes.length);
        if (!readPacket(bytes, 0, bytes.length, view)) return true;
        const end = view.offset + view.totalLength;
        return end <= bytes.length && view.payloadOffset <= end && view.headerLength <= view.totalLength;
      },
    ),
    { numRuns: 5000, seed: 7 },
  );
});
