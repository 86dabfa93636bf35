import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { isTrustedUser, listenUnixSocket, peerUserId } from '../../src/linux/unix-listener.js';
import { skipWithoutFfi } from '../helpers/prerequisites.js';

/** A Unix socket's path must be short. */
function shortFolder(t: { teardown(fn: () => unknown): unknown }): string {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

t.test('only the rest of a crash is ever removed', async (t) => {
  const folder = shortFolder(t);
  const file = join(folder, 'important.txt');
  writeFileSync(file, 'kept');
  await t.rejects(listenUnixSocket(createServer(), file), {
    name: 'UnixListenError',
    message: /something else is there/,
  });
  symlinkSync(file, join(folder, 'link'));
  await t.rejects(listenUnixSocket(createServer(), join(folder, 'link')), {
    name: 'UnixListenError',
    message: /something else is there/,
  });
  t.equal(readFileSync(file, 'utf8'), 'kept');
  await t.rejects(listenUnixSocket(createServer(), join(folder, 'x'.repeat(108))), {
    name: 'UnixListenError',
    message: /the path is too long/,
  });

  const path = join(folder, 'living.sock');
  const server = createServer();
  await listenUnixSocket(server, path);
  await t.rejects(listenUnixSocket(createServer(), path), {
    name: 'UnixListenError',
    message: /something answers there/,
  });
  await new Promise((resolve) => server.close(resolve));

  // Both find the path clear.
  const rivals = [createServer(), createServer()];
  const outcomes = await Promise.allSettled(rivals.map((rival) => listenUnixSocket(rival, path)));
  t.match(
    outcomes.filter(({ status }) => status === 'rejected'),
    [{ reason: { reason: 'refused', cause: { code: 'EADDRINUSE' } } }],
  );
  for (const rival of rivals) rival.close();
});

t.test('each end knows whose process the other one is', { skip: skipWithoutFfi() }, async (t) => {
  const path = join(shortFolder(t), 'asked.sock');
  const server = createServer();
  await listenUnixSocket(server, path);
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve));
  const client = connect(path);
  await new Promise((resolve) => client.once('connect', resolve));
  const other = await accepted;
  t.equal(peerUserId(client), process.geteuid!());
  t.equal(peerUserId(other), process.geteuid!());
  t.ok(isTrustedUser(process.geteuid!()) && isTrustedUser(0));
  t.notOk(isTrustedUser(54_321));
  client.destroy();
  other.destroy();
  t.equal(peerUserId(client), undefined, 'nothing is known of a closed one');
  server.close();
});
