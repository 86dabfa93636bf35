import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { listenControl } from '../../src/daemon/control/server.js';
import { commandLine } from '../helpers/command-line.js';
import { FakeDaemon } from '../helpers/fake-daemon.js';
import { PROGRAM, programOutcome, UNHOOKED } from '../helpers/program.js';
import { supervisionOf } from '../helpers/supervision.js';
import { talkingSocket } from '../helpers/talking-socket.js';

/**
 * Mistakes that people make, and what they are told: one line that names the place and what to do. The line that
 * counts the errors of a file is none of these.
 */
type Mistake = readonly [what: string, argv: readonly string[], code: 1 | 2, place: RegExp, remedy: RegExp];

const folder = mkdtempSync(join(tmpdir(), 'culvert-mistakes-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const SECRET = 'correct-horse-battery';

function file(name: string, text: string | Uint8Array, mode = 0o600): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

const GATEWAY = 'gateway: { name: site-a, address: 192.0.2.1 }\n';
const LOCAL = 'local: { cidrs: [10.1.0.0/24] }';
const PEER = 'peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] }';
const one = (fields: string) => `${GATEWAY}connections:\n  - { name: to-b, ${fields} }\n`;
const good = file('good.yaml', one(`psk: ${SECRET}, ${LOCAL}, ${PEER}`));
const none = join(folder, 'none');
let files = 0;
const check = (text: string | Uint8Array): string[] => ['check', '--config', file(`${files++}.yaml`, text)];

t.test('forty mistakes on the command line and in files', async (t) => {
  let laughs = 'x-a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n';
  for (let n = 1; n < 9; n++)
    laughs += `x-a${n}: &a${n} [${Array(9)
      .fill(`*a${n - 1}`)
      .join(', ')}]\n`;
  mkdirSync(join(folder, 'a-folder'));
  file('open-key', SECRET, 0o644);
  file('short-key', 'abc');
  const site = (rest: string) => ['serve', '--config', file(`${files++}.yaml`, rest)];
  const wish = (text: string) => ['apply', '-f', file(`${files++}.yaml`, text), '--endpoint', none];
  const mistakes: readonly Mistake[] = [
    // Arguments.
    ['no command', [], 2, /name a command/, /culvert --help/],
    [
      'a command misspelt, with options',
      ['chek', '--config', 'x'],
      2,
      /unknown command "chek"/,
      /did you mean "check"/,
    ],
    ['an option left out', ['check'], 2, /"check" needs --config/, /check --help/],
    ['an option without value', ['check', '--config'], 2, /--config needs a value/, /check --help/],
    [
      'an option misspelt',
      ['check', '--confg', good],
      2,
      /unknown option "--confg"/,
      /did you mean "--config"/,
    ],
    [
      'an option twice',
      ['check', '--config', good, '--config', none],
      2,
      /--config is given 2 times/,
      /give it once/,
    ],
    [
      'a choice misspelt',
      ['status', '--output', 'jsn'],
      2,
      /--output does not take "jsn"/,
      /did you mean "json"/,
    ],
    [
      'a choice of numbers',
      ['pair', '--ike-version', '3'],
      2,
      /--ike-version does not take "3"/,
      /one of 1, 2/,
    ],
    ['an operand left out', ['up'], 2, /"up" needs a NAME/, /up --help/],
    [
      'the last operand left out',
      ['ike-policy-create', 'p', 'sha256', '14', 'aes256'],
      2,
      /needs an IKE-VERSION/,
      /NAME AUTHENTICATION DH-GROUP ENCRYPTION IKE-VERSION/,
    ],
    ['an operand too many', ['explain', 'a', 'b'], 2, /unexpected argument "b"/, /explain --help/],
    ['a number that is none', ['status', '--timeout', 'soon'], 2, /--timeout/, /above 0 and up to 3600/],
    ['a cipher that is none', ['pair', '--suite', 'aes257-sha256'], 2, /"aes257"/, /--help/],
    ['standard input where it cannot be', ['run', '--config', '-'], 2, /--config/, /takes a file here/],
    [
      'an odd number of workers',
      ['run', '--config', good, '--workers', '3'],
      2,
      /--workers: 3/,
      /power of two/,
    ],
    [
      'an offload that is none',
      ['run', '--config', good, '--offload', 'fast'],
      2,
      /--offload: .*"fast"/,
      /use all, none, or some of/,
    ],
    [
      'an endpoint that is none',
      ['vpn-gateways', '--endpoint', 'server:80'],
      2,
      /"server:80" is not an endpoint/,
      /write http:/,
    ],
    ['a shell that is none', ['completion', 'fish'], 2, /"fish"/, /one of bash, zsh/],
    // Files.
    ['no file', ['check', '--config', none], 1, /file \S+none is not there/, /is not there/],
    [
      'a folder',
      ['check', '--config', join(folder, 'a-folder')],
      1,
      /a-folder is a folder/,
      /name a file in it/,
    ],
    [
      'a file without end',
      ['check', '--config', '/dev/zero'],
      1,
      /\/dev\/zero is longer than/,
      /is it the right file/,
    ],
    ['UTF-16', check(Buffer.from(`\ufeff${GATEWAY}`, 'utf16le')), 1, /yaml is in UTF-16/, /save it as UTF-8/],
    [
      'a binary',
      check(Uint8Array.of(127, 69, 76, 70, 0)),
      1,
      /yaml holds octets of value zero/,
      /right file/,
    ],
    ['an empty file', check(''), 1, /yaml: the file is empty/, /a gateway is needed/],
    ['tabs', check('gateway:\n\tname: a\n\taddress: 192.0.2.1\n'), 1, /yaml:2:1:/, /use spaces/],
    [
      'wrong indentation',
      check('gateway:\n  name: a\n address: 192.0.2.1\n'),
      1,
      /yaml:2:\d+:|yaml:3:\d+:/,
      /indentation/,
    ],
    ['a field twice', check(`${GATEWAY}gateway: {}\n`), 1, /yaml:2:1:.*"gateway"/, /keep one/],
    [
      'a field misspelt',
      check(one(`psk: ${SECRET}, ${LOCAL}, ${PEER}, establish_mod: x`)),
      1,
      /yaml:3:\d+: connections\[0\]\.establish_mod/,
      /did you mean "establish_mode"/,
    ],
    [
      'no key',
      check(one(`${LOCAL}, ${PEER}`)),
      1,
      /connections\[0\]\.psk: is missing/,
      /give psk .* or psk_file/,
    ],
    [
      'a short key',
      check(one(`psk: abc, ${LOCAL}, ${PEER}`)),
      1,
      /connections\[0\]\.psk: has 3 characters/,
      /6 to 128 are needed/,
    ],
    [
      'a key file that is not there',
      check(one(`psk_file: nowhere, ${LOCAL}, ${PEER}`)),
      1,
      /connections\[0\]\.psk_file: "nowhere"/,
      /is not there/,
    ],
    [
      'a key file open to others',
      check(one(`psk_file: open-key, ${LOCAL}, ${PEER}`)),
      1,
      /connections\[0\]\.psk_file: "open-key"/,
      /chmod 600/,
    ],
    [
      'a key file with too little',
      check(one(`psk_file: short-key, ${LOCAL}, ${PEER}`)),
      1,
      /connections\[0\]\.psk_file: "short-key" has 3/,
      /6 to 128 are needed/,
    ],
    [
      'host bits',
      check(one(`psk: ${SECRET}, local: { cidrs: [10.1.0.1/24] }, ${PEER}`)),
      1,
      /connections\[0\]\.local\.cidrs\[0\]/,
      /10\.1\.0\.0\/24/,
    ],
    [
      'an address that is none',
      check(one(`psk: ${SECRET}, ${LOCAL}, peer: { address: 192.0.2.300, cidrs: [10.2.0.0/24] }`)),
      1,
      /connections\[0\]\.peer\.address/,
      /address/,
    ],
    [
      'a policy that is not there',
      check(one(`psk: ${SECRET}, ike_policy: strong, ${LOCAL}, ${PEER}`)),
      1,
      /connections\[0\]\.ike_policy: .*"strong"/,
      /ike_policies/,
    ],
    [
      'an impossible interval',
      check(one(`psk: ${SECRET}, dead_peer_detection: { interval: 90 }, ${LOCAL}, ${PEER}`)),
      1,
      /connections\[0\]\.dead_peer_detection: .*90 s/,
      /make it at most as long/,
    ],
    [
      'a mistake in defaults',
      check(`defaults: { psk: ${SECRET}, establish_mode: both }\n${one(`${LOCAL}, ${PEER}`)}`),
      1,
      /yaml:1:\d+: defaults\.establish_mode/,
      /one of bidirectional, peer_only/,
    ],
    [
      'an alias of nothing',
      check(one(`psk: ${SECRET}, ${LOCAL}, peer: *peer`)),
      1,
      /yaml:3:\d+: there is no anchor/,
      /correct the name/,
    ],
    ['billions of values', check(`${laughs}${GATEWAY}`), 1, /yaml:6:\d+: the aliases/, /write fewer of them/],
    ['a server without networks', site(''), 1, /"vpcs" and "subnets"/, /are needed/],
    [
      'a subnet of no VPC',
      site(
        'vpcs: [{ name: v }]\nsubnets: [{ name: s, vpc: w, cidr: 10.1.0.0/24, public_addresses: [192.0.2.1] }]\n',
      ),
      1,
      /subnets\[0\]\.vpc: "w"/,
      /is not in vpcs/,
    ],
    ['a wish of the wrong kind', wish('vpn_gateways: 5\n'), 1, /vpn_gateways: needs a list/, /needs a list/],
    [
      'a token file that is not there',
      ['vpn-gateways', '--token-file', none],
      1,
      /none cannot be read/,
      /ENOENT|no such file/,
    ],
  ];
  t.ok(mistakes.length >= 40, `${mistakes.length} mistakes`);
  for (const mistake of mistakes) await isTold(t, mistake);
});

t.test('faults of what is at the other end', async (t) => {
  const quiet = pino({ level: 'silent' });
  const listen = (name: string, talk: (socket: Socket) => void): Promise<string> =>
    talkingSocket(t, join(folder, name), talk);
  const silent = await listen('silent', () => undefined);
  const mail = await listen('mail', (socket) => socket.end('220 mail ready\r\n'));
  const page = await listen('page', (socket) =>
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>'),
  );
  const daemon = join(folder, 'daemon');
  const control = await listenControl(daemon, quiet);
  control.serve(new FakeDaemon());
  t.teardown(() => control.close());
  await listenControl(join(folder, 'id-0.sock'), quiet, supervisionOf('west')).then((member) =>
    t.teardown(() => member.close()),
  );
  const patience = ['--timeout', '0.1'];
  const faults: readonly Mistake[] = [
    ['no daemon', ['status', '--control', none], 1, /no control socket \S+none/, /culvert run --config FILE/],
    ['no socket', ['status', '--control', good], 1, /good\.yaml/, /--control|culvert run/],
    [
      'a daemon that is stopped',
      ['status', '--control', silent, ...patience],
      1,
      /the daemon does not answer: .*silent/,
      /--timeout/,
    ],
    ['something else', ['status', '--control', mail], 1, /the daemon has closed the connection/, /closed/],
    [
      'no such connection',
      ['explain', 'd', '--control', daemon],
      1,
      /no connection "d"/,
      /did you mean "c"|configured are: c/,
    ],
    ['a pattern for nothing', ['status', 'x*', '--control', daemon], 1, /gateway "g"/, /matches "x\*"/],
    [
      'no such gateway',
      ['status', 'wets', '--run-folder', folder],
      1,
      /runs no gateway "wets"/,
      /did you mean "west"/,
    ],
    [
      'no server',
      ['vpn-gateways', '--endpoint', none],
      1,
      /no socket \S+none/,
      /culvert serve --config FILE/,
    ],
    [
      'no server at the port',
      ['vpn-gateways', '--endpoint', 'http://127.0.0.1:1'],
      1,
      /127\.0\.0\.1:1/,
      /culvert serve/,
    ],
    [
      'a server that is stopped',
      ['vpn-gateways', '--endpoint', silent, ...patience],
      1,
      /the server does not answer/,
      /--timeout/,
    ],
    [
      'a server of something else',
      ['vpn-gateways', '--endpoint', page],
      1,
      /not JSON/,
      /is this the address of the VPN API/,
    ],
  ];
  for (const fault of faults) await isTold(t, fault);
  const { code, err } = await programOutcome([
    'env',
    ...UNHOOKED,
    process.execPath,
    '--jitless',
    PROGRAM,
    '--version',
  ]);
  t.equal(code, 1);
  t.match(err, /^culvert: this Node has no WebAssembly[^\n]*; start it without --jitless$/m);
});

async function isTold(t: Test, [what, argv, code, place, remedy]: Mistake): Promise<void> {
  const outcome = await commandLine(...argv);
  const told = outcome.err.split('\n').filter((line) => line !== '' && !/^culvert: 1 error in /.test(line));
  t.equal(outcome.code, code, `${what}: exit code`);
  t.equal(outcome.out, '', `${what}: nothing on standard output`);
  t.equal(told.length, 1, `${what}: one line: ${outcome.err}`);
  t.match(told[0], place, `${what}: the place`);
  t.match(told[0], remedy, `${what}: the remedy`);
  t.notMatch(outcome.err, /internal error|undefined|\[object|^ +at /m, `${what}: in words`);
  t.notMatch(outcome.err, SECRET, `${what}: no key`);
}
