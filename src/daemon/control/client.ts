import { connect as openSocket, type Socket } from 'node:net';
import { isTrustedUser, peerProcessId, peerUserId } from '../../linux/unix-listener.js';
import { type AnswerOf, type ControlMethod, type GivenTo, METHODS, type NoticeOf } from './methods.js';
import { ControlError, type ControlMessage, LineSplitter, MAX_ANSWER } from './protocol.js';

/** Parameters, which may be left out where all of them may, and who gets the notices of a method that has them. */
type Arguments<M extends ControlMethod> =
  Record<never, never> extends GivenTo<M>
    ? [params?: GivenTo<M>, notice?: (notice: NoticeOf<M>) => void]
    : [params: GivenTo<M>, notice?: (notice: NoticeOf<M>) => void];

/** One function for each method of the table. Answers in the negative reject with `ControlError`. */
type ControlCalls = {
  readonly [M in ControlMethod]: (...args: Arguments<M>) => Promise<AnswerOf<M>>;
};

/** A connection to a running daemon. */
export type ControlClient = ControlConnection & ControlCalls;

/** Opens connections to control sockets. */
export const ControlClient = {
  /** @throws the error of node:net, with `code` ENOENT, ECONNREFUSED, EACCES and so on */
  connect(path: string): Promise<ControlClient> {
    return new Promise((resolve, reject) => {
      const socket = openSocket(path);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.removeListener('error', reject);
        const connection = new ControlConnection(socket);
        resolve(Object.assign(connection, callsOn(connection)));
      });
    });
  },
};

function callsOn(connection: ControlConnection): ControlCalls {
  const calls = (Object.keys(METHODS) as ControlMethod[]).map((method) => [
    method,
    (params: object = {}, notice?: Notice) => connection.call(method, params, notice),
  ]);
  return Object.fromEntries(calls) as ControlCalls;
}

/** A function for whatever the notices of a method are. */
type Notice = (notice: unknown) => void;

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly notice: Notice | undefined;
}

class ControlConnection {
  /** Resolves when the connection is closed, by whichever side. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #watchers = new Set<Notice>();
  /** Who gets events, by the request for them: they go on after its answer. */
  readonly #followers = new Map<number, Notice>();
  readonly #splitter = new LineSplitter(MAX_ANSWER);
  #nextId = 1;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('data', (chunk) => this.#data(chunk));
    socket.on('error', () => socket.destroy());
    void this.closed.then(() => this.#lost());
  }

  /** Whether root or our own user answers: only then keys may be sent. */
  get trusted(): boolean {
    return isTrustedUser(peerUserId(this.#socket));
  }

  /** Of the process that listens at the other end; undefined where it cannot be had. */
  get peerPid(): number | undefined {
    return peerProcessId(this.#socket);
  }

  /** Reads nothing until `resume`: what comes waits in the daemon, which has its own bounds for it. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Sends a request. An answer in the negative rejects with `ControlError`. */
  call(method: ControlMethod, params: object, notice?: Notice): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new ControlError('failed', 'the daemon has closed the connection'));
        return;
      }
      const id = this.#nextId++;
      // Progress is about its request; status goes on after the answer.
      const { notices } = METHODS[method];
      if (notices === 'status' && notice !== undefined) this.#watchers.add(notice);
      if (notices === 'event' && notice !== undefined) this.#followers.set(id, notice);
      this.#pending.set(id, { resolve, reject, notice });
      this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }

  #data(chunk: Uint8Array): void {
    try {
      for (const line of this.#splitter.push(chunk)) this.#message(JSON.parse(line) as ControlMessage);
    } catch {
      // Not a Culvert daemon at the other end.
      this.#socket.destroy();
    }
  }

  #message({ id, event, status, document, message, file, keys, error, result }: ControlMessage): void {
    if (event === 'status' && status !== undefined) {
      for (const watcher of this.#watchers) watcher(status);
      return;
    }
    if (event === 'event') {
      if (typeof id === 'number') this.#followers.get(id)?.(document);
      return;
    }
    const pending = typeof id === 'number' ? this.#pending.get(id) : undefined;
    if (event === 'progress') {
      pending?.notice?.(message ?? '');
      return;
    }
    if (event === 'capture') {
      pending?.notice?.({ ...(file === undefined ? {} : { file }), ...(keys === undefined ? {} : { keys }) });
      return;
    }
    if (typeof id === 'number') this.#pending.delete(id);
    if (error === undefined) pending?.resolve(result);
    else pending?.reject(new ControlError(error.code, error.message));
  }

  #lost(): void {
    const error = new ControlError('failed', 'the daemon has closed the connection');
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
