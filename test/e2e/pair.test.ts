import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { PairReport } from '../../src/cli/pair/report.js';
import type { StatusDocument } from '../../src/connection/status.js';
import { networkLabSupport } from '../../src/linux/namespaces.js';
import { PROGRAM, programOutcome, UNHOOKED } from '../helpers/program.js';

const checkout = fileURLToPath(new URL('../../', import.meta.url));
/** Where the checkout is bind-mounted for an ordinary user, who may not reach its real place. */
const MOUNTED = '/mnt';
const NOBODY = '65534';

const asNobody = ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups'];

/** In mounts of our own: the checkout within everybody's reach and a TUN node for everybody. */
const MOUNTS = [
  'mount --bind "$CHECKOUT" /mnt',
  'mount -t tmpfs -o mode=755 tmpfs /dev/net',
  'mknod -m "$TUN_MODE" /dev/net/tun c 10 200',
].join(' && ');

const isRoot = process.getuid?.() === 0;
const support = networkLabSupport();
const skip = whyNot();
const skipAsUser = skip || whyNoUser();

/** Why two gateways cannot run here at all. */
function whyNot(): string | false {
  if (!support.ok) return support.reason;
  const tun = spawnSync('sh', ['-c', ': <>/dev/net/tun'], { encoding: 'utf8' });
  return tun.status === 0 ? false : `/dev/net/tun cannot be opened: ${tun.stderr.trim()}`;
}

/** Why an ordinary user cannot be played here. */
function whyNoUser(): string | false {
  if (!isRoot) return 'only root can become another user; the other tests ran as one';
  const probe = inMounts('exec setpriv "$@" unshare --user --map-root-user --net true', asNobody);
  return probe.status === 0 ? false : `an ordinary user may make no namespaces: ${probe.stderr.trim()}`;
}

function mountArguments(script: string, argv: readonly string[]): string[] {
  return ['--mount', '--propagation', 'private', 'sh', '-c', `${MOUNTS} && ${script}`, 'sh', ...argv];
}

function inMounts(script: string, argv: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return spawnSync('env', [...UNHOOKED, 'unshare', ...mountArguments(script, argv)], {
    encoding: 'utf8',
    env: { ...process.env, CHECKOUT: checkout, TUN_MODE: '666', ...env },
  });
}

/** One program with everything it starts, recognised by a mark in the environment. */
class Run {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: string | null }>;
  readonly folder = mkdtempSync(join(tmpdir(), 'culvert-e2e-'));
  out = '';
  err = '';
  readonly #mark = `CULVERT_E2E=${randomUUID()}`;
  readonly #namespaces = new Set<string>();

  constructor(argv: readonly string[]) {
    // So that an ordinary user may use it too.
    chmodSync(this.folder, 0o777);
    const [name, value] = this.#mark.split('=') as [string, string];
    this.child = spawn('env', [...UNHOOKED, ...argv], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, CHECKOUT: checkout, TUN_MODE: '666', TMPDIR: this.folder, [name]: value },
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.out += text;
      this.#look();
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.err += text;
      this.#look();
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code, signal) => resolve({ code, signal }));
    });
  }

  /** Processes of it that live, without zombies. */
  processes(): { readonly pid: number; readonly command: string }[] {
    return pids().flatMap((pid) => {
      const environment = contentOf(`/proc/${pid}/environ`);
      if (!environment.includes(this.#mark)) return [];
      return [{ pid, command: contentOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ') }];
    });
  }

  async until(what: string, found: () => boolean): Promise<void> {
    for (let i = 0; i < 600; i++) {
      this.#look();
      if (found()) return;
      if (this.child.exitCode !== null) break;
      await pause(50);
    }
    throw new Error(`${what} did not happen: ${this.err}${this.out}`);
  }

  /** Waits a moment for the kernel to clear up, then names what is still there. */
  async leftovers(): Promise<string[]> {
    for (let i = 0; ; i++) {
      const left = [
        ...this.processes().map(({ command }) => `process ${command}`),
        ...readdirSync(this.folder).map((name) => `file ${name}`),
        ...pids()
          .filter((pid) => this.#namespaces.has(namespaceOf(pid)))
          .map((pid) => `namespace of process ${pid}`),
      ];
      if (left.length === 0 || i === 100) return left;
      await pause(50);
    }
  }

  get namespaces(): number {
    return this.#namespaces.size;
  }

  remove(): void {
    for (const { pid } of this.processes()) process.kill(pid, 'SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }

  #look(): void {
    const own = namespaceOf(process.pid);
    for (const { pid } of this.processes()) {
      const namespace = namespaceOf(pid);
      if (namespace !== '' && namespace !== own) this.#namespaces.add(namespace);
    }
  }
}

function pids(): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^[0-9]+$/.test(entry))
    .map(Number);
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function namespaceOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
}

function links(): string[] {
  return contentOf('/proc/net/dev')
    .split('\n')
    .flatMap((line) => /^ *([^ :]+):/.exec(line)?.[1] ?? []);
}

function pair(...argv: string[]): Run {
  return new Run([process.execPath, PROGRAM, 'pair', ...argv]);
}

function culvert(...argv: string[]) {
  return spawnSync('env', [...UNHOOKED, process.execPath, PROGRAM, ...argv], { encoding: 'utf8' });
}

function checkReport(t: Test, report: PairReport, privileges: string): void {
  t.same(Object.keys(report), [
    'ok',
    'errors',
    'ike_version',
    'suite_requested',
    'suite',
    'privileges',
    'setup_ms',
    'sites',
    'ping',
    'transfer',
  ]);
  t.same(report.errors, []);
  t.equal(report.ok, true);
  t.equal(report.privileges, privileges);
  t.equal(typeof report.setup_ms, 'number');
  t.same(
    report.sites.map(({ name, status }) => [name, status?.connections.map((one) => [one.name, one.status])]),
    [
      ['site-a', [['to-site-b', 'up']]],
      ['site-b', [['to-site-a', 'up']]],
    ],
  );
  t.same(
    report.ping.map(({ from, to, sent, received }) => [from, to, sent, received]),
    [
      ['lan-a', 'lan-b', 5, 5],
      ['lan-b', 'lan-a', 5, 5],
    ],
  );
  for (const [i, { from, to, bytes, mbit_per_s }] of report.transfer.entries()) {
    t.same([from, to], i === 0 ? ['lan-a', 'lan-b'] : ['lan-b', 'lan-a']);
    t.ok(bytes > 100_000, `${from} to ${to}: ${bytes} octets`);
    t.ok(mbit_per_s > 0);
    const sender = report.sites[i]?.status?.connections[0]?.children[0];
    t.ok((sender?.bytes_out ?? 0) >= bytes, 'what arrived went through the tunnel');
  }
}

t.test('pair --once: traffic both ways, a report, nothing left', { skip }, async (t) => {
  const before = links();
  const run = pair('--once', '--seconds', '0.3', '--output', 'json');
  t.teardown(() => run.remove());
  const { code } = await run.ended;
  t.equal(code, 0, run.err);
  t.equal(run.err, '', 'nothing beside the report');
  checkReport(t, JSON.parse(run.out) as PairReport, isRoot ? 'root' : 'user namespace');
  t.same(await run.leftovers(), []);
  t.same(links(), before, 'no device on the host');
});

t.test('pair --once as an ordinary user, with a chosen suite', { skip: skipAsUser }, async (t) => {
  const argv = [...asNobody, 'env', 'HOME=/', process.execPath, `${MOUNTED}/dist/main.js`, 'pair', '--once'];
  const options = ['--seconds', '0.3', '--suite', 'aes256gcm16-x25519', '--output', 'json'];
  const run = new Run(['unshare', ...mountArguments('exec setpriv "$@"', [...argv, ...options])]);
  t.teardown(() => run.remove());
  const { code } = await run.ended;
  t.equal(code, 0, run.err);
  const report = JSON.parse(run.out) as PairReport;
  checkReport(t, report, 'user namespace');
  t.equal(report.suite_requested, 'aes256gcm16-x25519');
  t.match(report.suite, { ike: /^IKEv2 aes256gcm16\//, esp: /^aes256gcm16/ });
  t.same(await run.leftovers(), []);
});

t.test('without --once it stays, can be asked and steered, and Ctrl-C ends it', { skip }, async (t) => {
  const run = pair('--seconds', '0.2', '--output', 'json');
  t.teardown(() => run.remove());
  await run.until('the report', () => /^}$/m.test(run.out));
  const report = JSON.parse(run.out) as PairReport;
  t.equal(report.ok, true);
  t.ok(run.namespaces >= 4, `${run.namespaces} namespaces are in use`);
  const control = ['--control', report.sites[0]!.control];

  const table = culvert('status', ...control);
  t.equal(table.status, 0, table.stderr);
  t.match(
    table.stdout,
    /^site-a: policy mode, 192\.0\.2\.1, .* 1 of 1 connection up\nclear packets: .*\n\nNAME /,
  );
  const one = culvert('status', 'to-site-b', ...control);
  t.equal(one.status, 0, one.stderr);
  t.match(one.stdout, /^to-site-b: up\n/);
  const whole = culvert('status', '--output', 'json', ...control);
  t.equal((JSON.parse(whole.stdout) as StatusDocument).connections[0]?.status, 'up');
  const unknown = culvert('status', 'to-site-x', ...control);
  t.equal(unknown.status, 1);
  t.match(unknown.stderr, /^culvert: .*no connection "to-site-x"; did you mean "to-site-b"\?\n$/);

  const down = culvert('down', 'to-site-b', ...control, '--output', 'json');
  t.equal(down.status, 0, down.stderr);
  t.match(JSON.parse(down.stdout), { name: 'to-site-b', requested: 'down', ok: true });
  t.equal(culvert('status', 'to-site-b', ...control).status, 1, 'a connection that is down is exit code 1');
  const up = culvert('up', 'to-site-b', '--wait', '--timeout', '20', ...control);
  t.equal(up.status, 0, up.stderr);
  t.match(up.stdout, /^to-site-b: up\n/);

  run.child.kill('SIGINT');
  t.match(await run.ended, { code: 0 });
  t.same(await run.leftovers(), []);
});

t.test('a person is told how to enter its hosts, and that it has ended', { skip }, async (t) => {
  const run = pair('--seconds', '0.2');
  t.teardown(() => run.remove());
  await run.until('the way in', () => /^ {2}nsenter .* ping \S+\n/m.test(run.out));
  const [enter = '', address = ''] = /^ {2}(nsenter .*) ping (\S+)$/m.exec(run.out)?.slice(1) ?? [];
  t.equal(address, '10.2.0.10');
  const ping = await programOutcome([...enter.split(' '), 'ping', '-c', '1', '-W', '5', address]);
  t.equal(ping.code, 0, `${ping.out}${ping.err}`);
  run.child.kill('SIGINT');
  t.match(await run.ended, { code: 0 });
  t.match(run.err, /^culvert: both gateways have ended, and their namespaces are gone$/m);
});

t.test('a killed gateway fails the whole, and nothing is left', { skip }, async (t) => {
  const run = pair('--once', '--seconds', '20');
  t.teardown(() => run.remove());
  await run.until('the transfer', () => /TCP from lan-a/.test(run.err));
  const gateway = run.processes().find(({ command }) => command.includes('site-b.yaml'));
  process.kill(gateway!.pid, 'SIGKILL');
  const { code } = await run.ended;
  t.equal(code, 1);
  t.match(run.out, /failed: gateway site-b was killed by SIGKILL/);
  t.same(await run.leftovers(), []);
});

t.test('whoever kills the parent takes everything with it', { skip }, async (t) => {
  const run = pair('--once', '--seconds', '20');
  t.teardown(() => run.remove());
  await run.until('the transfer', () => /TCP from lan-a/.test(run.err));
  t.ok(run.processes().length >= 8, 'parent, four holders, two gateways, two hosts');
  run.child.kill('SIGKILL');
  t.match(await run.ended, { signal: 'SIGKILL' });
  t.same(await run.leftovers(), []);
});

t.test('an interrupt in the middle ends it in order', { skip }, async (t) => {
  const run = pair('--once', '--seconds', '20');
  t.teardown(() => run.remove());
  await run.until('the transfer', () => /TCP from lan-a/.test(run.err));
  run.child.kill('SIGTERM');
  const { code } = await run.ended;
  t.equal(code, 1);
  t.match(run.out, /failed: interrupted/);
  t.same(await run.leftovers(), []);
});

t.test('what is missing is told in one line with the remedy', { skip: skipAsUser }, async (t) => {
  const node = [process.execPath, `${MOUNTED}/dist/main.js`, 'pair', '--once'];
  const cases: readonly (readonly [
    what: string,
    script: string,
    argv: string[],
    tun: string,
    says: RegExp,
  ])[] = [
    [
      'no right to TUN',
      'exec setpriv "$@"',
      [...asNobody, ...node],
      '600',
      /\/dev\/net\/tun may not be opened/,
    ],
    ['no TUN', 'rm /dev/net/tun && exec "$@"', node, '666', /\/dev\/net\/tun is missing; .*modprobe tun/],
    [
      'no ip',
      'for f in /bin/ip /sbin/ip /usr/bin/ip /usr/sbin/ip; do [ -e $f ] && mount --bind /dev/null $f; done; exec "$@"',
      node,
      '666',
      /"ip" is missing; install the package iproute2/,
    ],
  ];
  for (const [what, script, argv, mode, says] of cases) {
    const { status, stdout, stderr } = inMounts(script, argv, { TUN_MODE: mode });
    t.equal(status, 1, `${what}: exit code`);
    t.equal(stdout, '', what);
    t.match(stderr, says, what);
    t.match(stderr, /^culvert: [^\n]+\n$/, `${what}: one line`);
  }
});
