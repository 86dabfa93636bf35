import { chmodSync, lstatSync, rmSync, type Stats } from 'node:fs';
import { connect, type Server, type Socket } from 'node:net';
import { OperatorError } from '../util/operator-error.js';
import { addressOf, ffiAvailable, hostBuffer, libc } from './ffi.js';

/** sun_path without the final zero octet (unix(7)). */
export const MAX_SOCKET_PATH = 107;
/** How long a process at an existing socket may take to show that it lives. */
const PROBE_MS = 1000;

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** struct ucred: pid, uid, gid, each of 32 bits. */
const UCRED_SIZE = 12;

/**
 * Why a Unix socket cannot be listened on: its path is too long, a process answers there, what is there is no socket
 * and is left alone, or the system refuses (`cause` is its error).
 */
export class UnixListenError extends OperatorError {
  override readonly name = 'UnixListenError';
  readonly reason: 'too_long' | 'answered' | 'no_socket' | 'refused';

  constructor(reason: UnixListenError['reason'], path: string, cause?: unknown) {
    super({ what: `${path}: ${WORDS[reason] ?? (cause as Error).message}`, value: path, cause });
    this.reason = reason;
  }
}

const WORDS: Readonly<Partial<Record<UnixListenError['reason'], string>>> = {
  too_long: 'the path is too long',
  answered: 'something answers there',
  no_socket: 'something else is there',
};

/**
 * Listens on a Unix socket of mode 0600. One that is there and no process answers on is left from a crash and is
 * replaced; anything else that is there is left alone.
 * @param stale called before such a rest is removed
 * @throws UnixListenError
 */
export async function listenUnixSocket(
  server: Server,
  path: string,
  stale: () => void = () => undefined,
): Promise<void> {
  await clearSocketPath(path, stale);
  await listenAt(server, path);
}

function listenAt(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const refused = (error: unknown): void => reject(new UnixListenError('refused', path, error));
    server.once('error', refused);
    // The socket must at no moment be open to others: it takes its mode from the umask.
    const umask = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.removeListener('error', refused);
        try {
          chmodSync(path, 0o600);
          resolve();
        } catch (error) {
          server.close();
          refused(error);
        }
      });
    } finally {
      process.umask(umask);
    }
  });
}

async function clearSocketPath(path: string, stale: () => void): Promise<void> {
  // libuv would cut it silently.
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) throw new UnixListenError('too_long', path);
  let entry: Stats | undefined;
  try {
    entry = lstatSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw new UnixListenError('refused', path, error);
  }
  if (entry === undefined) return;
  if (!entry.isSocket()) throw new UnixListenError('no_socket', path);
  if (await answers(path)) throw new UnixListenError('answered', path);
  stale();
  try {
    rmSync(path, { force: true });
  } catch (error) {
    throw new UnixListenError('refused', path, error);
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (alive: boolean): void => {
      socket.destroy();
      resolve(alive);
    };
    socket.setTimeout(PROBE_MS, () => end(true));
    socket.once('connect', () => end(true));
    // Only a refusal proves that no process listens; with no right to ask, assume that one does.
    socket.once('error', (error: NodeJS.ErrnoException) => end(error.code !== 'ECONNREFUSED'));
  });
}

/**
 * User id of the process at the other end of a connected Unix socket, as the kernel has it (SO_PEERCRED, unix(7)).
 * Undefined where it cannot be had: without FFI, or when the socket is closed.
 */
export function peerUserId(socket: Socket): number | undefined {
  return peerCredentials(socket)?.getUint32(4, true);
}

/** Process id of the other end, as `peerUserId`. Of a listener it is the process that began to listen. */
export function peerProcessId(socket: Socket): number | undefined {
  return peerCredentials(socket)?.getUint32(0, true);
}

/** The kernel's struct ucred. */
function peerCredentials(socket: Socket): DataView | undefined {
  const { fd } = (socket as unknown as { readonly _handle?: { readonly fd?: number } })._handle ?? {};
  if (fd === undefined || fd < 0 || !ffiAvailable().ok) return undefined;
  const memory = hostBuffer(UCRED_SIZE + 4);
  const view = new DataView(memory.buffer);
  view.setUint32(UCRED_SIZE, UCRED_SIZE, true);
  const at = addressOf(memory);
  return libc().getsockopt(fd, SOL_SOCKET, SO_PEERCRED, at, at + UCRED_SIZE) < 0 ? undefined : view;
}

/** Whether a process of this user may give us orders, or get keys: root and our own may. */
export function isTrustedUser(uid: number | undefined): boolean {
  return uid === undefined || uid === 0 || uid === process.geteuid?.();
}
