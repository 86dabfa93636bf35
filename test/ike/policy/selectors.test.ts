import fc from 'fast-check';
import t from 'tap';
import { selectorWork } from '../../../src/ike/policy/selector-form.js';
import {
  cidrSelector,
  covers,
  narrow,
  narrowWithinBudget,
  sameSelectors,
} from '../../../src/ike/policy/selectors.js';
import { cidrOf, formatIp, parseIp } from '../../../src/util/ip.js';
import type { TrafficSelector } from '../../../src/wire/ike/payloads.js';
import { TsType } from '../../../src/wire/ike/registry.js';

/** `10.1.0.0/24`, `10.1.0.5-10.1.0.9`, each with ` proto/port` or ` proto/low-high` behind it. */
function ts(text: string): TrafficSelector {
  const [network, service] = text.split(' ') as [string, string?];
  let selector: TrafficSelector;
  if (network.includes('/')) {
    selector = cidrSelector(cidrOf(network));
  } else {
    const [start, end] = network.split('-').map((ip) => parseIp(ip)!);
    const tsType = start!.length === 4 ? TsType.IPV4_ADDR_RANGE : TsType.IPV6_ADDR_RANGE;
    selector = {
      tsType,
      protocol: 0,
      startPort: 0,
      endPort: 65535,
      startAddress: start!,
      endAddress: end ?? start!,
    };
  }
  if (service === undefined) return selector;
  const [protocol, ports] = service.split('/') as [string, string?];
  if (ports === undefined) return { ...selector, protocol: Number(protocol) };
  const [low, high] = ports.split('-').map(Number);
  return { ...selector, protocol: Number(protocol), startPort: low!, endPort: high ?? low! };
}

function text(selector: TrafficSelector): string {
  const { startAddress: a, endAddress: b, protocol, startPort, endPort } = selector;
  return `${formatIp(a)}-${formatIp(b)} ${protocol}/${startPort}-${endPort}`;
}

const list = (...texts: readonly string[]) => texts.map(ts);

t.test('narrowing (RFC 7296 §2.9)', async (t) => {
  const cases: readonly [name: string, ours: string[], theirs: string[], expected: string[]][] = [
    ['the same', ['10.1.0.0/24'], ['10.1.0.0/24'], ['10.1.0.0-10.1.0.255 0/0-65535']],
    ['they ask for more', ['10.1.0.0/24'], ['0.0.0.0/0'], ['10.1.0.0-10.1.0.255 0/0-65535']],
    ['they ask for less', ['10.1.0.0/16'], ['10.1.7.0/24'], ['10.1.7.0-10.1.7.255 0/0-65535']],
    ['overlapping ranges', ['10.0.0.1-10.0.0.9'], ['10.0.0.5-10.0.0.20'], ['10.0.0.5-10.0.0.9 0/0-65535']],
    ['nothing common', ['10.1.0.0/24'], ['10.2.0.0/24'], []],
    ['other family', ['10.1.0.0/24'], ['2001:db8::/32'], []],
    [
      'both families',
      ['10.1.0.0/24', '2001:db8::/64'],
      ['::/0'],
      ['2001:db8::-2001:db8::ffff:ffff:ffff:ffff 0/0-65535'],
    ],
    ['protocol and port', ['10.1.0.0/24 6'], ['10.1.0.0/16 0/443'], ['10.1.0.0-10.1.0.255 6/443-443']],
    ['other protocol', ['10.1.0.0/24 6'], ['10.1.0.0/24 17'], []],
    [
      'port ranges',
      ['10.1.0.0/24 17/100-200'],
      ['10.1.0.0/24 17/150-300'],
      ['10.1.0.0-10.1.0.255 17/150-200'],
    ],
    [
      'the selector of a packet first: it is in the wider one',
      ['10.1.0.0/24'],
      ['10.1.0.5 6/443', '10.0.0.0/8'],
      ['10.1.0.0-10.1.0.255 0/0-65535'],
    ],
    ['the selector of a packet only', ['10.1.0.0/24'], ['10.1.0.5 6/443'], ['10.1.0.5-10.1.0.5 6/443-443']],
    [
      'several on both sides, in the order of the proposal',
      ['10.1.0.0/24', '10.2.0.0/24'],
      ['10.2.0.0/16', '10.1.0.0/16', '10.3.0.0/16'],
      ['10.2.0.0-10.2.0.255 0/0-65535', '10.1.0.0-10.1.0.255 0/0-65535'],
    ],
    ['doubles', ['10.1.0.0/24'], ['10.1.0.0/24', '10.1.0.0/24'], ['10.1.0.0-10.1.0.255 0/0-65535']],
    ['OPAQUE within ANY', ['10.1.0.0/24'], ['10.1.0.0/24 6/65535-0'], ['10.1.0.0-10.1.0.255 6/65535-0']],
    ['OPAQUE is no port', ['10.1.0.0/24 6/1-65535'], ['10.1.0.0/24 6/65535-0'], []],
    ['an end before its start', ['10.1.0.0/24'], ['10.1.0.9-10.1.0.5', '10.1.0.0/24 6/9-5'], []],
    ['all of IPv6', ['::/0'], ['::/0'], ['::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 0/0-65535']],
  ];
  for (const [name, ours, theirs, expected] of cases) {
    t.same(narrow(list(...ours), list(...theirs)).map(text), expected, name);
  }
  const none = new Uint8Array(0);
  const unknown: TrafficSelector = {
    tsType: TsType.FC_ADDR_RANGE,
    protocol: 0,
    startPort: 0,
    endPort: 0,
    startAddress: none,
    endAddress: none,
    other: new Uint8Array(20),
  };
  t.same(narrow(list('10.1.0.0/24'), [unknown, ts('10.1.0.0/24')]).map(text), [
    '10.1.0.0-10.1.0.255 0/0-65535',
  ]);
  t.notOk(covers(list('0.0.0.0/0'), [unknown]), 'an unknown selector is covered by nothing');
});

t.test('a side has 32 selectors, or as many as are configured, and its first ones stay', async (t) => {
  const services = Array.from({ length: 40 }, (_, i) => ts(`10.1.0.0/16 6/${1000 + 2 * i}`));
  const narrowed = narrow(list('10.1.0.0/24'), services);
  t.equal(narrowed.length, 32);
  t.equal(text(narrowed[0]!), '10.1.0.0-10.1.0.255 6/1000-1000');
  t.equal(text(narrowed[31]!), '10.1.0.0-10.1.0.255 6/1062-1062');
  const many = Array.from({ length: 255 }, (_, i) => ts(`10.${i}.0.0/24`));
  t.same(narrow(many, many), many, 'as many networks as a connection may have');
  t.same(narrow(many, list('0.0.0.0/0')), many, 'all of them where the peer asks for everything');
  t.same(narrow(many, list('10.9.0.1 6/443', '0.0.0.0/1', '0.0.0.0/0')).map(text), [
    text(ts('10.9.0.0/24')),
    ...many.filter((_, i) => i !== 9).map(text),
  ]);
  const late = Array.from({ length: 254 }, (_, i) => ts(`172.16.${i}.0/24`));
  t.same(narrow(list('10.1.0.0/24'), [...late, ts('10.1.0.0/24')]), list('10.1.0.0/24'), 'however late');
  const crowd = Array.from({ length: 200 }, (_, i) => ts(`10.1.0.${i}-10.1.0.255 6/${i}`));
  t.same(
    narrow(list('10.1.0.0/24'), [ts('10.1.0.7 6/443'), ...crowd.slice(0, 100), ts('10.0.0.0/8')]).map(text),
    ['10.1.0.0-10.1.0.255 0/0-65535'],
    'what holds the selector of the packet comes in its place',
  );
});

/** Selectors that cut one another in all three directions: by address, by protocol and by port. */
function bomb(count: number): TrafficSelector[] {
  const whole = ts('10.1.0.0/16');
  const plates: readonly ((n: number) => TrafficSelector)[] = [
    (n) => ts(`10.1.${2 * n}.0-10.1.${2 * n}.255`),
    (n) => ({ ...whole, protocol: 1 + 2 * n }),
    (n) => ({ ...whole, startPort: 1 + 3 * n, endPort: 2 + 3 * n }),
  ];
  return Array.from({ length: count }, (_, i) => plates[i % 3]!(Math.floor(i / 3)));
}

function pieces(work: () => unknown): number {
  const before = selectorWork.pieces;
  work();
  return selectorWork.pieces - before;
}

t.test('no list costs more than its budget of pieces', async (t) => {
  const most = 255;
  const everything = list('10.1.0.0/16');
  const networks = Array.from({ length: most }, (_, i) => ts(`10.1.${i}.0/24`));
  const nested = Array.from({ length: most }, (_, i) => ts(`10.1.0.${i}-10.1.255.${i}`));
  const services = Array.from({ length: most }, (_, i) => ts(`10.1.0.${i}-10.1.255.${i} 6/${2 * i}`));
  const shapes: Record<string, TrafficSelector[]> = {
    'plates in three directions': bomb(254),
    'few plates': bomb(60),
    'networks within one another': nested,
    'services within one another': services,
    'the same 255 times': Array.from({ length: most }, () => ts('0.0.0.0/0')),
    'all of IPv6 255 times': Array.from({ length: most }, () => ts('::/0')),
    networks,
  };
  for (const [name, shape] of Object.entries(shapes)) {
    for (const configured of [everything, networks, nested]) {
      const cost = pieces(() => narrow(configured, shape));
      t.ok(cost <= 20_000, `${name}: ${cost} pieces to narrow`);
      const other = [...shape].reverse();
      const again = pieces(
        () => covers(shape, other) && sameSelectors(shape, other) && covers(configured, shape),
      );
      t.ok(again <= 20_000, `${name}: ${again} pieces to compare`);
    }
  }
  t.same(narrow(everything, bomb(254)), [], 'too many pieces: nothing is common');
  t.equal(narrowWithinBudget(everything, bomb(254)), undefined, 'which can be told from nothing in common');
  t.same(narrowWithinBudget(everything, list('10.2.0.0/16')), []);
  const child = narrow(networks, networks);
  covers(child, everything);
  t.ok(pieces(() => covers(child, list('10.1.7.0/24'))) < 10, 'what was asked before is known');
});

t.test('covering by several selectors together', async (t) => {
  const cases: readonly [outer: string[], inner: string[], covered: boolean][] = [
    [['10.0.0.0/8'], ['10.1.0.0/24'], true],
    [['10.1.0.0/24'], ['10.0.0.0/8'], false],
    [['10.1.0.0/25', '10.1.0.128/25'], ['10.1.0.0/24'], true],
    [['10.1.0.0/25', '10.1.0.129-10.1.0.255'], ['10.1.0.0/24'], false],
    [['10.1.0.0/24 6', '10.1.0.0/24 17'], ['10.1.0.0/24 6/80'], true],
    [['10.1.0.0/24 6', '10.1.0.0/24 17'], ['10.1.0.0/24'], false],
    [['10.1.0.0/24 6/0-1000', '10.1.0.0/24 6/1001-65535'], ['10.1.0.0/24 6/5-2000'], true],
    [['10.1.0.0/24 6/1-1000', '10.1.0.0/24 6/1001-65535'], ['10.1.0.0/24 6'], false],
    [['10.1.0.0/24', '2001:db8::/32'], ['2001:db8:1::/48', '10.1.0.7'], true],
    [[], ['10.1.0.0/24'], false],
    [['10.1.0.0/24'], [], true],
  ];
  for (const [outer, inner, covered] of cases) {
    t.equal(covers(list(...outer), list(...inner)), covered, `${outer} over ${inner}`);
  }
  t.ok(sameSelectors(list('10.1.0.0/25', '10.1.0.128/25'), list('10.1.0.0/24')));
  t.notOk(sameSelectors(list('10.1.0.0/24'), list('10.1.0.0/25')));
});

/** A small world, so that random selectors meet: addresses 10.0.0.0-15, protocols 0-3, ports of both ends. */
const port = fc.constantFrom(0, 1, 2, 65534, 65535);
const address = fc.integer({ min: 0, max: 15 });
const selector: fc.Arbitrary<TrafficSelector> = fc
  .record({
    protocol: fc.integer({ min: 0, max: 3 }),
    ports: fc.oneof(fc.constant([0, 65535] as const), fc.tuple(port, port)),
    ends: fc.tuple(address, address),
  })
  .map(({ protocol, ports, ends }) => ({
    tsType: TsType.IPV4_ADDR_RANGE,
    protocol,
    startPort: ports[0],
    endPort: ports[1],
    startAddress: new Uint8Array([10, 0, 0, Math.min(...ends)]),
    endAddress: new Uint8Array([10, 0, 0, Math.max(...ends)]),
  }));
const selectors = fc.array(selector, { maxLength: 6 });

interface Packet {
  readonly host: number;
  readonly protocol: number;
  /** Undefined where the packet has none to look at. */
  readonly port: number | undefined;
}
/** One packet for every way in which the selectors of the small world can tell packets apart. */
const packets: Packet[] = Array.from({ length: 16 }, (_, host) => host).flatMap((host) =>
  [1, 2, 3, 4].flatMap((protocol) =>
    [0, 1, 2, 3, 65533, 65534, 65535, undefined].map((p) => ({ host, protocol, port: p })),
  ),
);

/** RFC 4301 §4.4.1.1 read word by word. */
function matches(s: TrafficSelector, packet: Packet): boolean {
  if (packet.host < s.startAddress[3]! || packet.host > s.endAddress[3]!) return false;
  if (s.protocol !== 0 && s.protocol !== packet.protocol) return false;
  if (s.startPort === 0 && s.endPort === 65535) return true;
  if (s.startPort === 65535 && s.endPort === 0) return packet.port === undefined;
  return packet.port !== undefined && s.startPort <= packet.port && packet.port <= s.endPort;
}
const matchesAny = (all: readonly TrafficSelector[], packet: Packet) =>
  all.some((one) => matches(one, packet));

t.test('narrowing gives exactly the packets of both', async () => {
  fc.assert(
    fc.property(selectors, selectors, (ours, theirs) => {
      const result = narrow(ours, theirs);
      const exact = packets.every(
        (packet) => matchesAny(result, packet) === (matchesAny(ours, packet) && matchesAny(theirs, packet)),
      );
      const lean = result.every(
        (one, i) => !covers([one], [result[(i + 1) % result.length]!]) || result.length === 1,
      );
      return exact && lean && covers(ours, result) && covers(theirs, result);
    }),
    { numRuns: 1000 },
  );
});

t.test('covering agrees with the packets matched', async () => {
  fc.assert(
    fc.property(selectors, selectors, (outer, inner) => {
      const expected = packets.every((packet) => !matchesAny(inner, packet) || matchesAny(outer, packet));
      return covers(outer, inner) === expected;
    }),
    { numRuns: 1000 },
  );
});

t.test('a list is the same as itself in another order and in pieces', async () => {
  fc.assert(
    fc.property(fc.array(selector, { minLength: 1, maxLength: 4 }), (all) => {
      const pieces = all.flatMap((one) => {
        const middle = one.startAddress[3]!;
        if (middle === one.endAddress[3]) return [one];
        return [
          { ...one, startAddress: new Uint8Array([10, 0, 0, middle + 1]) },
          { ...one, endAddress: new Uint8Array([10, 0, 0, middle]) },
        ];
      });
      return sameSelectors(all, pieces.reverse());
    }),
  );
});
