import type { Explanation } from '../../connection/explain.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../connection/status.js';
import type { ReloadReport } from '../gateway/reload.js';

/**
 * The control protocol: one JSON object a line over a Unix stream socket, in both directions.
 *
 *     → {"id":1,"method":"up","params":{"name":"to-site-b","wait":true}}
 *     ← {"event":"progress","id":1,"message":"…"}         any number of times, before the answer
 *     ← {"id":1,"result":{…}}   or   {"id":1,"error":{"code":"…","message":"…"}}
 *     ← {"event":"status","status":{…}}                   after `watch`, whenever something changed
 *
 * Answers may come in another order than their requests; `id` is whatever the client chose.
 */
export interface ControlMethods {
  /** All connections, or with `name` a document with that connection only. */
  status: { params: { name?: string }; result: StatusDocument };
  /** With `wait` the answer comes when the connection is up, or when `timeout` seconds are over. */
  up: { params: { name: string; wait?: boolean; timeout?: number }; result: ConnectionStatusDocument };
  down: { params: { name: string }; result: ConnectionStatusDocument };
  watch: { params: Record<string, never>; result: StatusDocument };
  /** Why a connection is as it is, with what happened lately. */
  explain: { params: { name: string }; result: Explanation };
  /** Reads the configuration file anew and applies the difference; with `dry_run` only tells it. */
  reload: { params: { dry_run?: boolean }; result: ReloadReport };
  /** Answers at once, before the daemon is configured, too: it lives. */
  ping: { params: Record<string, never>; result: { pong: true } };
  /** What people call a supervised gateway and its connections, by the ids of the API. */
  names: { params: Record<string, never>; result: NamesAnswer };
  /** For the supervisor of a gateway that has no file: the gateway ends by itself when it is left alone too long. */
  attach: { params: Record<string, never>; result: AttachAnswer };
  /** The whole desired state (supervised/desired-state.ts). Starts the gateway, or changes what differs. */
  configure: { params: Readonly<Record<string, unknown>>; result: ConfigureAnswer };
  /** Ends the daemon in good order. The answer comes before the end. */
  stop: { params: Record<string, never>; result: { stopping: true } };
}

export type ControlMethod = keyof ControlMethods;
export type SupervisorMethod = 'attach' | 'configure';

export const CONTROL_METHODS: readonly ControlMethod[] = [
  'status',
  'up',
  'down',
  'watch',
  'explain',
  'reload',
  'ping',
  'names',
  'attach',
  'configure',
  'stop',
];

export interface NamesAnswer {
  /** Null before it is configured, and for a daemon that has its names from a file. */
  readonly gateway: string | null;
  /** By id. */
  readonly connections: Readonly<Record<string, string>>;
}

export interface AttachAnswer {
  readonly pid: number;
  /** Of the program: another one's desired state may have another form. */
  readonly version: string;
  /** Whether it was given a desired state already. */
  readonly configured: boolean;
}

export interface ConfigureAnswer {
  /** False when the change is not possible while it runs: the supervisor starts a new process. */
  readonly ok: boolean;
  /** What was done, none when it was started. */
  readonly report?: ReloadReport;
}

export type ControlErrorCode =
  | 'bad_request'
  | 'unknown_method'
  /** No connection of this name is configured. */
  | 'not_found'
  /** The configuration forbids it: administratively down. */
  | 'refused'
  /** It was tried and did not work. */
  | 'failed'
  /** The address of the gateway could not be given to the machine. */
  | 'no_address'
  | 'too_large'
  /** The daemon is not ready yet. */
  | 'starting'
  | 'internal_error';

/** An answer in the negative, on both ends of the socket. */
export class ControlError extends Error {
  override readonly name = 'ControlError';
  readonly code: ControlErrorCode;

  constructor(code: ControlErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface ControlRequest {
  readonly id: unknown;
  readonly method: ControlMethod;
  readonly params: Readonly<Record<string, unknown>>;
}

/** Octets of the longest request; a status document in an answer may be longer. */
export const MAX_REQUEST = 64 * 1024;
export const MAX_ANSWER = 16 * 1024 * 1024;

/** The request in one line. @throws ControlError bad_request or unknown_method, naming what is wrong */
export function parseRequest(line: string): ControlRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new ControlError('bad_request', 'the request is not JSON: send one JSON object a line');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ControlError('bad_request', 'the request is not a JSON object');
  }
  const { method, params = {} } = value as Record<string, unknown>;
  if (typeof method !== 'string') throw new ControlError('bad_request', 'the request has no "method"');
  if (!CONTROL_METHODS.includes(method as ControlMethod)) {
    const known = CONTROL_METHODS.join(', ');
    throw new ControlError('unknown_method', `there is no method "${method}": ${known} are there`);
  }
  if (typeof params !== 'object' || params === null || Array.isArray(params)) {
    throw new ControlError('bad_request', '"params" is not an object');
  }
  const id = requestId(line);
  return { id, method: method as ControlMethod, params: params as Record<string, unknown> };
}

/** The id in a line, as far as it can be read, so that even a bad request gets its answer; else null. */
export function requestId(line: string): unknown {
  try {
    const id = (JSON.parse(line) as { id?: unknown } | null)?.id;
    return typeof id === 'string' || typeof id === 'number' ? id : null;
  } catch {
    return null;
  }
}

/** Cuts a stream into lines, and refuses lines that are too long before they fill the memory. */
export class LineSplitter {
  readonly #most: number;
  readonly #decoder = new TextDecoder();
  #rest = '';

  constructor(most: number) {
    this.#most = most;
  }

  /** The whole lines so far, without line feed and without blank ones. @throws ControlError too_large */
  push(chunk: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > this.#most || lines.some((line) => line.length > this.#most)) {
      this.#rest = '';
      throw new ControlError('too_large', `a line is longer than ${this.#most} characters`);
    }
    return lines.filter((line) => line.trim() !== '');
  }
}
