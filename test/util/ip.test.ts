import fc from 'fast-check';
import t from 'tap';
import { compareBytes, toHex } from '../../src/util/bytes.js';
import {
  canonicalCidr,
  cidrOf,
  cidrRange,
  formatCidr,
  formatEndpoint,
  formatIp,
  intersectRanges,
  parseCidr,
  parseIp,
  rangeContains,
  rangeToCidrs,
} from '../../src/util/ip.js';

const ipv4 = fc.uint8Array({ minLength: 4, maxLength: 4 });
const ipv6 = fc.uint8Array({ minLength: 16, maxLength: 16 });

t.test('addresses', async (t) => {
  t.equal(toHex(parseIp('192.0.2.1')!), 'c0000201');
  t.equal(toHex(parseIp('2001:db8::1')!), '20010db8000000000000000000000001');
  t.equal(toHex(parseIp('::')!), '0'.repeat(32));
  t.equal(toHex(parseIp('::ffff:192.0.2.1')!), '00000000000000000000ffffc0000201');
  t.equal(toHex(parseIp('1::')!), `0001${'0'.repeat(28)}`);
  const bad = [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '01.2.3.4',
    '1.2.3.4 ',
    ':',
    ':::',
    '1::2::3',
    '12345::',
    'g::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8',
    '::1.2.3',
    '1.2.3.4::',
  ];
  for (const text of bad) t.equal(parseIp(text), undefined, `"${text}" is refused`);
  t.throws(() => formatIp(new Uint8Array(5)), RangeError);
});

t.test('RFC 5952 text', async (t) => {
  t.equal(formatIp(parseIp('2001:0DB8:0:0:1:0:0:1')!), '2001:db8::1:0:0:1', 'the first of two equal runs');
  t.equal(formatIp(parseIp('2001:db8:0:1:1:1:1:1')!), '2001:db8:0:1:1:1:1:1', 'a single zero group stays');
  t.equal(formatIp(parseIp('::')!), '::');
  t.equal(formatIp(parseIp('1::')!), '1::');
  fc.assert(
    fc.property(fc.oneof(ipv4, ipv6), (ip) => {
      t.same(parseIp(formatIp(ip)), ip);
    }),
  );
  t.equal(formatEndpoint({ address: '::1', port: 500 }), '[::1]:500');
  t.equal(formatEndpoint({ address: '192.0.2.1', port: 4500 }), '192.0.2.1:4500');
});

t.test('networks', async (t) => {
  const cidr = cidrOf('10.1.0.0/24');
  t.equal(formatCidr(cidr), '10.1.0.0/24');
  t.same(cidrRange(cidr), { start: parseIp('10.1.0.0'), end: parseIp('10.1.0.255') });
  const refused = (text: string, error: string | RegExp): void => {
    t.match(parseCidr(text), { ok: false, error }, text);
    t.equal(canonicalCidr(text), text, 'there is no other form of it');
    t.throws(() => cidrOf(text), new RegExp(`^${text} `));
  };
  refused('10.1.0.5/24', 'has host bits set: write 10.1.0.0/24');
  refused('10.1.0.0', /is not a CIDR/);
  refused('10.1.0.0/33', /between 0 and 32/);
  refused('10.1.0.0/', /between 0 and 32/);
  refused('2001:db8::/129', /between 0 and 128/);
  refused('10.1/16', /no IP address/);
  const all = cidrOf('::/0');
  t.ok(rangeContains(cidrRange(all), parseIp('2001:db8::1')!));
  t.notOk(rangeContains(cidrRange(all), parseIp('192.0.2.1')!), 'families do not mix');
});

t.test('ranges', async (t) => {
  fc.assert(
    fc.property(ipv4, ipv4, ipv4, ipv4, ipv4, (a, b, c, d, probe) => {
      const [s1, e1] = compareBytes(a, b) <= 0 ? [a, b] : [b, a];
      const [s2, e2] = compareBytes(c, d) <= 0 ? [c, d] : [d, c];
      const both = intersectRanges({ start: s1, end: e1 }, { start: s2, end: e2 });
      const inBoth =
        rangeContains({ start: s1, end: e1 }, probe) && rangeContains({ start: s2, end: e2 }, probe);
      t.equal(both !== undefined && rangeContains(both, probe), inBoth);
      const cidrs = rangeToCidrs({ start: s1, end: e1 });
      t.equal(
        cidrs.some((cidr) => rangeContains(cidrRange(cidr), probe)),
        rangeContains({ start: s1, end: e1 }, probe),
      );
      t.same(cidrRange(cidrs[0]!).start, s1);
      t.same(cidrRange(cidrs.at(-1)!).end, e1);
    }),
    { numRuns: 50 },
  );
  t.same(rangeToCidrs({ start: parseIp('10.0.0.1')!, end: parseIp('10.0.0.6')! }).map(formatCidr), [
    '10.0.0.1/32',
    '10.0.0.2/31',
    '10.0.0.4/31',
    '10.0.0.6/32',
  ]);
  t.same(
    rangeToCidrs({ start: parseIp('::')!, end: parseIp('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')! }).map(
      formatCidr,
    ),
    ['::/0'],
  );
});
