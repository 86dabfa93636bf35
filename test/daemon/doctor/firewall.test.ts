import { readFileSync } from 'node:fs';
import t from 'tap';
import { readIptablesSave } from '../../../src/daemon/doctor/firewall/iptables-save.js';
import type { Firewall, ProbePacket } from '../../../src/daemon/doctor/firewall/model.js';
import { readNftRuleset } from '../../../src/daemon/doctor/firewall/nft-json.js';
import { askHook } from '../../../src/daemon/doctor/firewall/walk.js';
import { parseIp } from '../../../src/util/ip.js';

function nft(text: string): Firewall & { readonly foreign: ReadonlySet<string> } {
  const read = readNftRuleset(text);
  if (!read.ok) throw new Error(read.error);
  return read.value;
}

const ruleset = nft(
  readFileSync(new URL('../../../fixtures/doctor/nft-stateful.json', import.meta.url), 'utf8'),
);

const ike = (more: Partial<ProbePacket> = {}): ProbePacket => ({
  iif: 'wan',
  protocol: 'udp',
  family: 4,
  source: parseIp('192.0.2.2')!,
  destination: parseIp('192.0.2.1')!,
  sport: 500,
  dport: 500,
  state: 'new',
  ...more,
});
const forwarded = (more: Partial<ProbePacket> = {}): ProbePacket => ({
  iif: 'lan',
  oif: 'culvert0',
  family: 4,
  source: parseIp('10.1.0.2')!,
  destination: parseIp('10.2.0.2')!,
  state: 'new',
  ...more,
});

t.test('a rule set as nft lists it', async (t) => {
  const dropped = askHook(ruleset, 'input', 'filter', ike());
  t.match(dropped, { kind: 'drop', because: ['policy drop of chain inet filter input'] });
  t.equal(dropped.chain?.insert, 'nft insert rule inet filter input');
  t.equal(
    askHook(ruleset, 'input', 'filter', ike({ state: 'established' })).kind,
    'accept',
    'by a verdict map',
  );
  t.equal(askHook(ruleset, 'input', 'filter', ike({ iif: 'lo' })).kind, 'accept');
  t.equal(askHook(ruleset, 'output', 'filter', ike()).kind, 'accept', 'no chain, no rule');
  t.equal(
    askHook(ruleset, 'forward', 'filter', forwarded()).kind,
    'drop',
    'the called chain is for another device',
  );
  t.equal(askHook(ruleset, 'forward', 'filter', forwarded({ oif: 'wan' })).kind, 'accept');
  t.equal(askHook(ruleset, 'forward', 'filter', forwarded({ state: 'established' })).kind, 'accept');
  const peer = { source: parseIp('192.0.2.3')!, oif: 'culvert0' };
  const ntp = askHook(ruleset, 'forward', 'filter', forwarded({ ...peer, protocol: 'udp', dport: 123 }));
  t.equal(ntp.kind, 'accept', 'by a named set and one in place');
  const any = askHook(ruleset, 'forward', 'filter', forwarded(peer));
  t.equal(any.kind, 'unknown', 'what only some packets pass is neither open nor closed');
  t.match(any.because, [
    /ip saddr @peers udp dport \{ 53, 123 \} accept \(nftables: inet filter forward, handle \d+\)/,
  ]);
  t.match(askHook(ruleset, 'postrouting', 'nat', forwarded()), {
    kind: 'nat',
    because: [/ip saddr 10\.1\.0\.0\/24 masquerade/],
  });
  t.equal(askHook(ruleset, 'postrouting', 'nat', forwarded({ source: parseIp('10.3.0.2')! })).kind, 'accept');
});

/** A rule set of one base chain with a policy of drop and these rules. */
const chain = (
  rules: readonly (readonly object[])[],
  policy = 'drop',
  type = 'filter',
  hook = 'forward',
): Firewall =>
  nft(
    JSON.stringify({
      nftables: [
        { table: { family: 'ip', name: 'f' } },
        { chain: { family: 'ip', table: 'f', name: 'c', handle: 1, type, hook, prio: 0, policy } },
        ...rules.map((expr, n) => ({ rule: { family: 'ip', table: 'f', chain: 'c', handle: n + 2, expr } })),
      ],
    }),
  );

t.test('what cannot be read is no verdict', async (t) => {
  const device = { match: { op: '==', left: { meta: { key: 'oifname' } }, right: 'culvert*' } };
  const mark = { match: { op: '==', left: { meta: { key: 'mark' } }, right: 7 } };
  const ask = (firewall: Firewall) => askHook(firewall, 'forward', 'filter', forwarded()).kind;
  t.equal(ask(chain([[device, { accept: null }]])), 'accept', 'a name with a wildcard');
  t.equal(ask(chain([[mark, { accept: null }]])), 'unknown');
  t.equal(ask(chain([[mark, { drop: null }]])), 'drop', 'either way');
  t.equal(ask(chain([[mark, { drop: null }]], 'accept')), 'accept', 'a suspicion is no finding');
  t.equal(ask(chain([[{ xt: null }, { accept: null }]])), 'unknown', 'a match of iptables');
  t.equal(ask(chain([[{ tproxy: {} }]])), 'unknown', 'a statement of which nothing is known');
  t.equal(ask(chain([[{ jump: { target: 'gone' } }]])), 'unknown');
  t.equal(ask(chain([[{ limit: { rate: 1 } }, { accept: null }]])), 'unknown');
  t.equal(ask(chain([[device, { return: null }], [{ accept: null }]])), 'drop', 'back to the policy');
  const nat = (rules: readonly (readonly object[])[]) =>
    askHook(chain(rules, 'accept', 'nat', 'postrouting'), 'postrouting', 'nat', forwarded()).kind;
  t.equal(nat([[{ xt: null }]]), 'unknown', 'a target of iptables may change the source');
  t.equal(nat([[mark, { masquerade: null }]]), 'accept');
  t.same([...chain([[{ xt: null }]])['foreign' as never]], ['ip f'], 'iptables is asked instead');
  const comment = { xt: { type: 'match', name: 'comment' } };
  t.equal(ask(chain([[device, comment, { accept: null }]])), 'accept', 'a comment is no condition');
  t.equal(
    nat([[comment, { xt: { type: 'target', name: 'MASQUERADE' } }]]),
    'nat',
    'a target that has a name',
  );
  t.equal(nat([[{ xt: { type: 'match', name: 'mark' } }, { masquerade: null }]]), 'accept');
  t.notOk(readNftRuleset('nonsense').ok);
  t.notOk(readNftRuleset('{}').ok);
});

t.test('chains that call each other in a circle end', async (t) => {
  t.equal(askHook(chain([[{ jump: { target: 'c' } }]]), 'forward', 'filter', forwarded()).kind, 'unknown');
});

const SAVED = `# Generated by iptables-save v1.8.9
*nat
:PREROUTING ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 10.1.0.0/255.255.255.0 ! -o lan -m comment --comment "to the world" -j MASQUERADE
COMMIT
*filter
:INPUT DROP [12:720]
:FORWARD DROP [0:0]
:ours - [0:0]
[3:180] -A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -p udp -m multiport --dports 500,4500 -s 198.51.100.0/24 -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -j LOG --log-prefix "fwd: "
-A FORWARD -g ours
-A ours -i wg+ -j ACCEPT
-A ours -m set --match-set friends src -j ACCEPT
COMMIT
`;

t.test('rules as iptables-save prints them', async (t) => {
  const chains = readIptablesSave(SAVED, { family: 4, program: 'iptables-legacy' });
  const firewall: Firewall = { chains };
  t.match(askHook(firewall, 'input', 'filter', ike()), {
    kind: 'drop',
    because: [/policy drop of chain .*INPUT/],
  });
  const friend = parseIp('198.51.100.7')!;
  t.equal(askHook(firewall, 'input', 'filter', ike({ source: friend })).kind, 'accept');
  t.equal(askHook(firewall, 'input', 'filter', ike({ source: friend, dport: 501 })).kind, 'drop');
  t.equal(askHook(firewall, 'input', 'filter', ike({ iif: 'lo' })).kind, 'accept');
  t.equal(askHook(firewall, 'forward', 'filter', forwarded({ iif: 'wg7' })).kind, 'accept');
  const set = askHook(firewall, 'forward', 'filter', forwarded());
  t.match(set, {
    kind: 'unknown',
    because: [/--match-set friends src -j ACCEPT \(iptables-legacy, table filter\)/],
  });
  t.equal(askHook(firewall, 'forward', 'filter', forwarded({ state: 'established' })).kind, 'accept');
  const nat = askHook(firewall, 'postrouting', 'nat', forwarded());
  t.match(nat, { kind: 'nat', because: [/-o lan .* -j MASQUERADE/] });
  t.equal(nat.chain?.insert, 'iptables-legacy -t nat -I POSTROUTING');
  t.equal(askHook(firewall, 'postrouting', 'nat', forwarded({ oif: 'lan' })).kind, 'accept');
  const v6 = { family: 6 as const, source: parseIp('2001:db8::1')!, destination: parseIp('2001:db8::2')! };
  t.equal(
    askHook(firewall, 'forward', 'filter', forwarded(v6)).kind,
    'accept',
    'these tables see IPv4 alone',
  );
});
