import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { isMeant } from '../../src/cli/wildcards.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../src/connection/status.js';
import type { ParamsOf } from '../../src/daemon/control/methods.js';
import { ControlError } from '../../src/daemon/control/protocol.js';
import { type ControlSupervision, listenControl } from '../../src/daemon/control/server.js';
import { commandLine } from '../helpers/command-line.js';
import { FakeDaemon } from '../helpers/fake-daemon.js';
import { supervisionOf } from '../helpers/supervision.js';

const quiet = pino({ level: 'silent' });
const ID = (n: number) => `0717-00000000-0000-4000-8000-00000000000${n}`;

/** A daemon with these connections; those that begin with `up` are. */
class Connections extends FakeDaemon {
  readonly asked: string[] = [];
  readonly #title: string;
  readonly #names: readonly string[];
  readonly #ids: readonly string[];

  constructor(title: string, names: readonly string[], ids = names) {
    super();
    this.#title = title;
    this.#names = names;
    this.#ids = ids;
  }

  override status({ name }: Partial<ParamsOf<'status'>> = {}): StatusDocument {
    const document = super.status();
    const [model] = document.connections as [ConnectionStatusDocument];
    const connections = this.#names.map((one, i): ConnectionStatusDocument => {
      const isUp = one.startsWith('up') || this.asked.includes(one);
      return {
        ...model,
        id: this.#ids[i]!,
        name: one,
        status: isUp ? 'up' : 'down',
        admin_state_up: one !== 'off',
        status_reasons: isUp ? [] : [{ code: 'peer_not_responding' as const, message: `${one} is silent` }],
      };
    });
    if (name !== undefined && !this.#names.includes(name)) throw new ControlError('not_found', 'none');
    return { gateway: { ...document.gateway, name: this.#title }, connections };
  }

  override up({ name }: ParamsOf<'up'>): ConnectionStatusDocument {
    this.asked.push(name);
    return this.status().connections.find((one) => one.name === name)!;
  }
}

/** The path of a socket is short. */
function shortFolder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'culvert-served-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

async function listen(
  t: Test,
  path: string,
  daemon: FakeDaemon,
  supervision?: ControlSupervision,
): Promise<void> {
  const server = await listenControl(path, quiet, supervision);
  server.serve(daemon);
  t.teardown(() => server.close());
}

t.test('connections are chosen by name, by pattern and by what is wrong', async (t) => {
  const control = join(shortFolder(t), 'c.sock');
  await listen(t, control, new Connections('g', ['up-1', 'up-2', 'branch-1', 'branch-2', 'off']));
  const status = (...argv: string[]) => commandLine('status', '--control', control, ...argv);
  const names = async (...argv: string[]) => {
    const { code, out } = await status(...argv, '--output', 'json');
    return [code, JSON.parse(out).connections.map((one: { name: string }) => one.name)];
  };
  t.same(await names(), [0, ['up-1', 'up-2', 'branch-1', 'branch-2', 'off']]);
  t.same(await names('--down'), [1, ['branch-1', 'branch-2']], 'what is down on purpose is not wrong');
  t.same(await names('branch-*'), [1, ['branch-1', 'branch-2']]);
  t.same(await names('up-?'), [0, ['up-1', 'up-2']]);
  t.same(await names('up-1', 'off'), [1, ['up-1', 'off']]);
  t.same(await names('up-*', '--down'), [0, []]);
  t.match(JSON.parse((await status('up-1', '--output', 'json')).out), { name: 'up-1' }, 'one name: that one');
  const text = await status('--down');
  t.match(text.out, /2 of 5 connections up/);
  t.match(text.out, /2 of 5 connections are shown\./);
  t.notMatch(text.out, /up-1/);
  t.match((await status('up-*', '--down')).out, /Every connection that is to be up is\./);
  t.match(await status('x-*'), { code: 1, err: /no connection of gateway "g" matches "x-\*"/ });
  t.match(await status('brunch-1'), {
    code: 1,
    err: /has no connection "brunch-1"; did you mean "branch-1"\?/,
  });
});

t.test('a summary of many connections', async (t) => {
  const control = join(shortFolder(t), 'c.sock');
  const many = Array.from({ length: 500 }, (_, n) => `branch-${n}`);
  await listen(t, control, new Connections('g', ['up-1', 'off', ...many]));
  const text = await commandLine('status', '--control', control, '--summary');
  t.equal(text.code, 0);
  t.match(text.out, /502 connections: 1 up, 0 degraded, 501 down\n/);
  t.match(text.out, /^peer_not_responding +500 +branch-0, branch-1, branch-2$/m);
  t.ok(text.out.split('\n').length < 10, 'and not a word on each');
  const json = await commandLine('status', '--control', control, '--summary', '--output', 'json');
  t.match(JSON.parse(json.out), {
    gateway: { name: 'g' },
    summary: {
      total: 502,
      up: 1,
      causes: [
        { cause: 'peer_not_responding', count: 500 },
        { cause: 'admin_state_up: false', count: 1 },
      ],
    },
  });
});

t.test('a gateway that does not answer takes no other one along', async (t) => {
  const folder = shortFolder(t);
  const listenAs = (index: number, names: ControlSupervision['names']): Promise<void> =>
    listen(t, join(folder, `${ID(index)}-0.sock`), new Connections('west', ['up-1'], [ID(3)]), {
      ...supervisionOf('west'),
      names,
    });
  await listenAs(1, () => ({ gateway: 'west', connections: { [ID(3)]: 'up-1' } }));
  await listenAs(2, () => new Promise<never>(() => undefined));
  const run = (...argv: string[]) => commandLine(...argv, '--run-folder', folder, '--timeout', '0.5');
  t.match(await run('status', 'west/up-1'), { code: 0, out: /up-1/ });
  t.match(await run('status', `${ID(1)}/up-1`), { code: 0 });
  t.match(
    await run('status', 'west/up-1', 'east'),
    { code: 1, err: /does not answer/ },
    'it may be that one',
  );
  t.match(await run('status'), { code: 1, err: /does not answer/ });
});

t.test('gateways of culvert serve by the names of gateways and connections', async (t) => {
  const folder = shortFolder(t);
  const serve = async (index: number, member: number, title: string, names: Record<string, string>) => {
    const daemon = new Connections(title, Object.values(names), Object.keys(names));
    await listen(t, join(folder, `${ID(index)}-${member}.sock`), daemon, {
      ...supervisionOf(title),
      names: () => ({ gateway: title, connections: names }),
    });
    return daemon;
  };
  await serve(1, 0, 'west', { [ID(3)]: 'to-east', [ID(4)]: 'to-north' });
  const east = await serve(2, 0, 'east', { [ID(5)]: 'to-west' });
  await serve(2, 1, 'east', { [ID(5)]: 'to-west' });
  const run = (command: string, ...argv: string[]) => commandLine(command, ...argv, '--run-folder', folder);

  const all = await run('status');
  t.equal(all.code, 0, all.err);
  for (const title of ['east, member 1', 'east, member 2', 'west, member 1']) t.match(all.out, title);
  t.match(all.out, /to-north/);
  t.notMatch(all.out, '0717-', 'ids are for programs');
  const json = JSON.parse((await run('status', '--output', 'json')).out);
  t.same(
    json.map((one: StatusDocument) => one.gateway.name),
    ['east', 'east', 'west'],
  );
  const west = JSON.parse((await run('status', 'west', '--output', 'json')).out);
  t.same(
    west.connections.map((one: { name: string }) => one.name),
    ['to-east', 'to-north'],
  );
  t.match(await run('status', 'west/to-*', '--down', '--output', 'json'), { code: 1 });
  t.match(JSON.parse((await run('status', `${ID(1)}/to-east`, '--output', 'json')).out), { name: 'to-east' });

  const why = await run('explain', 'west/to-east', '--output', 'json');
  t.equal(why.code, 1);
  t.match(await run('up', 'east/to-west'), { code: 0, out: /to-west: initiating/ });
  t.same(east.asked, ['to-west']);
  const byId = await run('status', `west/${ID(3)}`, '--output', 'json');
  t.match(JSON.parse(byId.out), { id: ID(3), name: 'to-east' }, 'an id of the API is taken, too');
  t.match(await run('up', 'east'), { code: 1, err: /as GATEWAY\/CONNECTION/ });
  t.match(await run('status', 'wesst'), { code: 1, err: /runs no gateway "wesst"; did you mean "west"\?/ });
  t.match(await run('status', 'south/x'), {
    code: 1,
    err: /runs no gateway "south"; running are: east, west/,
  });
  t.match(await run('explain', 'west/to-eest'), {
    code: 1,
    err: /has no connection "to-eest"; did you mean "to-east"\?/,
  });
  t.match(await run('status', '--watch'), {
    code: 2,
    err: /--watch takes one gateway: name one of east, west/,
  });
});

t.test('patterns', async (t) => {
  t.ok(isMeant('*', 'a'));
  t.ok(isMeant('a*c', 'abc'));
  t.notOk(isMeant('a*c', 'abcd'));
  t.ok(isMeant('a.c', 'a.c'));
  t.notOk(isMeant('a.*', 'abc'), 'a dot is a dot');
});
