import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { sendUnixDatagram } from '../../src/linux/unix-datagram.js';
import { utf8 } from '../../src/util/bytes.js';
import { NotifySocket } from '../helpers/notify-socket.js';
import { skipWithoutFfi } from '../helpers/prerequisites.js';

const skip = skipWithoutFfi();

/** The path of a socket is short. */
function shortFolder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'culvert-notify-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

t.test('a datagram comes to a path and to an abstract name', { skip }, async (t) => {
  const folder = shortFolder(t);
  const longest = join(folder, 'n').padEnd(107, 'n');
  for (const name of [join(folder, 'notify'), longest, `@culvert-test-${process.pid}`]) {
    const socket = NotifySocket.open(name);
    sendUnixDatagram(name, utf8('READY=1\nSTATUS=über'));
    t.same(socket.poll(), ['READY=1\nSTATUS=über'], name);
    socket.close();
  }
});

t.test('where nobody listens it says so, and holds nobody up', { skip }, async (t) => {
  const name = join(shortFolder(t), 'nobody');
  t.throws(() => sendUnixDatagram(name, utf8('x')), { code: 'ENOENT' });
  t.throws(() => sendUnixDatagram(`@culvert-nobody-${process.pid}`, utf8('x')), { code: 'ECONNREFUSED' });
  t.throws(() => sendUnixDatagram(`/${'n'.repeat(107)}`, utf8('x')), {
    name: 'RangeError',
    message: /108 octets: 107 at most/,
  });
  const socket = NotifySocket.open(name);
  // More than fits into its queue: net.unix.max_dgram_qlen is 10 by default, and never so much.
  const flood = (): void => {
    for (let i = 0; i < 100_000; i++) sendUnixDatagram(name, utf8('x'));
  };
  t.throws(flood, { code: 'EAGAIN' });
  socket.close();
});
