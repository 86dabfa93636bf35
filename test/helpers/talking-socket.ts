import { createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

/** Listens on a Unix socket until the test is over; each connection is passed to `talk`. */
export async function talkingSocket(t: Test, path: string, talk: (socket: Socket) => void): Promise<string> {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => undefined);
    talk(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  t.teardown(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  return path;
}
