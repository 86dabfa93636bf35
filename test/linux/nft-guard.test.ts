import { spawnSync } from 'node:child_process';
import t from 'tap';
import { discardedByGuard, type GuardPlan, installGuard, removeGuard } from '../../src/linux/nft-guard.js';
import { hasNftTable } from '../../src/linux/nftables.js';
import { cidrOf, cidrRange, parseIp } from '../../src/util/ip.js';
import { enterOwnNamespace } from '../helpers/own-namespace.js';
import { skipWithoutRoot } from '../helpers/prerequisites.js';

const skip = skipWithoutRoot();
if (!skip) enterOwnNamespace();

const TABLE = 'culvert-test0';

function range(text: string) {
  return cidrRange(cidrOf(text));
}

function plan(
  pairs: readonly (readonly [source: string, destination: string])[],
  peers: readonly string[] = [],
): GuardPlan {
  return {
    devices: ['test0'],
    gateway: parseIp('192.0.2.1')!,
    ports: [500, 4500],
    peers: peers.map((peer) => parseIp(peer)!),
    pairs: pairs.map(([source, destination]) => ({ source: range(source), destination: range(destination) })),
  };
}

/** What nft(8) reads back; undefined where it is not installed. */
function listing(): string | undefined {
  const { status, stdout } = spawnSync('nft', ['list', 'table', 'inet', TABLE], { encoding: 'utf8' });
  return status === 0 ? stdout : undefined;
}

t.test('the guard comes into force as a whole, is replaced as a whole, and goes', { skip }, async (t) => {
  t.notOk(hasNftTable(TABLE));
  removeGuard(TABLE);
  installGuard(
    TABLE,
    plan([
      ['10.2.0.0/24', '10.1.0.0/24'],
      ['10.2.1.0/24', '10.1.0.0/24'],
      ['fd02::/64', 'fd01::/64'],
    ]),
    true,
  );
  t.ok(hasNftTable(TABLE));
  t.equal(discardedByGuard(TABLE), 0);
  const text = listing();
  if (text !== undefined) {
    t.match(text, /elements = \{ 10\.2\.0\.0\/23 \}/, 'ranges that touch are one');
    t.match(text, /iifname "test0" accept/);
    t.match(text, /ip saddr 10\.2\.0\.0-10\.2\.0\.255/);
    t.match(text, /ip6 saddr fd02::-fd02::ffff/);
    t.match(text, /fib saddr \. iif/);
  }
  installGuard(TABLE, plan([]), false);
  t.ok(hasNftTable(TABLE));
  t.notMatch(listing() ?? '', /10\.2\.0\.0|fib/);
  removeGuard(TABLE);
  t.notOk(hasNftTable(TABLE));
  t.throws(() => discardedByGuard(TABLE), { code: 'ENOENT' });
});

t.test(
  'peers inside their own networks: rules for what leaves, and for those pairs alone',
  { skip },
  async (t) => {
    const pairs = [
      ['10.2.0.0/24', '10.1.0.0/24'],
      ['198.51.100.0/24', '10.1.0.0/24'],
      ['2001:db8:2::/48', 'fd01::/64'],
    ] as const;
    installGuard(TABLE, plan(pairs, ['192.0.2.2', '198.51.100.7', '2001:db8:2::7', '203.0.113.9']), true);
    const text = listing();
    if (text !== undefined) {
      t.match(text, /set ipv4_peers[^}]*elements = \{ 198\.51\.100\.7 \}/, 'those outside are no matter');
      t.match(text, /set ipv6_peers[^}]*elements = \{ 2001:db8:2::7 \}/);
      for (const hook of ['forward', 'output'])
        t.match(text, new RegExp(`chain leaving_${hook} \\{\\s+type filter hook ${hook} priority`));
      const [, leaving = ''] = /chain ipv4_leaving_output \{([^}]*)\}/.exec(text) ?? [];
      t.match(
        leaving,
        /ip daddr 198\.51\.100\.0-198\.51\.100\.255 ip saddr 10\.1\.0\.0-10\.1\.0\.255 .*drop/,
      );
      t.notMatch(leaving, /10\.2\.0\.0/);
      t.match(leaving, /sport 4500 return/);
    }
    installGuard(TABLE, plan(pairs, ['192.0.2.2']), true);
    t.notMatch(listing() ?? '', /leaving/);
    removeGuard(TABLE);
  },
);

t.test('a thousand connections are one transaction', { skip }, async (t) => {
  const many = Array.from({ length: 4000 }, (_, i) => {
    return [`10.${100 + (i >> 8)}.${i & 255}.0/25`, `10.${i & 63}.0.0/24`] as const;
  });
  const inside = many.map(([source]) => source.replace('.0/25', '.9'));
  installGuard(TABLE, plan(many, inside), true);
  t.ok(hasNftTable(TABLE));
  removeGuard(TABLE);
});
