import { readFileSync } from 'node:fs';
import t from 'tap';
import { type StatusCause, statusReason } from '../../../src/connection/reasons.js';
import type { Facts } from '../../../src/daemon/doctor/facts.js';
import { readIptablesSave } from '../../../src/daemon/doctor/firewall/iptables-save.js';
import { readNftRuleset } from '../../../src/daemon/doctor/firewall/nft-json.js';
import type { PortAnswer } from '../../../src/daemon/doctor/ike-probe.js';
import { judge } from '../../../src/daemon/doctor/judge.js';
import { err, ok } from '../../../src/util/result.js';
import { failing, route, runningFacts, siteFacts, siteFile } from '../../helpers/doctor-facts.js';

const file = siteFile();
const { id } = file.connections[0]!;

const fixture = (name: string): string =>
  readFileSync(new URL(`../../../fixtures/doctor/${name}`, import.meta.url), 'utf8');
/** As in fixtures/doctor/nft-stateful.json, but for the chains of these names. */
function rules(...left: readonly string[]) {
  const read = readNftRuleset(fixture('nft-stateful.json'));
  if (!read.ok) throw new Error(read.error);
  return ok({ chains: read.value.chains.filter(({ name }) => left.includes(name)) });
}
const legacy = (text: string) =>
  ok({ chains: readIptablesSave(text, { family: 4, program: 'iptables-legacy' }) });

const failed = (cause: StatusCause, message: string) =>
  siteFacts({ running: failing(file, { cause, message }) });
const capabilities = [
  { name: 'ffi', ok: true },
  { name: 'net_admin', ok: false, reason: 'the process lacks CAP_NET_ADMIN: run as root' },
  { name: 'tun', ok: true },
] as const;
const answers = (port500: PortAnswer, port4500: PortAnswer) =>
  siteFacts({
    path: {
      ike: new Map([
        [
          id,
          {
            address: '192.0.2.2',
            version: 2,
            ports: new Map([
              [500, port500],
              [4500, port4500],
            ] as const),
          },
        ],
      ]),
    },
  });
const tunnel = (largest: number) =>
  siteFacts({
    running: runningFacts(file),
    path: { tunnel: new Map([[id, ok({ target: '10.2.0.1', roundTrip: 2, tried: 1400, largest })]]) },
  });

/** The twenty of docs/operation.md: the code, how it is provoked, and what is said. */
const MISTAKES: readonly (readonly [code: string, facts: Facts, said: RegExp, remedy: RegExp])[] = [
  [
    'forwarding_off',
    siteFacts({ host: { sysctl: { 'net.ipv4.ip_forward': '0' } } }),
    /does not forward IPv4/,
    /ip_forward=1/,
  ],
  [
    'reverse_path_filter',
    siteFacts({
      host: { sysctl: { 'net.ipv4.conf.all.rp_filter': '1', 'net.ipv4.conf.culvert0.rp_filter': '1' } },
    }),
    /strict on culvert0/,
    /all\.rp_filter=0 net\.ipv4\.conf\.culvert0\.rp_filter=2/,
  ],
  [
    'forward_dropped',
    siteFacts({
      host: { firewall: legacy('*filter\n:FORWARD DROP [0:0]\n-A FORWARD -i docker0 -j ACCEPT\nCOMMIT\n') },
    }),
    /drops what is forwarded between 10\.1\.0\.0\/24 and 10\.2\.0\.0\/24/,
    /iptables-legacy -t filter -I FORWARD -o culvert0 -j ACCEPT`; .*-i culvert0 -j ACCEPT/,
  ],
  [
    'ike_filtered',
    siteFacts({
      file: siteFile(['psk:', 'establish_mode: peer_only\n    psk:']),
      host: { firewall: rules('input') },
    }),
    /drops UDP 500 and 4500 from 192\.0\.2\.2/,
    /nft 'insert rule inet filter input udp dport \{ 500, 4500 \} accept'/,
  ],
  [
    'masqueraded',
    siteFacts({ host: { firewall: rules('postrouting') } }),
    /changes the source of packets from 10\.1\.0\.0\/24 into the tunnel/,
    /nft 'insert rule ip nat postrouting oifname "culvert0" accept'/,
  ],
  [
    'port_taken',
    siteFacts({ host: { portHolders: ok([{ port: 500, address: '0.0.0.0', program: 'charon', pid: 7 }]) } }),
    /UDP 500 of this host: taken by charon/,
    /stop the other IKE daemon/,
  ],
  ['no_rights', siteFacts({ host: { capabilities } }), /lacks CAP_NET_ADMIN/, /run as root/],
  [
    'address_missing',
    siteFacts({ file: siteFile(['address: 192.0.2.1', 'address: 203.0.113.9']) }),
    /does not have gateway\.address 203\.0\.113\.9/,
    /behind a NAT that is the private one/,
  ],
  [
    'no_route_to_peer',
    siteFacts({ host: { routes: [route('10.1.0.0/24', 'lan', 'kernel')] } }),
    /no route of this host leads to the peer 192\.0\.2\.2/,
    /add the route/,
  ],
  [
    'dns_failed',
    siteFacts({
      path: { resolved: new Map([[id, err('not found')]]) },
      file: siteFile(['address: 192.0.2.2', 'fqdn: b.example']),
    }),
    /b\.example has no address: not found/,
    /host name/,
  ],
  [
    'port_500_blocked',
    answers({ kind: 'silent', sent: 3 }, { kind: 'silent', sent: 3 }),
    /no answer from the peer 192\.0\.2\.2 to an IKEv2 request on UDP 500 or 4500/,
    /the peer address; that the peer runs IKE/,
  ],
  [
    'port_4500_blocked',
    answers({ kind: 'answered' }, { kind: 'silent', sent: 3 }),
    /on UDP 500 and not on UDP 4500/,
    /Open UDP 4500/,
  ],
  ['path_mtu', tunnel(1200), /more than about 1200 octets get lost/, /gateway\.mss: 1160/],
  [
    'ike_proposal_mismatch',
    answers(
      {
        kind: 'refused',
        failure: { cause: 'ike_proposal_mismatch', message: 'The peer accepts none of our IKE proposals' },
      },
      { kind: 'answered' },
    ),
    /accepts none of our IKE proposals/,
    /Make one IKE proposal the same/,
  ],
  ['psk_mismatch', failed('psk_mismatch', 'The peer has another key'), /another key/, /same pre-shared key/],
  [
    'identity_mismatch',
    failed('identity_mismatch', 'The peer calls itself fqdn:x'),
    /fqdn:x/,
    /peer\.ike_identity/,
  ],
  [
    'ts_mismatch',
    failed('ts_mismatch', 'The peer accepts none of our networks'),
    /networks/,
    /local CIDRs must be/,
  ],
  [
    'route_elsewhere',
    siteFacts({
      host: {
        routes: [
          route('0.0.0.0/0', 'wan'),
          route('10.1.0.0/24', 'lan', 'kernel'),
          route('10.2.0.128/25', 'docker0', 'kernel'),
        ],
      },
    }),
    /packets for 10\.2\.0\.0\/24, a network of the peer, do not all go into the tunnel: another route leads to docker0/,
    /ip route show root 10\.2\.0\.0\/24/,
  ],
  [
    'one_way_traffic',
    siteFacts({
      running: runningFacts(file, {
        advisories: [{ code: 'one_way_traffic', message: 'We send, but nothing has come back for 45 s' }],
      }),
    }),
    /nothing has come back/,
    /route back to our networks/,
  ],
  [
    'waiting_for_peer',
    siteFacts({
      running: runningFacts(file, { status: 'down', activity: 'passive', establish_mode: 'peer_only' }),
    }),
    /waiting for the peer/,
    /bidirectional/,
  ],
];

const findings = (facts: Facts) => judge(facts).entries.filter(({ result }) => result === 'finding');

t.test('on a healthy host nothing is found, whether the gateway runs or not', async (t) => {
  for (const facts of [
    siteFacts(),
    siteFacts({ running: runningFacts(file) }),
    siteFacts({ file: undefined }),
    tunnel(1400),
  ]) {
    t.same(findings(facts), []);
  }
  const report = judge(siteFacts({ running: runningFacts(file) }));
  t.match(report, { gateway: { name: 'site-a', address: '192.0.2.1' }, running: true });
  t.same(report.counts, { ok: report.entries.length, note: 0, finding: 0, not_checked: 0 });
});

t.test('each of the twenty usual mistakes is found, it alone, with a remedy', async (t) => {
  for (const [code, facts, said, remedy] of MISTAKES) {
    const found = findings(facts);
    t.match(found, [{ code, message: said, remedy }], code);
    t.equal(found.length, 1, `${code} alone`);
  }
});

t.test('the document has them all, in this order, and no other', async (t) => {
  const document = readFileSync(new URL('../../../docs/operation.md', import.meta.url), 'utf8');
  const section = document.slice(document.indexOf('## Doctor'), document.indexOf('## Control socket'));
  const table = section.slice(0, section.indexOf('| also |'));
  const rows = [...table.matchAll(/^\| \d+ \| [^|]+ \| `([a-z0-9_]+)`/gm)].map(([, code]) => code);
  t.equal(rows.length, 20);
  t.same(
    rows,
    MISTAKES.map(([code]) => code),
  );
});

t.test('what else it finds', async (t) => {
  const full = { 'net.netfilter.nf_conntrack_count': '65000', 'net.netfilter.nf_conntrack_max': '65536' };
  const clock = { now: Date.UTC(1970, 0, 2), synchronised: false, notBefore: Date.UTC(2026, 9, 1) };
  const running = runningFacts(file);
  const unfiltered = {
    ...running,
    gateway: {
      ...running.gateway,
      clear_packets: { outbound: 'unreachable', inbound: 'not_filtered', reason: 'no nf_tables' },
    },
  } as const;
  const sixes = siteFile(['[10.1.0.0/24]', '["2001:db8:1::/64"]'], ['[10.2.0.0/24]', '["2001:db8:2::/64"]']);
  const noSix = {
    sysctl: { 'net.ipv4.ip_forward': '0', 'net.ipv6.conf.all.forwarding': '0' },
    routes: [route('0.0.0.0/0', 'wan'), route('::/0', 'wan')],
  };
  const narrowed = { code: 'ts_narrowed', message: 'The peer took only a part' } as const;
  const half = runningFacts(file, {
    ...{ status: 'degraded', activity: 'up', advisories: [narrowed] },
    status_reasons: [
      statusReason({ cause: 'ts_narrowed', message: 'Only a part of the networks is carried' }),
    ],
  });
  const noTun = [{ name: 'tun', ok: false, reason: '/dev/net/tun is missing: modprobe tun' }] as const;
  const cases: readonly (readonly [string, Facts])[] = [
    ['conntrack_full', siteFacts({ host: { sysctl: full } })],
    ['clock_wrong', siteFacts({ host: { clock } })],
    ['clear_packets_not_filtered', siteFacts({ running: unfiltered })],
    ['no_tun', siteFacts({ host: { capabilities: noTun } })],
    ['forwarding_off', siteFacts({ file: sixes, host: noSix })],
    ['ts_narrowed', siteFacts({ running: half })],
    ['uplink_mtu', siteFacts({ host: { mtuOf: () => 576 } })],
    [
      'no_route_to_local',
      siteFacts({
        host: {
          routes: [route('192.0.2.0/24', 'wan', 'kernel'), route('10.2.0.0/24', 'culvert0', 'culvert')],
        },
      }),
    ],
    ['configuration', siteFacts({ file: siteFile(['cidrs: [10.2.0.0/24]', 'cidrs: [192.0.2.0/24]']) })],
    [
      'pfs_mismatch',
      siteFacts({
        running: runningFacts(file, { advisories: [{ code: 'pfs_mismatch', message: 'PFS differs' }] }),
      }),
    ],
    [
      'route_elsewhere',
      siteFacts({ running, host: { routes: [route('0.0.0.0/0', 'wan'), route('10.1.0.0/24', 'lan')] } }),
    ],
    [
      'no_route_to_peer',
      siteFacts({ host: { routes: [route('0.0.0.0/0', 'culvert0'), route('10.1.0.0/24', 'lan')] } }),
    ],
  ];
  const document = readFileSync(new URL('../../../docs/operation.md', import.meta.url), 'utf8');
  const also = document.slice(document.indexOf('| also |'), document.indexOf('## Control socket'));
  for (const [code, facts] of cases) {
    t.same(
      findings(facts).map((found) => found.code),
      [code],
    );
    if (!MISTAKES.some(([usual]) => usual === code))
      t.ok(also.includes(`\`${code}\``), `${code} is in the document`);
  }
});

t.test('what could not be looked at is not said to be fine', async (t) => {
  const firewall = err('the program nft is not installed');
  const { entries, counts } = judge(siteFacts({ host: { firewall, portHolders: err('no /proc') } }));
  const unknown = entries
    .filter(({ result }) => result === 'not_checked')
    .map(({ check, message }) => `${check}: ${message}`);
  t.same(unknown, [
    'ports: not checked, because no /proc',
    ...['firewall_ike', 'firewall_forward', 'masquerade'].map(
      (check) => `${check}: not checked, because the program nft is not installed`,
    ),
  ]);
  t.match(counts, { finding: 0, not_checked: 4 });
  const lost = siteFacts({
    running: runningFacts(file),
    path: { tunnel: new Map([[id, err('no echo came back')]]) },
  });
  t.match(
    judge(lost).entries.filter(({ check }) => check === 'path_mtu'),
    [{ result: 'not_checked', remedy: /--probe/ }],
  );
});

t.test('a request that this host did not send says nothing of the peer', async (t) => {
  const unsent = { kind: 'unsent', message: 'bind EADDRNOTAVAIL' } as const;
  const { entries, counts } = judge(answers(unsent, unsent));
  t.equal(counts.finding, 0);
  t.match(
    entries.find(({ check }) => check === 'ike'),
    { result: 'not_checked', message: /EADDRNOTAVAIL/ },
  );
});

t.test('a firewall that lets only answers in is a note where this end begins', async (t) => {
  const { entries, counts } = judge(siteFacts({ host: { firewall: rules('input') } }));
  t.equal(counts.finding, 0);
  t.match(
    entries.filter(({ result }) => result === 'note'),
    [{ check: 'firewall_ike', message: /only as an answer/ }],
  );
});

t.test('in route mode the packets are those of its routes', async (t) => {
  const routed = siteFile(
    ['address: 192.0.2.1', 'address: 192.0.2.1, mode: route'],
    ['    local: { cidrs: [10.1.0.0/24] }\n', '    routes: [10.2.0.0/24]\n'],
    [', cidrs: [10.2.0.0/24]', ''],
  );
  t.same(findings(siteFacts({ file: routed })), []);
  const firewall = legacy('*filter\n:FORWARD DROP [0:0]\nCOMMIT\n');
  t.match(findings(siteFacts({ file: routed, host: { firewall } })), [
    { code: 'forward_dropped', message: /between local networks and 10\.2\.0\.0\/24/ },
  ]);
  const some = siteFacts({ file: routed, host: { firewall: rules('postrouting') } });
  t.same(findings(some), [], 'whose source is changed is not known');
});

t.test('networks that are this host alone need no forwarding', async (t) => {
  const own = siteFile(['cidrs: [10.1.0.0/24]', 'cidrs: [10.1.0.1/32]']);
  t.same(findings(siteFacts({ file: own, host: { sysctl: { 'net.ipv4.ip_forward': '0' } } })), []);
});

t.test('a connection that is meant to be down is no fault', async (t) => {
  const advisories = [{ code: 'admin_down', message: 'administratively down' }] as const;
  const running = runningFacts(file, {
    status: 'down',
    admin_state_up: false,
    activity: 'disabled',
    advisories,
  });
  t.same(findings(siteFacts({ running, file: siteFile(['psk:', 'admin_state_up: false\n    psk:']) })), []);
});

t.test('traffic that is distributed over tunnels', async (t) => {
  const distribution = (
    sysctl: Record<string, string>,
    devices = ['culvert0', 'culvert9'],
    family: 4 | 6 = 4,
  ) =>
    judge(siteFacts({ host: { sysctl, groups: ok([{ family, devices }]) } })).entries.filter(
      ({ check }) => check === 'distribution',
    );
  const policy = 'net.ipv4.fib_multipath_hash_policy';
  t.match(distribution({ [policy]: '1' }), [
    { result: 'ok', message: 'traffic is distributed over culvert0 and culvert9 by flow' },
  ]);
  t.match(distribution({ [policy]: '0' }), [
    {
      code: 'hash_policy',
      message:
        /by addresses alone \(net\.ipv4\.fib_multipath_hash_policy = 0\): all flows between two hosts use/,
      remedy: /sysctl -w net\.ipv4\.fib_multipath_hash_policy=1/,
    },
  ]);
  t.match(distribution({ [policy]: '1', 'net.ipv4.conf.culvert9.rp_filter': '1' }), [
    { code: 'reverse_path_filter', message: /strict on culvert9/ },
  ]);
  t.same(distribution({ [policy]: '0' }, ['eth1', 'eth2']), [], 'of others it is no matter of ours');
  const six = distribution({ [policy]: '0', 'net.ipv6.fib_multipath_hash_policy': '0' }, undefined, 6);
  t.match(six, [{ code: 'hash_policy', remedy: /net\.ipv6/ }]);
  t.equal(six.length, 1, 'of the family that is distributed');
});
