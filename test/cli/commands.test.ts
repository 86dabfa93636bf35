import { spawn } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { parseSuite } from '../../src/cli/suite.js';
import { commandLine } from '../helpers/command-line.js';
import { PROGRAM, type ProgramOutcome, programOutcome, UNHOOKED } from '../helpers/program.js';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

function culvert(...argv: string[]): Promise<ProgramOutcome> {
  return programOutcome(['env', ...UNHOOKED, process.execPath, PROGRAM, ...argv]);
}

const folder = t.testdir();

function configFile(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

const GOOD = `gateway: { name: site-a, address: 192.0.2.1 }
connections:
  - name: to-site-b
    psk: correct-horse-battery
    local: { cidrs: [10.1.0.0/24] }
    peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] }
`;

t.test('the program is built', async (t) => {
  t.ok(existsSync(PROGRAM), 'dist/main.js is there: npm run build makes it');
});

t.test('wrong usage is one line, a hint and exit code 2', async (t) => {
  const cases: readonly (readonly [argv: string[], message: RegExp])[] = [
    [[], /name a command/],
    [['stauts'], /unknown command "stauts"; did you mean "status"\?/],
    [['xyzzy'], /unknown command "xyzzy" \(see culvert --help\)/],
    [['check', '--confg', 'x'], /unknown option "--confg"; did you mean "--config"\?/],
    [['pair', '--onec'], /unknown option "--onec"; did you mean "--once"\?/],
    [['check'], /"check" needs --config/],
    [['check', '--config'], /--config needs a value/],
    [['up'], /"up" needs a NAME/],
    [['explain', 'a', 'b'], /unexpected argument "b" after "explain"/],
    [['status', '--output', 'jsn'], /--output does not take "jsn"; did you mean "json"\?/],
    [['pair', '--ike-version', '3'], /--ike-version does not take "3"/],
    [['pair', '--seconds', 'soon'], /--seconds takes a number/],
    [['pair', '--suite', 'aes257-sha256'], /suite "aes257-sha256": "aes257" is not a cipher/],
    [['up', 'x', '--timeout', '0'], /--timeout takes a number of seconds/],
    [['check', '--config=x', '-q'], /unknown option "-q"/],
  ];
  for (const [argv, message] of cases) {
    const { code, out, err } = await commandLine(...argv);
    const line = `culvert ${argv.join(' ')}`;
    t.equal(code, 2, `${line}: exit code`);
    t.equal(out, '', `${line}: nothing on standard output`);
    t.match(err, message, line);
    t.match(err, /^culvert: [^\n]+\n$/, `${line}: one line`);
  }
  // The same by the program itself; this one is known only to the benchmarks, which are built beside it.
  const { code, out, err } = await culvert('bench', 'cripto');
  t.equal(code, 2);
  t.equal(out, '');
  t.match(err, /^culvert: there is no benchmark "cripto"; did you mean "crypto"\?[^\n]*\n$/);
});

t.test('help and version', async (t) => {
  const commands = ['run', 'check', 'pair', 'status', 'up', 'down', 'bench'];
  const [top, plain, ...helps] = await Promise.all([
    culvert('--help'),
    culvert('--version'),
    ...commands.map((name) => commandLine(name, '--help')),
  ]);
  t.equal(plain?.out, `${version}\n`);
  t.equal(top?.code, 0);
  for (const [i, name] of commands.entries()) {
    t.match(top?.out, new RegExp(`culvert ${name}\\b`), `${name} is in the list`);
    const help = helps[i]!;
    t.equal(help.code, 0);
    t.equal(help.err, '');
    t.match(help.out, /Examples:\n/, `${name} has an example`);
    t.match(help.out, new RegExp(`Usage: culvert ${name}\\b`));
    t.match(help.out, /Exit codes:/);
    t.match(help.out, /--output/);
  }
});

t.test('check says ok, and what to know', async (t) => {
  const path = configFile('good.yaml', GOOD);
  const [text, json] = await Promise.all([
    commandLine('check', '--config', path),
    commandLine('check', '--config', path, '--output', 'json'),
  ]);
  t.equal(text.code, 0, text.err);
  t.match(text.out, `${path}: ok, gateway site-a at 192.0.2.1 in policy mode, 1 connection\n`);
  t.match(text.out, /to-site-b: auto-negotiation also accepts 3des, sha1, md5, DH 5 \(modp1536\), DH 2/);
  t.same(Object.keys(JSON.parse(json.out)), ['ok', 'file', 'gateway', 'errors', 'advisories']);
  t.match(JSON.parse(json.out), {
    ok: true,
    file: path,
    gateway: { name: 'site-a', mode: 'policy', address: '192.0.2.1', connections: ['to-site-b'] },
    errors: [],
    advisories: [
      { connection: 'to-site-b', code: 'weak_psk', message: /key is made of words: .*"culvert psk"/ },
      { connection: 'to-site-b', code: 'weak_algorithm_accepted' },
    ],
  });
  t.notMatch(text.out + json.out, 'correct-horse-battery');
  const twice = await commandLine('check', '--config', path, '--output=text', '--output=json');
  t.equal(twice.out, json.out, 'the last of a repeated choice counts');
  const which = await commandLine('check', '--config', 'nowhere', '--config', path);
  t.equal(which.code, 2, 'of two files neither is guessed');
  t.match(which.err, /^culvert: --config is given 2 times: give it once[^\n]*\n$/);

  const weak = configFile(
    'weak.yaml',
    `${GOOD}    ike_policy: old
    ipsec_policy: good
ike_policies: [{ name: old, encryption_algorithm: 3des, authentication_algorithm: md5, dh_group: 2 }]
ipsec_policies: [{ name: good, encryption_algorithm: aes256gcm16 }]
`,
  );
  const weakly = await commandLine('check', '--config', weak, '--output', 'json');
  t.equal(weakly.code, 0, weakly.err);
  const { advisories } = JSON.parse(weakly.out) as { advisories: { code: string; message: string }[] };
  t.equal(advisories.length, 2);
  t.match(advisories[1], { code: 'weak_algorithm', message: /3des \(IKE policy old\), md5 .*, DH 2/ });

  chmodSync(path, 0o644);
  const [open, openly] = await Promise.all([
    commandLine('check', '--config', path),
    commandLine('check', '--config', path, '--output', 'json'),
  ]);
  const exposed = `the file ${path} holds pre-shared keys and is accessible by group or others (mode 644): run chmod 600 on it`;
  t.match(open, {
    code: 0,
    out: new RegExp(`^  ${exposed.replaceAll('(', '\\(').replaceAll(')', '\\)')}`, 'm'),
  });
  t.match(JSON.parse(openly.out).advisories[0], { connection: null, code: 'exposed_keys', message: exposed });
  const elsewhere = configFile(
    'elsewhere.yaml',
    GOOD.replace('psk: correct-horse-battery', 'psk_file: own.key'),
  );
  configFile('own.key', 'correct-horse-battery\n');
  chmodSync(elsewhere, 0o644);
  const kept = await commandLine('check', '--config', elsewhere);
  t.notMatch(kept.out, /accessible/, 'without keys in it everybody may read it');
  t.equal(kept.code, 0, kept.err);

  const wide = configFile('wide.yaml', GOOD.replace('[10.2.0.0/24]', '[192.0.2.0/25]'));
  const told = await commandLine('check', '--config', wide);
  t.match(told.out, /own address 192\.0\.2\.2 lies in its network/);
});

t.test('psk makes keys that are taken everywhere and advised against nowhere', async (t) => {
  const [plain, short] = await Promise.all([commandLine('psk'), commandLine('psk', '--bytes', '12')]);
  t.match(plain, { code: 0, out: /^[A-Za-z0-9_][-A-Za-z0-9_]{42}\n$/ });
  t.match(short, { code: 0, out: /^.{16}\n$/ });
  const file = join(folder, 'new.psk');
  const kept = await commandLine('psk', '--file', file, '--output', 'json');
  t.same(JSON.parse(kept.out), { file, bytes: 32 });
  t.equal(statSync(file).mode & 0o777, 0o600);
  const path = configFile('strong.yaml', GOOD.replace('psk: correct-horse-battery', 'psk_file: new.psk'));
  const checked = await commandLine('check', '--config', path, '--output', 'json');
  t.equal(checked.code, 0, checked.err);
  t.notMatch(checked.out, /weak_psk/);
  for (const bytes of ['11', '97', '16.5', 'many']) {
    t.match(await commandLine('psk', '--bytes', bytes), {
      code: 2,
      err: /--bytes takes a whole number from 12 to 96/,
    });
  }
});

t.test('check shows every error with its place', async (t) => {
  const path = configFile(
    'bad.yaml',
    `gateway: { name: site-a, address: 192.0.2.1 }
ike_policies: [{ name: strong, encrypton_algorithm: aes256 }]
connections:
  - name: to-site-b
    psk: abc
    local: { cidrs: [10.1.0.0/24] }
    peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] }
  - name: to-site-c
    psk: correct-horse-battery
    local: { cidrs: [10.1.0.1/24] }
    peer: { address: 192.0.2.3, cidrs: [10.3.0.0/24] }
`,
  );
  const [text, json] = await Promise.all([
    commandLine('check', '--config', path),
    commandLine('check', '--config', path, '--output', 'json'),
  ]);
  t.equal(text.code, 1);
  t.equal(text.out, '');
  for (const [line, field] of [
    [2, 'ike_policies[0].encrypton_algorithm'],
    [5, 'connections[0].psk'],
    [10, 'connections[1].local.cidrs[0]'],
  ] as const) {
    const at = text.err.split('\n').find((one) => one.includes(`: ${field}: `));
    t.match(at, new RegExp(`^${path}:${line}:[0-9]+: `), `${field} has line ${line}`);
  }
  t.notMatch(text.err, /\babc\b/, 'no secret in an error');
  t.match(text.err, /errors in .*; correct the file/);
  t.equal(json.code, 1);
  const document = JSON.parse(json.out) as { ok: boolean; errors: { path: string; line: number }[] };
  t.equal(document.ok, false);
  t.ok(document.errors.length >= 3);
  t.same(Object.keys(document), ['ok', 'file', 'gateway', 'errors', 'advisories']);
});

t.test(
  'a key file that is missing or open to others is an error; so is a file that cannot be read',
  async (t) => {
    const keyFile = configFile('key', 'correct-horse-battery\n');
    chmodSync(keyFile, 0o644);
    const open = configFile('open.yaml', GOOD.replace('psk: correct-horse-battery', 'psk_file: key'));
    const none = configFile('none.yaml', GOOD.replace('psk: correct-horse-battery', 'psk_file: nowhere'));
    const [opened, gone, missing, isFolder] = await Promise.all([
      commandLine('check', '--config', open),
      commandLine('check', '--config', none),
      commandLine('check', '--config', join(folder, 'nowhere.yaml'), '--output', 'json'),
      commandLine('run', '--config', folder),
    ]);
    t.equal(opened?.code, 1);
    t.match(opened?.err, /connections\[0\]\.psk_file: .*chmod 600/);
    t.equal(gone?.code, 1);
    t.match(gone?.err, /connections\[0\]\.psk_file: "nowhere" is not there/);
    t.equal(missing?.code, 1);
    t.match(missing?.err, /^culvert: the configuration file [^\n]+ is not there\n$/);
    t.match(JSON.parse(missing?.out ?? ''), { error: { message: /the configuration file .* is not there/ } });
    t.equal(isFolder?.code, 1);
    t.match(isFolder?.err, /^culvert: .* is a folder: name a file in it\n$/);
    chmodSync(keyFile, 0o600);
    const closed = await commandLine('check', '--config', open);
    t.equal(closed.code, 0, closed.err);
  },
);

t.test('run refuses a wrong file as check does', async (t) => {
  const path = configFile('wrong.yaml', GOOD.replace('192.0.2.1 }', '192.0.2.1, interfce: x }'));
  const { code, err } = await culvert('run', '--config', path);
  t.equal(code, 1);
  t.match(err, /gateway\.interfce: .*interface/);
});

t.test('without a daemon the commands that need one say how to get one', async (t) => {
  const nowhere = join(folder, 'nowhere.sock');
  const [status, up, down, file] = await Promise.all([
    culvert('status', '--control', nowhere),
    commandLine('up', 'x', '--control', nowhere),
    commandLine('down', 'x', '--control', nowhere, '--output', 'json'),
    culvert('status', '--control', configFile('plain', '')),
  ]);
  for (const outcome of [status, up, down]) {
    t.equal(outcome?.code, 1);
    t.match(outcome?.err, /^culvert: no daemon: .*culvert run --config FILE[^\n]*\n$/);
  }
  t.match(JSON.parse(down?.out ?? ''), { error: { message: /^no daemon/ } });
  t.equal(file?.code, 1);
  t.match(file?.err, /^culvert: [^\n]+\n$/);
});

t.test('something else behind the control socket is told as such', async (t) => {
  const path = join(folder, 'other.sock');
  const server = createServer((socket) => socket.end('220 mail ready\r\n'));
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => server.close());
  const { code, err } = await culvert('status', '--control', path);
  t.equal(code, 1);
  t.match(err, /^culvert: the daemon has closed the connection[^\n]*\n$/);
});

t.test('a reader that leaves early is no failure', async (t) => {
  const script = `"${process.execPath}" "${PROGRAM}" --help | head -1; echo done`;
  const { out, err } = await programOutcome(['env', ...UNHOOKED, 'sh', '-c', script]);
  t.match(out, /done\n$/);
  t.equal(err, '');
});

t.test('suites in words', async (t) => {
  t.same(parseSuite('aes256-sha256-modp2048'), {
    ike: { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256', dh_group: 14 },
    esp: { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256', pfs: 'disabled' },
  });
  t.same(parseSuite('aes128gcm16'), {
    ike: { encryption_algorithm: 'aes128gcm16', authentication_algorithm: 'sha256', dh_group: 14 },
    esp: { encryption_algorithm: 'aes128gcm16', authentication_algorithm: 'disabled', pfs: 'disabled' },
  });
  t.same(parseSuite('3des-md5').ike, {
    encryption_algorithm: '3des',
    authentication_algorithm: 'md5',
    dh_group: 14,
  });
  t.same(parseSuite('aes256-sha512-x25519/chacha20poly1305-ecp256').esp, {
    encryption_algorithm: 'chacha20poly1305',
    authentication_algorithm: 'disabled',
    pfs: 'group_19',
  });
  t.equal(parseSuite('aes128gcm16-prfsha384-ecp384').ike.authentication_algorithm, 'sha384');
  t.throws(() => parseSuite('aes256'), /needs a hash/);
  t.throws(() => parseSuite('sha256'), /names no cipher/);
  t.throws(
    () => parseSuite('aes256-sha256-sha1'),
    /"sha1" is not a cipher, hash or group, or is one too many/,
  );
  t.throws(() => parseSuite('a/b/c'), /more than/);
});

t.test('no inspector is opened to others, by no signal and no option', async (t) => {
  const config = configFile('inspected.yaml', GOOD);
  for (const [where, argv] of [
    ['an option', [process.execPath, '--inspect=127.0.0.1:0', PROGRAM, 'run', '--config', config]],
    [
      'NODE_OPTIONS',
      ['env', 'NODE_OPTIONS=--inspect=127.0.0.1:0', process.execPath, PROGRAM, 'serve', '--config', config],
    ],
  ] as const) {
    const { code, err } = await programOutcome(argv[0] === 'env' ? argv : ['env', ...UNHOOKED, ...argv]);
    t.equal(code, 1, where);
    t.match(err, /culvert: Node's inspector is open.*start without --inspect/);
  }
  // A command that stays: it watches a daemon that never answers.
  const silent = createServer();
  const path = join(folder, 'silent.sock');
  await new Promise<void>((resolve) => silent.listen(path, resolve));
  const asked = new Promise<Socket>((resolve) => silent.once('connection', resolve));
  const argv = ['-u', 'NODE_OPTIONS', process.execPath, PROGRAM, 'status', '--control', path];
  const child = spawn('env', argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const client = await asked;
  child.kill('SIGUSR1');
  // The signals are taken in order: when the second one has ended it, the first one was dealt with.
  await new Promise((resolve) => setTimeout(resolve, 300));
  child.kill('SIGTERM');
  await new Promise((resolve) => child.once('close', resolve));
  t.notMatch(said, /Debugger listening/);
  client.destroy();
  silent.close();
});
