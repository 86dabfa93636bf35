import { mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { dirname, resolve } from 'node:path';
import type { Explanation } from '../../connection/explain.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../connection/status.js';
import {
  clearSocketPath,
  isTrustedUser,
  listenUnixSocket,
  MAX_SOCKET_PATH,
  peerUserId,
  UnixListenError,
} from '../../linux/unix-listener.js';
import type { Logger } from '../../telemetry/log.js';
import type { ReloadReport } from '../gateway/reload.js';
import { StartError } from '../start-error.js';
import {
  type AttachAnswer,
  type ConfigureAnswer,
  ControlError,
  type ControlMethod,
  type ControlRequest,
  LineSplitter,
  MAX_ANSWER,
  MAX_REQUEST,
  type NamesAnswer,
  parseRequest,
  requestId,
  type SupervisorMethod,
} from './protocol.js';

/** What the server answers with. Methods throw `ControlError` for an answer in the negative. */
export interface ControlHandler {
  status(name?: string): StatusDocument;
  up(name: string): ConnectionStatusDocument;
  down(name: string): ConnectionStatusDocument;
  /** Resolves when the connection is up. @throws ControlError failed with the reason, on `signal` too */
  waitUp(
    name: string,
    progress: (line: string) => void,
    signal: AbortSignal,
  ): Promise<ConnectionStatusDocument>;
  /** `changed` is called at every change of status until the answer is called. */
  subscribe(changed: () => void): () => void;
  explain(name: string): Explanation;
  /** Reads the configuration anew and applies the difference, or only tells it. */
  reload(dryRun: boolean): ReloadReport;
  stop(): void;
}

/** What a supervised gateway answers its supervisor with, before it runs, too. */
export interface ControlSupervision {
  /** A supervisor has come; `left` is called when it has gone. */
  attach(): { readonly answer: AttachAnswer; left(): void };
  names(): NamesAnswer;
  /** @throws ControlError failed with the reason when it cannot run like this */
  configure(desired: Readonly<Record<string, unknown>>): Promise<ConfigureAnswer>;
}

/** What the handler answers, that is, only a daemon that has started. */
type HandledMethod = Exclude<ControlMethod, SupervisorMethod | 'ping' | 'names'>;

/** Clients at once; a daemon has a console, some scripts and a supervisor. */
const MAX_CLIENTS = 64;
/** Watchers hear of a change after this long. */
const TELL_AFTER_MS = 20;
/** A client that does not read is cut off when this much waits for it. */
const MAX_UNREAD = 4 * 1024 * 1024;
/** How long `up` waits unless told otherwise, and at most. */
const DEFAULT_WAIT_SECONDS = 60;
const MAX_WAIT_SECONDS = 3600;
const tooLong = `the path of a Unix socket has ${MAX_SOCKET_PATH} octets at most: set a shorter gateway.control`;

export interface ControlServer {
  /** From now on requests are answered by it; before, with the error `starting`. */
  serve(handler: ControlHandler): void;
  /** Hangs up and removes the socket, and the folder when it was made for it and is empty. */
  close(): Promise<void>;
}

/**
 * Listens at a Unix socket of mode 0600. A socket that nobody answers on is the rest of a crash and is replaced.
 * With `supervision` a supervisor may attach and configure, from the moment it listens.
 * @throws StartError when a daemon answers there, the path is no socket, or it cannot be made
 */
export async function listenControl(
  path: string,
  logger: Logger,
  supervision?: ControlSupervision,
): Promise<ControlServer> {
  try {
    await clearSocketPath(path, () =>
      logger.warn({ path }, 'removing the control socket of a daemon that did not end in good order'),
    );
  } catch (error) {
    throw controlPathError(path, error);
  }
  const madeFolders = makeFolder(dirname(path));
  const clients = new Set<Client>();
  let handler: ControlHandler | undefined;
  const server = createServer((socket) => {
    if (!isTrustedUser(peerUserId(socket))) {
      logger.warn('a client of the control socket that is neither root nor of our own user was refused');
      socket.destroy();
      return;
    }
    const client = new Client(socket, () => handler, supervision, logger);
    clients.add(client);
    socket.once('close', () => clients.delete(client));
  });
  server.maxConnections = MAX_CLIENTS;
  try {
    await listenUnixSocket(server, path);
  } catch (error) {
    removeFolders(madeFolders);
    throw controlPathError(path, error);
  }
  server.on('error', (error) => logger.error({ err: error }, 'the control socket failed'));
  return {
    serve(given) {
      handler = given;
    },
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

/** One client: its requests, its watch, its waits. */
class Client {
  readonly #socket: Socket;
  readonly #handler: () => ControlHandler | undefined;
  readonly #supervision: ControlSupervision | undefined;
  readonly #logger: Logger;
  readonly #splitter: LineSplitter;
  readonly #gone = new AbortController();
  #unsubscribe: (() => void) | undefined;
  #telling: NodeJS.Timeout | undefined;
  #left: (() => void) | undefined;

  constructor(
    socket: Socket,
    handler: () => ControlHandler | undefined,
    supervision: ControlSupervision | undefined,
    logger: Logger,
  ) {
    this.#socket = socket;
    this.#handler = handler;
    this.#supervision = supervision;
    // A desired state is as large as a status that describes it.
    this.#splitter = new LineSplitter(supervision === undefined ? MAX_REQUEST : MAX_ANSWER);
    this.#logger = logger;
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
    this.#gone.abort();
    this.#left?.();
    this.#left = undefined;
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
    try {
      const request = parseRequest(line);
      if (request.method === 'attach' || request.method === 'configure') {
        this.#write({ id: request.id, result: await this.#supervise(request) });
        return;
      }
      if (request.method === 'ping') {
        this.#write({ id: request.id, result: { pong: true } });
        return;
      }
      if (request.method === 'names') {
        const none = { gateway: null, connections: {} };
        this.#write({ id: request.id, result: this.#supervision?.names() ?? none });
        return;
      }
      const handler = this.#handler();
      if (handler === undefined)
        throw new ControlError('starting', 'the daemon is still starting: try again');
      const result = await this.#answer(request, handler);
      this.#write({ id: request.id, result });
      if (request.method === 'stop') handler.stop();
    } catch (error) {
      this.#refuse(requestId(line), error);
    }
  }

  #answer(request: ControlRequest, handler: ControlHandler): unknown {
    const { params } = request;
    const methods: Readonly<Record<HandledMethod, () => unknown>> = {
      status: () => handler.status(params.name === undefined ? undefined : nameIn(params)),
      up: () => this.#up(request, handler),
      down: () => handler.down(nameIn(params)),
      watch: () => this.#watch(handler),
      explain: () => handler.explain(nameIn(params)),
      reload: () => handler.reload(flagIn(params, 'dry_run')),
      stop: () => ({ stopping: true }),
    };
    return methods[request.method as HandledMethod]();
  }

  #supervise({ method, params }: ControlRequest): AttachAnswer | Promise<ConfigureAnswer> {
    const supervision = this.#supervision;
    if (supervision === undefined) {
      throw new ControlError('refused', 'this daemon has its configuration from a file: change that');
    }
    if (method === 'configure') return supervision.configure(params);
    this.#left?.();
    const { answer, left } = supervision.attach();
    this.#left = left;
    return answer;
  }

  async #up({ id, params }: ControlRequest, handler: ControlHandler): Promise<unknown> {
    const name = nameIn(params);
    const wait = flagIn(params, 'wait');
    const seconds = params.timeout ?? DEFAULT_WAIT_SECONDS;
    if (typeof seconds !== 'number' || !(seconds > 0 && seconds <= MAX_WAIT_SECONDS)) {
      throw new ControlError('bad_request', `"timeout" is not a number of seconds up to ${MAX_WAIT_SECONDS}`);
    }
    const document = handler.up(name);
    if (!wait) return document;
    const signal = AbortSignal.any([this.#gone.signal, AbortSignal.timeout(seconds * 1000)]);
    return await handler.waitUp(name, (message) => this.#write({ event: 'progress', id, message }), signal);
  }

  #watch(handler: ControlHandler): unknown {
    this.#unsubscribe ??= handler.subscribe(() => {
      // Changes that come close together are reported once.
      this.#telling ??= setTimeout(() => {
        this.#telling = undefined;
        this.#write({ event: 'status', status: handler.status() });
      }, TELL_AFTER_MS);
    });
    return handler.status();
  }

  #refuse(id: unknown, error: unknown): void {
    if (error instanceof ControlError) {
      this.#write({ id, error: { code: error.code, message: error.message } });
      return;
    }
    this.#logger.error({ err: error }, 'a control request failed: this is a bug');
    this.#write({ id, error: { code: 'internal_error', message: 'the daemon failed: its log has more' } });
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

function flagIn(params: Readonly<Record<string, unknown>>, name: string): boolean {
  const flag = params[name] ?? false;
  if (typeof flag !== 'boolean') throw new ControlError('bad_request', `"${name}" is not true or false`);
  return flag;
}

function nameIn(params: Readonly<Record<string, unknown>>): string {
  const { name } = params;
  if (typeof name !== 'string' || name === '') {
    throw new ControlError('bad_request', '"name" is missing: name a connection');
  }
  return name;
}
