import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { renderDoctor } from '../../src/cli/doctor-view.js';
import { plainStyle } from '../../src/cli/style.js';
import { listenControl } from '../../src/daemon/control/server.js';
import { judge } from '../../src/daemon/doctor/judge.js';
import { Check, doctorReport } from '../../src/daemon/doctor/report.js';
import { err } from '../../src/util/result.js';
import { commandLine } from '../helpers/command-line.js';
import { siteFacts } from '../helpers/doctor-facts.js';
import { FakeDaemon } from '../helpers/fake-daemon.js';

/** The path of a socket is short. */
function shortFolder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'culvert-doctor-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

t.test('a report for people: what is wrong first, then what is not known, then what is fine', async (t) => {
  const report = judge(
    siteFacts({
      host: { sysctl: { 'net.ipv4.ip_forward': '0' }, firewall: err('the program nft is not installed') },
    }),
  );
  const lines = renderDoctor(report, { style: plainStyle, width: undefined });
  t.same(lines.slice(0, 7), [
    'gateway site-a at 192.0.2.1, which does not run',
    '',
    'This host',
    '  wrong this host does not forward IPv4 (net.ipv4.ip_forward = 0): only its own traffic will use the tunnel [forwarding_off]',
    '        do:   set it with `sysctl -w net.ipv4.ip_forward=1`',
    '  ?     firewall ike, firewall forward, masquerade: not checked, because the program nft is not installed',
    '        do:   run as root, with the package nftables installed',
  ]);
  t.equal(lines.at(-1), '1 finding, 3 things not checked');
  t.ok(
    lines.includes('  fine  rights, reverse path filter, address, ports, clear packets, conntrack, clock'),
  );
  const narrow = renderDoctor(report, { style: plainStyle, width: 60 });
  t.same(
    narrow.filter((line) => line.length > 60),
    [],
  );
});

t.test('connections with the same trouble are told of once', async (t) => {
  const entries = ['a', 'b', 'c', 'd'].map((connection) =>
    new Check({ area: 'path', check: 'path_mtu', connection }).notChecked('no echo came back'),
  );
  const lines = renderDoctor(doctorReport({ gateway: null, running: true }, entries), {
    style: plainStyle,
    width: undefined,
  });
  t.ok(lines.includes('  ?     a, b, c and 1 more: path mtu: not checked, because no echo came back'));
  t.equal(lines.at(-1), 'nothing is wrong, 4 things not checked');
});

t.test('a daemon is asked, and its findings make the exit code', async (t) => {
  const folder = shortFolder(t);
  const control = join(folder, 'c.sock');
  const server = await listenControl(control, pino({ level: 'silent' }));
  t.teardown(() => server.close());
  server.serve(new FakeDaemon());
  const text = await commandLine('doctor', '--control', control, '--passive');
  t.match(text, {
    code: 1,
    out: /^gateway g at 192\.0\.2\.1, which runs\n[\s\S]*wrong off, passive true \[forwarding_off\]/,
  });
  const json = await commandLine('doctor', '--control', control, '--output', 'json');
  t.equal(json.code, 1);
  t.same(JSON.parse(json.out), {
    gateway: { name: 'g', address: '192.0.2.1' },
    running: true,
    entries: [
      {
        ...{ area: 'host', check: 'forwarding', connection: null, result: 'finding', code: 'forwarding_off' },
        ...{ message: 'off, passive false', evidence: [], remedy: 'turn it on' },
      },
    ],
    counts: { ok: 0, note: 0, finding: 1, not_checked: 0 },
  });
});

t.test('a file that is wrong is a finding, a command line that is wrong is usage', async (t) => {
  const file = join(shortFolder(t), 'gateway.yaml');
  writeFileSync(file, 'gateway: { name: a, adress: 192.0.2.1 }\n', { mode: 0o600 });
  const faulty = await commandLine('doctor', '--config', file);
  t.match(faulty, { code: 1, out: /wrong .*gateway\.yaml:1: .*adress.*\[configuration\]/ });
  t.match(await commandLine('doctor', '--probe', 'nowhere'), { code: 2, err: /--probe takes an IP address/ });
  t.match(await commandLine('doctor', '--config', file, '--control', 'x'), {
    code: 2,
    err: /give one of them/,
  });
  t.match(await commandLine('doctor', '--control', `${file}.sock`), { code: 1, err: /no daemon/ });
  writeFileSync(
    file,
    'gateway: { name: a, address: 192.0.2.1, control: /nowhere }\nconnections:\n' +
      '  - { name: to-b, psk: O7x08imweJT-JTNgFBDJRpJO, local: { cidrs: [10.1.0.0/24] }, peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] } }\n',
  );
  const unknown = await commandLine('doctor', 'to-c', '--config', file, '--passive');
  t.match(unknown, { code: 1, err: /has no connection "to-c"; did you mean "to-b"/ });
});
