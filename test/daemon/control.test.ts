import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { ControlClient } from '../../src/daemon/control/client.js';
import { readRequest } from '../../src/daemon/control/methods.js';
import { LineSplitter } from '../../src/daemon/control/protocol.js';
import { type ControlServer, listenControl } from '../../src/daemon/control/server.js';
import { createLogger } from '../../src/telemetry/log.js';
import { FakeDaemon } from '../helpers/fake-daemon.js';

const logger = createLogger({ level: 'silent' });
const folder = mkdtempSync(join(tmpdir(), 'culvert-control-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
const newPath = (): string => join(folder, `${++count}.sock`);

async function serve(t: { teardown(fn: () => unknown): unknown }, path = newPath()) {
  const server = await listenControl(path, logger);
  const daemon = new FakeDaemon();
  server.serve(daemon);
  t.teardown(() => server.close());
  return { path, server, daemon };
}

/** Sends raw octets and answers with what comes back until the other side hangs up or `lines` have come. */
function raw(path: string, data: string | Uint8Array, lines: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    const finish = (): void => {
      socket.destroy();
      resolve(text.split('\n').filter((line) => line !== ''));
    };
    socket.on('data', (chunk) => {
      text += chunk.toString();
      if (text.split('\n').length > lines) finish();
    });
    socket.on('close', finish);
    socket.on('error', reject);
    socket.write(data);
  });
}

t.test('status, up, down and stop', async (t) => {
  const { path, daemon } = await serve(t);
  const client = await ControlClient.connect(path);
  t.teardown(() => client.close());
  t.match(await client.status(), { gateway: { name: 'g' }, connections: [{ name: 'c', status: 'down' }] });
  t.match(await client.status({ name: 'c' }), { connections: [{ name: 'c' }] });
  await t.rejects(client.status({ name: 'x' }), { code: 'not_found', message: 'there is no connection x' });
  t.match(await client.up({ name: 'c' }), { name: 'c' });
  t.match(await client.down({ name: 'c' }), { name: 'c', status: 'down' });
  await client.stop();
  t.equal(daemon.stopped, 1);
});

t.test('the socket is for its owner only and its folder is made', async (t) => {
  const path = join(folder, 'new', 'deeper', 'control.sock');
  const server = await listenControl(path, logger);
  t.equal(statSync(path).mode & 0o777, 0o600);
  await server.close();
  t.notOk(existsSync(join(folder, 'new')), 'what was made is gone again');
});

t.test('before it is ready the daemon says so', async (t) => {
  const path = newPath();
  const server = await listenControl(path, logger);
  t.teardown(() => server.close());
  const client = await ControlClient.connect(path);
  t.teardown(() => client.close());
  await t.rejects(client.status(), { code: 'starting' });
  server.serve(new FakeDaemon());
  t.match(await client.status(), { gateway: { name: 'g' } });
});

t.test('up with wait streams progress and resolves when it is up', async (t) => {
  const { path, daemon } = await serve(t);
  const client = await ControlClient.connect(path);
  t.teardown(() => client.close());
  const lines: string[] = [];
  const waiting = client.up({ name: 'c', wait: true }, (line) => lines.push(line));
  while (daemon.waiting === 0) await client.status();
  daemon.change('up');
  t.match(await waiting, { status: 'up' });
  t.same(lines, ['initiating']);
});

t.test('up with wait fails with the reason, and ends when the client goes', async (t) => {
  const { path, daemon } = await serve(t);
  const client = await ControlClient.connect(path);
  await t.rejects(client.up({ name: 'c', wait: true, timeout: 0.05 }), {
    code: 'failed',
    message: /No answer/,
  });
  const waiting = client.up({ name: 'c', wait: true });
  while (daemon.waiting === 0) await client.status();
  client.close();
  await t.rejects(waiting, { message: /closed the connection/ });
  const other = await ControlClient.connect(path);
  t.teardown(() => other.close());
  while (daemon.waiting > 0) await other.status();
  t.equal(daemon.waiting, 0, 'nobody waits for a client that is gone');
  await t.rejects(client.status(), { message: /closed the connection/ });
});

t.test('watch tells every change to every watcher until it goes', async (t) => {
  const { path, daemon } = await serve(t);
  const seen: string[] = [];
  const clients = await Promise.all([1, 2, 3].map(() => ControlClient.connect(path)));
  t.teardown(() => clients.map((client) => client.close()));
  for (const [i, client] of clients.entries()) {
    await client.watch({}, (status) => seen.push(`${i}${status.connections[0]!.status}`));
  }
  daemon.change('up');
  while (seen.length < 3) await clients[0]!.status();
  t.same(seen.sort(), ['0up', '1up', '2up']);
  clients[2]!.close();
  await clients[2]!.closed;
  while (daemon.listeners.size > 2) await clients[0]!.status();
  daemon.change('down');
  while (seen.length < 5) await clients[0]!.status();
  t.equal(daemon.listeners.size, 2);
});

t.test('events: those that are kept, and those that come, at the pace of the reader', async (t) => {
  const { path, daemon } = await serve(t);
  const client = await ControlClient.connect(path);
  t.teardown(() => client.close());
  const publish = (n: number): void =>
    daemon.hub.publish({
      kind: n % 2 === 0 ? 'quirk' : 'advisory',
      level: 'info',
      message: `${n}`,
      fields: {},
    });
  for (let n = 1; n <= 4; n++) publish(n);
  const seen: string[] = [];
  const take = ({ message }: { message: string }): void => void seen.push(message);
  t.same(await client.events({ from: 'oldest' }, take), { last: daemon.hub.position });
  t.same(seen.splice(0), ['1', '2', '3', '4'], 'before the answer');
  await client.events({ from: daemon.hub.idOf(3) }, take);
  t.same(seen.splice(0), ['4']);
  await client.events({ kinds: ['quirk'], follow: true }, take);
  for (let n = 5; n <= 500; n++) publish(n);
  while (seen.length < 248) await client.status();
  t.equal(seen.at(-1), '500', 'every second one');
  await t.rejects(client.events({ follow: true }), { code: 'refused', message: /open another one/ });
  client.close();
  await client.closed;
  const other = await ControlClient.connect(path);
  t.teardown(() => other.close());
  while (daemon.hub.subscribers > 0) await other.status();
  t.equal(daemon.hub.subscribers, 0, 'nothing is kept for a client that is gone');
});

t.test('what is no request gets an answer, not a crash', async (t) => {
  const { path } = await serve(t);
  const bad: [string, string][] = [
    ['no json', 'bad_request'],
    ['[]', 'bad_request'],
    ['null', 'bad_request'],
    ['{"id":1}', 'bad_request'],
    ['{"id":1,"method":"fly"}', 'unknown_method'],
    ['{"id":1,"method":"toString"}', 'unknown_method'],
    ['{"id":1,"method":"up"}', 'bad_request'],
    ['{"id":1,"method":"up","params":7}', 'bad_request'],
    ['{"id":1,"method":"up","params":{"name":7}}', 'bad_request'],
    ['{"id":1,"method":"up","params":{"name":"c","wait":1}}', 'bad_request'],
    ['{"id":1,"method":"up","params":{"name":"c","wait":true,"timeout":-1}}', 'bad_request'],
    ['{"id":1,"method":"status","params":{"name":"__proto__"}}', 'not_found'],
    ['{"id":1,"method":"events","params":{"from":7}}', 'bad_request'],
    ['{"id":1,"method":"events","params":{"from":"yesterday"}}', 'bad_request'],
    ['{"id":1,"method":"events","params":{"kinds":"quirk"}}', 'bad_request'],
    ['{"id":1,"method":"events","params":{"kinds":["nonsense"]}}', 'bad_request'],
    ['{"id":1,"method":"events","params":{"connections":[1]}}', 'bad_request'],
    ['{"id":1,"method":"events","params":{"level":"debug"}}', 'bad_request'],
  ];
  for (const [line, code] of bad) {
    const [answer] = await raw(path, `${line}\n`, 1);
    t.match(JSON.parse(answer!), { error: { code } }, line);
  }
  const [first, second] = await raw(path, 'x\n{"id":"a","method":"status"}\n', 2);
  t.match(JSON.parse(first!), { id: null, error: {} });
  t.match(JSON.parse(second!), { id: 'a', result: { gateway: {} } }, 'the connection goes on');
});

t.test('an endless request is cut off', async (t) => {
  const { path } = await serve(t);
  const answers = await raw(path, 'x'.repeat(200_000), 5);
  t.match(JSON.parse(answers[0]!), { id: null, error: { code: 'too_large' } });
  t.equal(answers.length, 1);
});

t.test('random octets never break the server', async (t) => {
  const { path } = await serve(t);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (octets) => {
      const line = octets.filter((octet) => octet !== 0x0a);
      const [answer] = await raw(path, Buffer.concat([Buffer.from('!'), line, Buffer.from('\n')]), 1);
      return (JSON.parse(answer!) as { error?: unknown }).error !== undefined;
    }),
    { numRuns: 50 },
  );
});

t.test('a socket that nobody answers on is replaced', async (t) => {
  const path = newPath();
  // A process that dies leaves its socket: listen, then take the listener away without unlinking the path.
  const keeper = join(folder, 'kept.sock');
  const dead = createServer();
  await new Promise<void>((resolve) => dead.listen(path, resolve));
  const { linkSync } = await import('node:fs');
  linkSync(path, keeper);
  await new Promise((resolve) => dead.close(resolve));
  linkSync(keeper, path);
  t.ok(statSync(path).isSocket());
  const server = await listenControl(path, logger);
  server.serve(new FakeDaemon());
  const client = await ControlClient.connect(path);
  t.match(await client.status(), { gateway: { name: 'g' } });
  client.close();
  await server.close();
  t.notOk(existsSync(path));
});

t.test('a place that is taken or cannot be used is refused with the remedy', async (t) => {
  const { path } = await serve(t);
  await t.rejects(listenControl(path, logger), {
    message: /another daemon answers there/,
    remedy: /stop it first/,
  });
  const file = join(folder, 'file');
  writeFileSync(file, 'x');
  await t.rejects(listenControl(file, logger), { message: /something else is there/ });
  const link = join(folder, 'link');
  symlinkSync(file, link);
  await t.rejects(listenControl(link, logger), { message: /something else is there/ });
  await t.rejects(listenControl(join(file, 'x', 'y.sock'), logger), {
    message: /ENOTDIR/,
    name: 'StartError',
  });
  await t.rejects(listenControl(join(folder, `${'x'.repeat(120)}.sock`), logger), {
    message: /too long/,
  });
  t.match(await (await ControlClient.connect(path)).status(), { gateway: {} }, 'the first one goes on');
});

t.test('closing the server hangs up on its clients', async (t) => {
  const path = newPath();
  const server: ControlServer = await listenControl(path, logger);
  server.serve(new FakeDaemon());
  const client = await ControlClient.connect(path);
  await client.watch({}, () => undefined);
  await server.close();
  await client.closed;
  await t.rejects(ControlClient.connect(path), { code: 'ENOENT' });
});

t.test('requests and lines', async (t) => {
  t.same(readRequest('{"id":7,"method":"status"}'), {
    id: 7,
    request: { ok: true, value: { method: 'status', params: {} } },
  });
  t.match(readRequest('{"method":"status","params":[]}'), {
    id: null,
    request: { ok: false, error: { code: 'bad_request' } },
  });
  const splitter = new LineSplitter(10);
  const bytes = new TextEncoder().encode('ab\n\ncä\nd');
  t.same(
    [...bytes].flatMap((octet) => splitter.push(Uint8Array.of(octet))),
    ['ab', 'cä'],
  );
  t.same(splitter.push(new TextEncoder().encode('\n')), ['d']);
  t.throws(() => splitter.push(new Uint8Array(11)), { code: 'too_large' });
});
