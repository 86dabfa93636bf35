import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { ConnectionStatusDocument, StatusDocument } from '../../src/connection/status.js';
import { type ControlSupervision, listenControl } from '../../src/daemon/control/server.js';
import { commandLine } from '../helpers/command-line.js';
import { FakeDaemon } from '../helpers/fake-daemon.js';
import { supervisionOf } from '../helpers/supervision.js';

const quiet = pino({ level: 'silent' });

/** A daemon whose connections are what a test says. */
class Daemon extends FakeDaemon {
  readonly connections: Record<string, Partial<ConnectionStatusDocument>> = {};
  readonly #title: string;

  constructor(title: string, connections: Record<string, Partial<ConnectionStatusDocument>>) {
    super();
    this.#title = title;
    this.connections = connections;
  }

  override status(): StatusDocument {
    const { gateway, connections } = super.status();
    const [model] = connections as [ConnectionStatusDocument];
    return {
      gateway: { ...gateway, name: this.#title },
      connections: Object.entries(this.connections).map(([name, more]) => ({ ...model, name, ...more })),
    };
  }
}

const UP = { status: 'up' } as const;
const because = (cause: string): Partial<ConnectionStatusDocument> => ({
  status: 'down',
  status_reasons: [{ code: 'peer_not_responding', message: 'x', details: { cause } }] as never,
});

function shortFolder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'culvert-check-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function listen(t: Test, path: string, daemon: FakeDaemon, supervision?: ControlSupervision) {
  const server = await listenControl(path, quiet, supervision);
  server.serve(daemon);
  t.teardown(() => server.close());
}

t.test('one line and an exit code of Nagios for the connections of a daemon', async (t) => {
  const control = join(shortFolder(t), 'c.sock');
  const connections: Record<string, Partial<ConnectionStatusDocument>> = {
    a: UP,
    b: UP,
    off: { admin_state_up: false },
    held: { activity: 'stopped' },
  };
  await listen(t, control, new Daemon('g', connections));
  const check = (...argv: string[]) => commandLine('status', '--check', '--control', control, ...argv);
  t.same(await check(), {
    code: 0,
    out: 'CULVERT OK - 2 of 2 connections up | up=2;;;0;2 degraded=0;;;0;2 down=0;;;0;2 disabled=2;;;0\n',
    err: '',
  });
  connections.b = { ...because('ts_narrowed'), status: 'degraded' };
  t.match(await check(), {
    code: 1,
    out: /^CULVERT WARNING - 1 of 2 connections up: b \(degraded, ts_narrowed\) \| up=1;;;0;2 degraded=1;/,
  });
  connections.a = because('psk_mismatch');
  t.match(await check(), {
    code: 2,
    out: /^CULVERT CRITICAL - 0 of 2 connections up: a \(down, psk_mismatch\), b \(degraded, ts_narrowed\) \|/,
  });
  t.match(await check('b'), { code: 1 }, 'only those that are named');
  t.match(await check('off'), { code: 0, out: /^CULVERT OK - 0 of 0 connections up/ });
  t.match(await check('[ab]*'), { code: 3 }, 'brackets are no pattern');
  t.match(await check('aa'), {
    code: 3,
    out: /^CULVERT UNKNOWN - .*has no connection "aa"; did you mean "a"/,
  });
  const json = await check('--output', 'json');
  t.equal(json.code, 2);
  t.match(JSON.parse(json.out), {
    state: 'critical',
    exit_code: 2,
    counts: { up: 0, degraded: 1, down: 1, disabled: 2 },
    problems: [
      { state: 'critical', name: 'a' },
      { state: 'warning', name: 'b' },
    ],
  });
  for (let n = 0; n < 40; n++) connections[`branch-${n}`] = because('x|y');
  const many = await check();
  t.match(many.out, /, and 37 more \| up=0;;;0;42 /, 'the line does not grow with what is wrong');
  t.equal(many.out.split('|').length, 2, 'one bar');
  t.equal(many.out.split('\n').length, 2, 'one line');
});

t.test(
  'a daemon that is not there or does not answer is critical, a question that is wrong is unknown',
  async (t) => {
    const folder = shortFolder(t);
    const check = (...argv: string[]) => commandLine('status', '--check', ...argv);
    t.match(await check('--control', join(folder, 'none.sock')), {
      code: 2,
      out: /^CULVERT CRITICAL - 0 of 0 connections up: no daemon: there is no control socket/,
    });
    writeFileSync(join(folder, 'file'), '');
    t.match(await check('--control', join(folder, 'file')), {
      code: 2,
      out: /no daemon listens at|not a control/,
    });
    t.match(await commandLine('status', '--check', '--summary'), { code: 2, err: /leave out/ });
  },
);

t.test('all gateways of culvert serve, those that do not run among them', async (t) => {
  const folder = shortFolder(t);
  const serve = (id: string, title: string, connections: Record<string, Partial<ConnectionStatusDocument>>) =>
    listen(t, join(folder, `${id}-0.sock`), new Daemon(title, connections), supervisionOf(title));
  await serve('id-1', 'west', { 'to-east': UP });
  await serve('id-2', 'east', { 'to-west': UP, 'to-north': because('peer_silent') });
  const check = (...argv: string[]) => commandLine('status', '--check', '--run-folder', folder, ...argv);
  t.match(await check(), {
    code: 2,
    out: /^CULVERT CRITICAL - 2 of 3 connections up: east\/to-north \(down, peer_silent\) \|/,
  });
  await listen(
    t,
    join(folder, 'id-1-1.sock'),
    new Daemon('west', {}),
    supervisionOf('west', { standby: true }),
  );
  t.match(
    await check('west'),
    { code: 0, out: /^CULVERT OK - 1 of 1 / },
    'a standby is neither counted nor missed',
  );
  t.match(await check('east/to-west'), { code: 0 });
  t.match(await check('north'), { code: 3, out: /UNKNOWN.*runs no gateway "north"/ });
  writeFileSync(join(folder, 'id-3-0.sock.namespace'), '');
  t.match(await check('west'), { code: 0 }, 'another one is none of its business');
  t.match(await check(), { code: 2, out: /CRITICAL.*gateway id-3 \(its process does not run\)/ });
  t.match(await check('north'), { code: 2 }, 'it may be the one that does not run');
});
