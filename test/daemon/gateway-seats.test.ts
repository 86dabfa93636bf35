import { createSocket } from 'node:dgram';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { GatewaySeats } from '../../src/daemon/serve/gateway-seats.js';
import { SpareStarts } from '../../src/daemon/serve/spare-starts.js';
import { encodeDesired } from '../../src/daemon/supervised/desired-state.js';
import type { Seat } from '../../src/daemon/warden/local-seats.js';
import { exampleGateway } from '../helpers/example-gateway.js';
import { UNHOOKED } from '../helpers/program.js';

/**
 * Speaks the control protocol as a gateway process does. While it speaks it holds a UDP port, which the kernel gives to
 * one process only; two that speak at once are found by that.
 */
const PROCESS = `
import { appendFileSync, rmSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
const given = (name) => process.argv[process.argv.indexOf(name) + 1];
const control = given('--control');
const status = { gateway: { name: 'g' }, connections: [] };
let term;
const seat = control.at(-6);
const note = (text) => appendFileSync(LOG, text + '\\n');
const answers = {
  attach: () => ({
    pid: process.pid, version: VERSION, configured: term !== undefined, ...(term === undefined ? {} : { term }),
  }),
  prepare: () => ({ prepared: true }),
  take: (params) => {
    term = params.term;
    createSocket('udp4').on('error', () => note('TWO SPEAK')).bind({ port: PORT, address: '127.0.0.1', exclusive: true });
    note('take ' + seat + ' ' + term);
    return { ok: true };
  },
  release: () => {
    setTimeout(() => process.exit(0), 20);
    return { released: true };
  },
  configure: () => {
    note('configure ' + seat);
    return { ok: true };
  },
  watch: () => status, status: () => status, ping: () => ({ pong: true }),
  events: () => ({ last: '' }),
};
note('start ' + seat);
rmSync(control, { force: true });
createServer((socket) => {
  socket.setEncoding('utf8').on('data', (text) => {
    for (const line of text.split('\\n').filter((one) => one !== '')) {
      const { id, method, params } = JSON.parse(line);
      socket.write(JSON.stringify({ id, result: answers[method](params) }) + '\\n');
    }
  }).on('error', () => {});
}).listen(control);
process.on('SIGTERM', () => process.exit(0));
`;

async function freePort(): Promise<number> {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address() as AddressInfo;
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

interface Lab {
  /** What the processes did since it was read last. */
  done(): string[];
  readonly events: string[];
  /** With processes that say they are of this version. */
  seats(version?: string): GatewaySeats;
}

const { version: VERSION } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { readonly version: string };

async function labOf(t: Test): Promise<Lab> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-seats-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const log = join(folder, 'log');
  writeFileSync(log, '');
  const port = await freePort();
  const programOf = (version: string): string => {
    const program = join(folder, `process-${version}.mjs`);
    const text = PROCESS.replaceAll('VERSION', JSON.stringify(version))
      .replaceAll('LOG', JSON.stringify(log))
      .replaceAll('PORT', String(port));
    writeFileSync(program, text);
    return program;
  };
  const events: string[] = [];
  const spares = new SpareStarts();
  let read = 0;
  return {
    events,
    done: () => {
      const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1);
      const news = lines.slice(read);
      read = lines.length;
      return news;
    },
    seats: (version = VERSION) =>
      new GatewaySeats(encodeDesired(exampleGateway('to-b')), {
        member: (seat) => ({
          launch: {
            id: 'g',
            control: join(folder, `g-${seat}.sock`),
            marks: join(folder, 'g-0.sock'),
            program: ['env', ...UNHOOKED, process.execPath, programOf(version)],
            orphanSeconds: 60,
            logLevel: 'info',
            logFormat: 'json' as const,
          },
          logger: pino({ level: 'silent' }),
          publish: () => undefined,
          changed: () => undefined,
        }),
        changed: () => undefined,
        publish: (seat, { kind, fields }) => void events.push(`${seat} ${kind} ${fields.reason}`),
        ...{ spares, settle: 50 },
        pace: { beat: 25, silent: 150, stopped: 100, busy: 600 },
      }),
  };
}

async function until(what: string, holds: () => boolean): Promise<void> {
  for (let n = 0; n < 600; n++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`it did not come to pass: ${what}`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Resolves when this seat speaks and the other is ready. */
function rest(seats: GatewaySeats, seat: Seat): Promise<void> {
  return until(`seat ${seat} speaks, the other is ready`, () => {
    const { active, speaker, standby } = seats;
    return active === seat && speaker.state === 'running' && standby.state === 'standby';
  });
}

t.test('two processes take turns, and never both', async (t) => {
  const lab = await labOf(t);
  const seats = lab.seats();
  t.teardown(() => seats.stop());
  seats.start();
  await rest(seats, 0);
  t.equal(seats.speaker, seats.members[0]);
  t.same(lab.done(), ['start 0', 'take 0 1', 'start 1'], 'the standby is started once the other speaks');

  process.kill(seats.speaker.pid!, 'SIGKILL');
  await rest(seats, 1);
  t.same(lab.events.splice(0), ['1 gateway-took-over ended']);
  t.same(lab.done(), ['take 1 2', 'start 0'], 'one that ended is not started before the other speaks');

  const frozen = seats.speaker.pid!;
  process.kill(frozen, 'SIGSTOP');
  await rest(seats, 0);
  t.notOk(isAlive(frozen), 'the one that hung is dead');
  t.same(lab.events.splice(0), ['0 gateway-took-over silent']);
  t.same(lab.done(), ['take 0 3', 'start 1']);

  for (const seat of [1, 0, 1] as const) {
    t.ok(seats.switch());
    t.notOk(seats.switch(), 'one at a time');
    await rest(seats, seat);
  }
  t.same(
    lab.events.splice(0),
    [1, 0, 1].map((seat) => `${seat} gateway-took-over switch`),
  );
  t.same(lab.done(), ['take 1 4', 'start 0', 'take 0 5', 'start 1', 'take 1 6', 'start 0']);
  t.same(seats.takeovers, { ended: 1, silent: 1, switch: 3 });
  t.same(
    [...seats.members].map(({ fault }) => fault?.kind),
    ['starting', undefined],
    'a released one had no trouble',
  );

  process.kill(seats.standby.pid!, 'SIGKILL');
  await until('it is seen', () => seats.standby.state !== 'standby');
  await rest(seats, 1);
  t.same(lab.events, [], 'a standby that ends is no takeover');
  t.same(lab.done(), ['start 0']);

  const pids = seats.members.map((member) => member.pid!);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await until(
    'both are others',
    () => !seats.members.some((one) => one.pid === undefined || pids.includes(one.pid)),
  );
  await rest(seats, seats.active!);
});

t.test('the next server finds both, and goes on', async (t) => {
  const lab = await labOf(t);
  const before = lab.seats();
  t.teardown(() => before.stop());
  before.start();
  await rest(before, 0);
  process.kill(before.speaker.pid!, 'SIGKILL');
  await rest(before, 1);
  const pids = before.members.map(({ pid }) => pid);
  await before.release();
  lab.done();
  lab.events.splice(0);

  const seats = lab.seats();
  t.teardown(() => seats.stop());
  seats.start();
  await rest(seats, 1);
  t.same(
    seats.members.map(({ pid }) => pid),
    pids,
  );
  t.same(lab.events, []);
  t.same(lab.done(), ['configure 1']);
  process.kill(seats.speaker.pid!, 'SIGKILL');
  await rest(seats, 0);
  t.same(lab.done(), ['take 0 3', 'start 1'], 'with a higher term than before');

  const [killed, left] = [seats.speaker.pid!, seats.standby.pid!];
  await seats.release();
  process.kill(killed, 'SIGKILL');
  const last = lab.seats();
  t.teardown(() => last.stop());
  last.start();
  await rest(last, 1);
  t.equal(last.speaker.pid, left, 'of one alone that is ready it is known at once that it is to speak');
});

t.test('a process of an older version goes on until one of this version is ready', async (t) => {
  const lab = await labOf(t);
  const before = lab.seats('0.0.1');
  t.teardown(() => before.stop());
  before.start();
  await rest(before, 0);
  await before.release();
  lab.done();

  const seats = lab.seats();
  t.teardown(() => seats.stop());
  seats.start();
  await until('the older one speaks', () => seats.active === 0);
  t.ok(seats.speaker.process?.isOutdated);
  await rest(seats, 1);
  t.notOk(seats.members.some((one) => one.process?.isOutdated));
  t.same(lab.events, ['1 gateway-took-over switch']);
  t.same(lab.done(), ['start 1', 'take 1 2', 'start 0'], 'it is not asked to be what it may not know');
});
