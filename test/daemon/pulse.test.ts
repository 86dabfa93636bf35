import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { ControlClient } from '../../src/daemon/control/client.js';
import { endLeftover } from '../../src/daemon/serve/launch.js';
import { MemberProcess, type MemberState } from '../../src/daemon/serve/member-process.js';
import { PULSE_PACE, Pulse } from '../../src/daemon/serve/pulse.js';
import { encodeDesired } from '../../src/daemon/supervised/desired-state.js';
import { exampleGateway } from '../helpers/example-gateway.js';
import { UNHOOKED } from '../helpers/program.js';

/** A pulse over a process that answers when the test says so. */
function watched() {
  let now = 0;
  const told: string[] = [];
  const open: (() => void)[] = [];
  const pulse = new Pulse(
    {
      ask: () => new Promise<void>((resolve) => open.push(resolve)),
      silent: (since) => told.push(`silent since ${since}`),
      answered: () => told.push('answered'),
      dead: () => told.push('dead'),
    },
    PULSE_PACE,
    { now: () => now, wall: () => 1_000_000 + now },
  );
  const beat = (times = 1, ms = PULSE_PACE.beat): void => {
    for (let n = 0; n < times; n++) {
      now += ms;
      pulse.beat();
    }
  };
  const answer = async (): Promise<void> => {
    for (const resolve of open.splice(0)) resolve();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { told, beat, answer, asked: () => open.length };
}

t.test('a process that does not answer is reported within seconds, and ended after a minute', async (t) => {
  const { told, beat, answer, asked } = watched();
  for (let n = 0; n < 100; n++) {
    beat();
    await answer();
  }
  t.same(told, [], 'one that answers is never reported');
  beat(2);
  t.same(told, []);
  beat();
  t.same(told, ['silent since 1200000'], 'since its last answer');
  beat(20);
  t.equal(told.length, 1, 'once');
  t.equal(asked(), 1, 'and no second question is put before the first is answered');
  await answer();
  t.same(told.splice(0), ['silent since 1200000', 'answered']);
  beat(30);
  t.equal(told.length, 1);
  beat();
  t.equal(told.at(-1), 'dead', 'not before a minute');
});

t.test('a server that stood still itself blames nobody for the silence', async (t) => {
  const { told, beat, answer } = watched();
  beat();
  beat(1, 3_600_000);
  await answer();
  t.same(told, []);
});

const quiet = pino({ level: 'silent' });
const PACE = { beat: 25, silent: 100, dead: 600_000 };

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'culvert-pulse-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Speaks the control protocol as a gateway process does, with nothing behind it. */
const PROCESS = `
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
const control = process.argv[process.argv.indexOf('--control') + 1];
const status = { gateway: { name: 'g' }, connections: [] };
const answers = {
  attach: () => ({ pid: process.pid, version: VERSION, configured: false }),
  configure: () => ({ ok: true }), watch: () => status, status: () => status, ping: () => ({ pong: true }),
  events: () => ({ last: '' }),
};
rmSync(control, { force: true });
createServer((socket) => {
  socket.setEncoding('utf8').on('data', (text) => {
    for (const line of text.split('\\n').filter((one) => one !== '')) {
      const { id, method } = JSON.parse(line);
      socket.write(JSON.stringify({ id, result: answers[method]() }) + '\\n');
    }
  }).on('error', () => {});
}).listen(control);
process.on('SIGTERM', () => process.exit(0));
`;

t.test(
  'a stopped gateway is reported as such, delays nobody, and is well again when it goes on',
  async (t) => {
    const path = folder(t);
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    const program = join(path, 'process.mjs');
    writeFileSync(program, PROCESS.replace('VERSION', JSON.stringify(version)));
    const control = join(path, 'g.sock');
    const log: string[] = [];
    const events: string[] = [];
    const seen = new Set<() => void>();
    const launch = {
      id: 'g',
      control,
      program: ['env', ...UNHOOKED, process.execPath, program],
      orphanSeconds: 1,
      logLevel: 'info',
      logFormat: 'json' as const,
    };
    const desired = encodeDesired(exampleGateway('to-b'));
    const member = new MemberProcess(desired, {
      launch,
      pace: PACE,
      logger: pino({ level: 'info' }, { write: (line: string) => void log.push(line) }),
      publish: (event) => void events.push(event.kind),
      changed: () => {
        for (const look of seen) look();
      },
    });
    t.teardown(() => member.stop());
    const become = (state: MemberState) =>
      new Promise<void>((resolve) => {
        const look = (): void => {
          if (member.state !== state) return;
          seen.delete(look);
          resolve();
        };
        seen.add(look);
        look();
      });
    member.start();
    await become('running');
    const pid = member.pid!;
    t.ok(member.status);
    t.equal(member.fault, undefined);
    const ask = () => member.ask((client) => client.ping());
    t.same(await ask(), { pong: true });
    process.kill(pid, 'SIGSTOP');
    const asked = ask();
    await become('silent');
    t.equal(await asked, undefined, 'a question does not wait for it');
    t.equal(await ask(), undefined);
    t.equal(member.fault?.kind, 'silent');
    t.match(
      member.reason,
      /^The gateway process [0-9]+ has not answered since 20[^;]+Z; it will be killed if/,
    );
    t.equal(member.status, undefined, 'an old status is none');
    t.match(log.join(''), /gateway g: The gateway process [0-9]+ has not answered since/);
    const other = encodeDesired(exampleGateway('another-name'));
    await member.patch(other);
    t.equal(member.state, 'silent', 'a change does not wait for it');
    process.kill(pid, 'SIGCONT');
    await become('running');
    t.equal(member.reason, undefined);
    t.equal(member.pid, pid, 'it was not ended');
    t.match(log.join(''), /gateway g answers again/);
    process.kill(pid, 'SIGSTOP');
    await become('silent');
    process.kill(pid, 'SIGKILL');
    await become('running');
    t.same(await ask(), { pong: true });
    t.not(member.pid, pid, 'a killed one is replaced as ever');
    const silence = ['gateway-silent', 'gateway-answers'];
    t.same(events, ['gateway-started', ...silence, 'gateway-silent', 'gateway-ended', 'gateway-started']);
  },
);

t.test(
  'what listens at a control socket and never answers does not stop the start, and names itself',
  async (t) => {
    const control = join(folder(t), 'g.sock');
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(control, resolve));
    t.teardown(() => server.close());
    const message = new RegExp(`the gateway process at ${control} does not answer`);
    await t.rejects(endLeftover(control), { name: 'StartError', message, remedy: /suspended/ });
    const member = new MemberProcess(encodeDesired(exampleGateway()), {
      launch: { id: 'g', control, program: ['false'], orphanSeconds: 1, logLevel: 'info', logFormat: 'json' },
      logger: quiet,
      publish: () => undefined,
      changed: () => undefined,
    });
    member.start();
    while (member.reason === undefined) await new Promise((resolve) => setTimeout(resolve, 50));
    t.match(member.reason, message);
    t.equal(member.fault?.kind, 'silent');
    await member.release();
    const client = await ControlClient.connect(control);
    if (client.peerPid !== undefined) t.equal(client.peerPid, process.pid);
    client.close();
  },
);

t.test('why a gateway does not start is told apart: its address, or something else', async (t) => {
  for (const [refusal, kind] of [
    [{ code: 'no_address', message: 'the address 192.0.2.1 cannot be added: EPERM' }, 'address'],
    [{ code: 'failed', message: 'UDP port 500 is in use' }, 'start'],
  ] as const) {
    const path = folder(t);
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    const program = join(path, 'process.mjs');
    const refuses = PROCESS.replace(
      'const { id, method } = JSON.parse(line);',
      `const { id, method } = JSON.parse(line);
      if (method === 'configure') {
        socket.write(JSON.stringify({ id, error: ${JSON.stringify(refusal)} }) + '\\n');
        continue;
      }`,
    );
    writeFileSync(program, refuses.replace('VERSION', JSON.stringify(version)));
    const control = join(path, 'g.sock');
    const command = ['env', ...UNHOOKED, process.execPath, program];
    const launch = { id: 'g', control, program: command, orphanSeconds: 1, logLevel: 'info' } as const;
    const failed = new Promise<void>((resolve) => {
      const member = new MemberProcess(encodeDesired(exampleGateway()), {
        launch: { ...launch, logFormat: 'json' },
        pace: PACE,
        logger: quiet,
        publish: () => undefined,
        changed: () => {
          if (member.state !== 'failed') return;
          t.same(member.fault, { kind, message: refusal.message });
          resolve();
        },
      });
      t.equal(member.fault?.kind, 'starting');
      t.teardown(() => member.stop());
      member.start();
    });
    await failed;
  }
});
