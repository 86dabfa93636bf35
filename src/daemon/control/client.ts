import { connect as openSocket, type Socket } from 'node:net';
import type { Explanation } from '../../connection/explain.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../connection/status.js';
import { isTrustedUser, peerProcessId, peerUserId } from '../../linux/unix-listener.js';
import type { ReloadReport } from '../gateway/reload.js';
import {
  type AttachAnswer,
  type ConfigureAnswer,
  ControlError,
  type ControlErrorCode,
  LineSplitter,
  MAX_ANSWER,
  type NamesAnswer,
} from './protocol.js';

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
  readonly progress: ((line: string) => void) | undefined;
}

export interface UpOptions {
  /** Resolve only when the connection is up. */
  readonly wait?: boolean;
  /** Seconds to wait at most; the daemon's default when left out. */
  readonly timeout?: number;
  /** What happens meanwhile, in words. */
  readonly progress?: (line: string) => void;
}

/** A connection to a running daemon. Answers in the negative reject with `ControlError`. */
export class ControlClient {
  /** Resolves when the connection is closed, by whichever side. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #watchers = new Set<(status: StatusDocument) => void>();
  readonly #splitter = new LineSplitter(MAX_ANSWER);
  #nextId = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('data', (chunk) => this.#data(chunk));
    socket.on('error', () => socket.destroy());
    void this.closed.then(() => this.#lost());
  }

  /** @throws the error of node:net, with `code` ENOENT, ECONNREFUSED, EACCES and so on */
  static connect(path: string): Promise<ControlClient> {
    return new Promise((resolve, reject) => {
      const socket = openSocket(path);
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.removeListener('error', reject);
        resolve(new ControlClient(socket));
      });
    });
  }

  /** Whether root or our own user answers: only then keys may be sent. */
  get trusted(): boolean {
    return isTrustedUser(peerUserId(this.#socket));
  }

  /** Of the process that listens at the other end; undefined where it cannot be had. */
  get peerPid(): number | undefined {
    return peerProcessId(this.#socket);
  }

  /** The whole status, or with `name` a document that holds only this connection. */
  status(name?: string): Promise<StatusDocument> {
    return this.#call<StatusDocument>('status', name === undefined ? {} : { name });
  }

  up(name: string, options: UpOptions = {}): Promise<ConnectionStatusDocument> {
    const { wait, timeout, progress } = options;
    const params = {
      name,
      ...(wait === undefined ? {} : { wait }),
      ...(timeout === undefined ? {} : { timeout }),
    };
    return this.#call<ConnectionStatusDocument>('up', params, progress);
  }

  down(name: string): Promise<ConnectionStatusDocument> {
    return this.#call<ConnectionStatusDocument>('down', { name });
  }

  /** `changed` is called with the new status at every change; resolves with the present one. */
  watch(changed: (status: StatusDocument) => void): Promise<StatusDocument> {
    this.#watchers.add(changed);
    return this.#call<StatusDocument>('watch', {});
  }

  explain(name: string): Promise<Explanation> {
    return this.#call<Explanation>('explain', { name });
  }

  /** Applies the difference in the configuration file, or with `dryRun` only tells it. */
  reload(dryRun = false): Promise<ReloadReport> {
    return this.#call<ReloadReport>('reload', { dry_run: dryRun });
  }

  /** Resolves when the daemon shows that it lives. */
  async ping(): Promise<void> {
    await this.#call('ping', {});
  }

  /** What people call a supervised gateway and its connections. */
  names(): Promise<NamesAnswer> {
    return this.#call<NamesAnswer>('names', {});
  }

  /** Makes this connection the supervisor's: the daemon watches it. */
  attach(): Promise<AttachAnswer> {
    return this.#call<AttachAnswer>('attach', {});
  }

  /** The desired state of a supervised gateway. */
  configure(desired: object): Promise<ConfigureAnswer> {
    return this.#call<ConfigureAnswer>('configure', desired);
  }

  /** Ends the daemon in good order. */
  async stop(): Promise<void> {
    await this.#call('stop', {});
  }

  close(): void {
    this.#socket.destroy();
  }

  #call<T>(method: string, params: object, progress?: (line: string) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(new ControlError('failed', 'the daemon has closed the connection'));
        return;
      }
      const id = this.#nextId++;
      this.#pending.set(id, { resolve: (result) => resolve(result as T), reject, progress });
      this.#socket.write(`${JSON.stringify({ id, method, params })}\n`);
    });
  }

  #data(chunk: Uint8Array): void {
    try {
      for (const line of this.#splitter.push(chunk)) this.#message(JSON.parse(line) as Message);
    } catch {
      // Not a Culvert daemon at the other end.
      this.#socket.destroy();
    }
  }

  #message(message: Message): void {
    if (message.event === 'status' && message.status !== undefined) {
      for (const watcher of this.#watchers) watcher(message.status);
      return;
    }
    const pending = message.id == null ? undefined : this.#pending.get(message.id);
    if (message.event === 'progress') {
      pending?.progress?.(message.message ?? '');
      return;
    }
    if (message.id != null) this.#pending.delete(message.id);
    if (message.error === undefined) pending?.resolve(message.result);
    else pending?.reject(new ControlError(message.error.code, message.error.message));
  }

  #lost(): void {
    const error = new ControlError('failed', 'the daemon has closed the connection');
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}

interface Message {
  readonly id?: number | null;
  readonly result?: unknown;
  readonly error?: { readonly code: ControlErrorCode; readonly message: string };
  readonly event?: string;
  readonly status?: StatusDocument;
  readonly message?: string;
}
