import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { DoctorReport } from '../../src/daemon/doctor/report.js';
import type { NetworkLab } from '../../src/linux/namespaces.js';
import { askedDoctor } from '../helpers/asked-doctor.js';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { skipWithoutProgram, skipWithoutRoot, skipWithoutTun } from '../helpers/prerequisites.js';
import { PROGRAM, UNHOOKED } from '../helpers/program.js';
import { createSiteLab, SITE_A, SITE_B, siteConfig } from '../helpers/site-lab.js';

const skip = skipWithoutRoot() || skipWithoutTun() || skipWithoutProgram('nft');

const PSK = 'O7x08imweJT-JTNgFBDJRpJO';
const strong = {
  name: 'p',
  encryption_algorithm: 'aes256',
  authentication_algorithm: 'sha256',
  dh_group: 14,
};

/** Site A as it is right, but for these fields of its connection. */
function configOfA(more: object = {}, ike: object = {}) {
  const whole = siteConfig(SITE_A, SITE_B, { psk: PSK, ike_policy: 'p', ...more });
  return { ...whole, ike_policies: [{ ...strong, ...ike }] };
}
const peer = { address: SITE_B.address, cidrs: [SITE_B.cidr] };
const configOfB = {
  ...siteConfig(SITE_B, SITE_A, { psk: PSK, ike_policy: 'p', establish_mode: 'peer_only' }),
  ike_policies: [strong],
};

const codesOf = ({ entries }: DoctorReport): (string | null)[] =>
  entries.filter(({ result }) => result === 'finding').map(({ code }) => code);
const wordsOf = ({ entries }: DoctorReport): string[] =>
  entries.flatMap(({ result, code, message, evidence, remedy }) =>
    result === 'finding' ? [[code, message, ...evidence, remedy].join(' | ')] : [],
  );

/** Makes a thing wrong in a namespace by a command line of the shell, and right again by another. */
type Spoiling = readonly [code: string, node: 'a' | 'b', wrong: string, right: string];

const DROP_AT_B = (what: string) =>
  `nft 'add table inet t; add chain inet t c { type filter hook input priority 0 ; }; add rule inet t c ${what} drop'`;
const OPEN_B = 'nft delete table inet t';

async function shell(lab: NetworkLab, node: string, line: string): Promise<void> {
  await lab.check(node, ['sh', '-c', line]);
}

/** Nothing but this is found while it is wrong. */
async function spoil(
  t: Test,
  lab: NetworkLab,
  [code, node, wrong, right]: Spoiling,
  ask: () => Promise<DoctorReport>,
): Promise<void> {
  await shell(lab, node, wrong);
  const report = await ask();
  await shell(lab, node, right);
  t.same(codesOf(report), [code], `${wrong}: ${wordsOf(report).join('\n')}`);
}

t.test('what operators get wrong, provoked and mended in one lab', { skip }, async (t) => {
  const { lab, folder, dispose } = await createSiteLab();
  t.teardown(dispose);
  for (const node of ['a', 'b']) await lab.forward(node);
  const b = await CulvertDaemon.start(lab, 'b', folder, configOfB);

  await t.test('before the gateway is started', async (t) => {
    const ask = async () => (await askedDoctor({ lab, folder }, configOfA())).report;
    const healthy = await askedDoctor({ lab, folder }, configOfA());
    t.same(wordsOf(healthy.report), []);
    t.equal(healthy.code, 0);
    t.match(healthy.report, { running: false, gateway: { name: 'site-a' } });
    t.match(
      healthy.report.entries.find(({ check }) => check === 'ike'),
      {
        result: 'ok',
        evidence: ['UDP 500: answered', 'UDP 4500: answered'],
      },
    );
    t.match(
      healthy.report.entries.find(({ check }) => check === 'firewall_forward'),
      { result: 'ok' },
    );

    const other = lab.spawn('a', [
      process.execPath,
      '-e',
      'require("dgram").createSocket("udp4").bind(500, () => console.log(1))',
    ]);
    await new Promise((resolve) => other.stdout?.once('data', resolve));
    const taken = await askedDoctor({ lab, folder }, configOfA());
    t.same(codesOf(taken.report), ['port_taken'], wordsOf(taken.report).join('\n'));
    t.equal(taken.code, 1);
    const ended = new Promise((resolve) => other.once('exit', resolve));
    other.kill();
    await ended;

    const weaker = await askedDoctor({ lab, folder }, configOfA({}, { dh_group: 19 }));
    t.same(codesOf(weaker.report), ['ike_proposal_mismatch'], wordsOf(weaker.report).join('\n'));
    // The same by main mode, and a peer that speaks it alone.
    await b.reload({ ...configOfB, ike_policies: [{ ...strong, ike_version: 1 }] });
    const older = await askedDoctor({ lab, folder }, configOfA({}, { ike_version: 1 }));
    t.same(wordsOf(older.report), []);
    t.match(
      older.report.entries.find(({ check }) => check === 'ike'),
      { result: 'ok', evidence: ['UDP 500: answered', 'UDP 4500: answered'] },
    );
    const newer = await ask();
    t.same(codesOf(newer), ['ike_version_mismatch'], wordsOf(newer).join('\n'));
    await b.reload(configOfB);
    await spoil(t, lab, ['port_4500_blocked', 'b', DROP_AT_B('udp dport 4500'), OPEN_B], ask);
    await spoil(t, lab, ['port_500_blocked', 'b', DROP_AT_B('udp dport { 500, 4500 }'), OPEN_B], ask);
    const silent = await askedDoctor({ lab, folder }, configOfA(), ['--passive']);
    t.notOk(
      silent.report.entries.some(({ check }) => check === 'ike'),
      'nothing is sent',
    );
    const away = configOfA();
    const moved = await askedDoctor(
      { lab, folder },
      { ...away, gateway: { ...away.gateway, address: '192.0.2.77' } },
      ['--passive'],
    );
    t.same(codesOf(moved.report), ['address_missing']);
    const wrong = await askedDoctor({ lab, folder }, configOfA({ psk: 'short' }));
    t.match(codesOf(wrong.report), ['configuration']);
    t.equal(wrong.code, 1);
  });

  await t.test('while it runs', async (t) => {
    const a = await CulvertDaemon.start(lab, 'a', folder, configOfA({ psk: 'another-key-O7x08imweJT' }));
    const ask = () => a.client.doctor({});
    /** What one of the two ends finds sooner or later, and nothing else. */
    const until = async (code: string, end = a) => {
      for (let n = 0; n < 100; n++) {
        const report = await end.client.doctor({ passive: true });
        if (codesOf(report).includes(code))
          return t.same(codesOf(report), [code], wordsOf(report).join('\n'));
        await sleep(100);
      }
      return t.same(codesOf(await end.client.doctor({ passive: true })), [code], end.log().slice(-2000));
    };
    // The end that refuses knows more than the one that is refused.
    await until('psk_mismatch', b);
    await until('authentication_refused');
    const unknown = { cidrs: [SITE_A.cidr], ike_identities: [{ type: 'fqdn', value: 'a.example' }] };
    await a.reload(configOfA({ local: unknown }));
    await until('identity_mismatch', b);
    await a.reload(configOfA({ peer: { ...peer, cidrs: ['10.3.0.0/24'] } }));
    await until('ts_mismatch');

    await a.reload(configOfA());
    await a.until('c', up, 30);
    const healthy = await ask();
    t.same(wordsOf(healthy), []);
    t.equal(
      healthy.counts.not_checked,
      0,
      JSON.stringify(healthy.entries.filter(({ result }) => result === 'not_checked')),
    );
    t.match(
      healthy.entries.find(({ check }) => check === 'path_mtu'),
      { result: 'ok', message: /octets pass the tunnel to 10\.2\.0\.1/ },
    );

    const forward =
      "nft 'add table ip f; add chain ip f c { type filter hook forward priority 0 ; policy drop ; }'";
    const nat =
      "nft 'add table ip f; add chain ip f c { type nat hook postrouting priority 100 ; }; add rule ip f c ip saddr 10.1.0.0/24 masquerade'";
    const input =
      "nft 'add table ip f; add chain ip f c { type filter hook input priority 0 ; }; add rule ip f c udp dport 500 drop'";
    const cases: readonly Spoiling[] = [
      [
        'forwarding_off',
        'a',
        'echo 0 >/proc/sys/net/ipv4/ip_forward',
        'echo 1 >/proc/sys/net/ipv4/ip_forward',
      ],
      [
        'reverse_path_filter',
        'a',
        'echo 1 >/proc/sys/net/ipv4/conf/culvert0/rp_filter',
        'echo 0 >/proc/sys/net/ipv4/conf/culvert0/rp_filter',
      ],
      ['forward_dropped', 'a', forward, 'nft delete table ip f'],
      ['masqueraded', 'a', nat, 'nft delete table ip f'],
      ['ike_filtered', 'a', input, 'nft delete table ip f'],
      ['route_elsewhere', 'a', 'ip route add 10.2.0.128/25 dev wan', 'ip route del 10.2.0.128/25 dev wan'],
      ['path_mtu', 'b', DROP_AT_B('udp dport 4500 meta length > 1000'), OPEN_B],
    ];
    const isIptablesHere = skipWithoutProgram('iptables-legacy') === false;
    if (!isIptablesHere) t.comment('without rules of iptables, which is not installed');
    const iptables: readonly Spoiling[] = [
      [
        'forward_dropped',
        'a',
        'iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -i docker0 -j ACCEPT',
        'iptables-legacy -P FORWARD ACCEPT; iptables-legacy -F FORWARD',
      ],
      [
        'masqueraded',
        'a',
        'iptables-nft -t nat -A POSTROUTING -s 10.1.0.0/24 ! -o lan -m comment --comment x -j MASQUERADE',
        'iptables-nft -t nat -F POSTROUTING',
      ],
    ];
    for (const one of isIptablesHere ? [...cases, ...iptables] : cases) await spoil(t, lab, one, ask);
    t.same(wordsOf(await ask()), [], 'all of it is mended');

    const argv = ['env', ...UNHOOKED, process.execPath, PROGRAM, 'doctor', 'c', '--control', a.control];
    const { code, stdout } = await lab.run('a', argv);
    t.equal(code, 0);
    t.match(stdout, /^gateway site-a at 192\.0\.2\.1, which runs\n[\s\S]*nothing is wrong/);
    t.equal(await a.stop(), 0);
  });
  t.equal(await b.stop(), 0);
});
