import { mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname, resolve } from 'node:path';
import type { StatusDocument } from '../../connection/status.js';
import {
  isTrustedUser,
  listenUnixSocket,
  MAX_SOCKET_PATH,
  peerProcessId,
  peerUserId,
  UnixListenError,
} from '../../linux/unix-listener.js';
import type { EventHub } from '../../telemetry/events/event-hub.js';
import { EventPump } from '../../telemetry/events/event-pump.js';
import type { Logger } from '../../telemetry/log.js';
import { StartError } from '../start-error.js';
import {
  type Call,
  type ControlHandler,
  type ControlMethod,
  type EventsWish,
  METHODS,
  type ProcessHandler,
  type RawParams,
  readRequest,
} from './methods.js';
import { ControlError, LineSplitter, MAX_ANSWER, MAX_REQUEST } from './protocol.js';

/** What a supervised gateway answers its supervisor. */
export type ControlSupervision = Omit<ProcessHandler, 'ping'>;

/** Clients at once; a daemon has a console, some scripts and a supervisor. */
const MAX_CLIENTS = 64;
/** Changes that come this close together are one to who watches. */
const GATHER_MS = 20;
/** A client that does not read is cut off when this much waits for it. */
const MAX_UNREAD = 4 * 1024 * 1024;
/** A client that has less than this to read is sent more of what can wait. */
const READY_BELOW = 512 * 1024;
const tooLong = `the path of a Unix socket has ${MAX_SOCKET_PATH} octets at most: set a shorter gateway.control`;

/** The listening control socket. It is there before the gateway, so that clients learn that it is starting. */
export interface ControlServer {
  /** From now on requests are answered by it; before, with the error `starting`. */
  serve(handler: ControlHandler): void;
  /** Removes the socket: no other client connects, and those that are connected stay. */
  hide(): void;
  /** Hangs up and removes the socket, and the folder when it was made for it and is empty. */
  close(): Promise<void>;
}

/**
 * Listens at a Unix socket of mode 0600. A socket that no process answers on is left from a crash and is replaced.
 * With `supervision` a supervisor may attach and configure, from the moment it listens.
 * @throws StartError when a daemon answers there, the path is no socket, or it cannot be made
 */
export async function listenControl(
  path: string,
  logger: Logger,
  supervision?: ControlSupervision,
): Promise<ControlServer> {
  const madeFolders = makeFolder(dirname(path));
  const clients = new Set<Client>();
  let handler: ControlHandler | undefined;
  const answering: ProcessHandler = supervision === undefined ? UNSUPERVISED : supervised(supervision);
  // A desired state is as large as a status that describes it.
  const maxRequest = supervision === undefined ? MAX_REQUEST : MAX_ANSWER;
  const server = createServer((socket) => {
    if (!isTrustedUser(peerUserId(socket))) {
      logger.warn('a client of the control socket that is neither root nor of our own user was refused');
      socket.destroy();
      return;
    }
    const client = new Client(socket, { process: answering, gateway: () => handler, maxRequest, logger });
    clients.add(client);
    socket.once('close', () => clients.delete(client));
  });
  server.maxConnections = MAX_CLIENTS;
  try {
    await listenUnixSocket(server, path, () =>
      logger.warn({ path }, 'removing the control socket of a daemon that did not shut down cleanly'),
    );
  } catch (error) {
    removeFolders(madeFolders);
    throw controlPathError(path, error);
  }
  server.on('error', (error) => logger.error({ err: error }, 'the control socket failed'));
  return {
    serve(given) {
      handler = given;
    },
    hide: () => rmSync(path, { force: true }),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const client of clients) client.close();
      await closed;
      rmSync(path, { force: true });
      removeFolders(madeFolders);
    },
  };
}

/** The folders that had to be made, innermost first. */
function makeFolder(folder: string): string[] {
  let first: string | undefined;
  try {
    first = mkdirSync(folder, { recursive: true, mode: 0o755 });
  } catch (error) {
    throw controlPathError(folder, error);
  }
  const made: string[] = [];
  for (let at = resolve(folder); first !== undefined && at.startsWith(resolve(first)); at = dirname(at))
    made.push(at);
  return made;
}

function removeFolders(folders: readonly string[]): void {
  try {
    for (const folder of folders) rmdirSync(folder);
  } catch {
    // Another process uses it by now.
  }
}

function controlPathError(path: string, error: unknown): StartError {
  const remedy = 'set another gateway.control';
  const at = `control socket ${path}`;
  const refusal = error instanceof UnixListenError ? (error.cause ?? error) : error;
  const { reason } = error as Partial<UnixListenError>;
  if (reason === 'too_long') return new StartError(`${at}: the path is too long`, tooLong);
  if (reason === 'no_socket') return new StartError(`${at}: something else is there`, remedy);
  if (reason === 'answered') {
    return new StartError(
      `${at}: another daemon answers there`,
      `stop it first, or ${remedy}; \`culvert status --control ${path}\` shows it`,
    );
  }
  const { code, message } = refusal as NodeJS.ErrnoException;
  const remedies: Readonly<Record<string, string>> = {
    EACCES: 'choose a place this user may write to (gateway.control), or run as root',
    EPERM: 'choose a place this user may write to (gateway.control), or run as root',
    EROFS: 'the file system is read-only: set another gateway.control',
    ENOTDIR: 'a part of the path is a file: set another gateway.control',
    ENAMETOOLONG: tooLong,
    EADDRINUSE: 'another daemon has just taken it: set another gateway.control',
  };
  return new StartError(`${at}: ${message}`, remedies[code ?? ''] ?? remedy);
}

const UNSUPERVISED: ProcessHandler = {
  ping: () => ({ pong: true }),
  names: () => ({ gateway: null, connections: {} }),
  attach: refuseSupervisor,
  configure: refuseSupervisor,
  prepare: refuseSupervisor,
  take: refuseSupervisor,
  release: refuseSupervisor,
};

function supervised(supervision: ControlSupervision): ProcessHandler {
  return {
    ping: UNSUPERVISED.ping,
    names: (params, call) => supervision.names(params, call),
    attach: (params, call) => supervision.attach(params, call),
    configure: (params, call) => supervision.configure(params, call),
    prepare: (params, call) => supervision.prepare(params, call),
    take: (params, call) => supervision.take(params, call),
    release: (params, call) => supervision.release(params, call),
  };
}

function refuseSupervisor(): never {
  throw new ControlError('refused', 'this daemon has its configuration from a file: change that');
}

interface ClientDeps {
  readonly process: ProcessHandler;
  /** Undefined as long as the gateway starts. */
  gateway(): ControlHandler | undefined;
  /** Characters of the longest request. */
  readonly maxRequest: number;
  readonly logger: Logger;
}

/** Handlers by method, whichever it is: the table has seen to it that the parameters are those of the method. */
type AnyHandler = Readonly<Partial<Record<ControlMethod, (params: unknown, call: Call) => unknown>>>;

/** One client: its requests, its watch, its waits. */
class Client {
  readonly #socket: Socket;
  readonly #deps: ClientDeps;
  readonly #splitter: LineSplitter;
  readonly #gone = new AbortController();
  #unsubscribe: (() => void) | undefined;
  #telling: NodeJS.Timeout | undefined;
  #events: EventPump | undefined;

  constructor(socket: Socket, deps: ClientDeps) {
    this.#socket = socket;
    this.#deps = deps;
    this.#splitter = new LineSplitter(deps.maxRequest);
    socket.on('data', (chunk) => this.#data(chunk));
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#leave());
  }

  close(): void {
    this.#leave();
    // What was written still leaves; a client that does not read is cut off.
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), 100).unref();
  }

  #leave(): void {
    this.#unsubscribe?.();
    clearTimeout(this.#telling);
    this.#events?.close();
    this.#gone.abort();
  }

  #data(chunk: Uint8Array): void {
    let lines: string[];
    try {
      lines = this.#splitter.push(chunk);
    } catch (error) {
      this.#refuse(null, error);
      this.#socket.end();
      return;
    }
    for (const line of lines) void this.#request(line);
  }

  async #request(line: string): Promise<void> {
    const { id, request } = readRequest(line);
    const afterwards: (() => void)[] = [];
    try {
      if (!request.ok) throw request.error;
      const { method, params } = request.value;
      const result = await this.#answer(method, params, this.#call(id, afterwards));
      this.#write({ id, result });
      for (const step of afterwards) step();
    } catch (error) {
      this.#refuse(id, error);
    }
  }

  #answer(method: ControlMethod, params: RawParams, call: Call): unknown {
    const { by, read } = METHODS[method];
    const handler = by === 'process' ? this.#deps.process : this.#deps.gateway();
    if (handler === undefined) throw new ControlError('starting', 'the daemon is still starting: try again');
    return (handler as AnyHandler)[method]?.(read(params), call);
  }

  #call(id: unknown, afterwards: (() => void)[]): Call {
    const gone = this.#gone.signal;
    const socket = this.#socket;
    return {
      gone,
      within: (seconds) => AbortSignal.any([gone, AbortSignal.timeout(seconds * 1000)]),
      progress: (message) => this.#write({ event: 'progress', id, message }),
      capture: (notice) => this.#write({ event: 'capture', id, ...notice }),
      ready: () => socket.writableLength < READY_BELOW,
      client: { uid: peerUserId(socket), pid: peerProcessId(socket) },
      follow: (subscribe, status) => {
        this.#unsubscribe ??= subscribe(() => this.#changed(status));
      },
      stream: (hub, wish) => this.#stream(id, hub, wish),
      afterwards: (step) => void afterwards.push(step),
    };
  }

  #stream(id: unknown, hub: EventHub, { filter, from, follow }: EventsWish): Promise<void> {
    if (this.#events !== undefined) {
      const message = 'this connection is sent events already: open another one for others';
      throw new ControlError('refused', message);
    }
    const head = `{"event":"event","id":${JSON.stringify(id)},"document":`;
    return new Promise((resolve) => {
      this.#events = new EventPump(hub, this.#socket, {
        ...{ filter, from, follow },
        frame: ({ text }) => `${head}${text}}\n`,
        drained: () => {
          this.#events = undefined;
          resolve();
        },
      });
      if (follow) resolve();
    });
  }

  #changed(status: () => StatusDocument): void {
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      this.#write({ event: 'status', status: status() });
    }, GATHER_MS);
  }

  #refuse(id: unknown, error: unknown): void {
    if (error instanceof ControlError) {
      this.#write({ id, error: { code: error.code, message: error.message } });
      return;
    }
    this.#deps.logger.error({ err: error }, 'a control request failed: this is a bug');
    this.#write({ id, error: { code: 'internal_error', message: 'the daemon failed: see its log' } });
  }

  #write(message: unknown): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    if (this.#socket.writableLength > MAX_UNREAD) {
      this.#socket.destroy();
      return;
    }
    this.#socket.write(`${JSON.stringify(message)}\n`);
  }
}
