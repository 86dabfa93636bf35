import { randomUUID } from 'node:crypto';
import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { listenUnixSocket, MAX_SOCKET_PATH, type UnixListenError } from '../linux/unix-listener.js';
import { parseIp } from '../util/ip.js';
import { OperatorError } from '../util/operator-error.js';
import { err, ok, type Result } from '../util/result.js';
import { ApiError } from './errors.js';

/** Ends a request that is sent too slowly. */
export const REQUEST_TIMEOUT_MS = 30_000;

/** An address and TCP port to listen on, as `listen` in the server's file names them. */
export interface TcpListener {
  /** IP address, or `localhost`. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
}

/** `address:port`, `[v6]:port` or `localhost:port`; else why it is none. */
export function readListener(text: string): Result<TcpListener, string> {
  const found = /^(?:\[([^\]]+)\]|([^:]+)):([0-9]{1,5})$/.exec(text);
  const host = found?.[1] ?? found?.[2];
  const port = Number(found?.[3]);
  if (host === undefined || !(port <= 65_535) || (host !== 'localhost' && parseIp(host) === undefined)) {
    return err(
      `"${text.slice(0, 60)}" is no address with a port: write for example 127.0.0.1:8080 or [::1]:8080`,
    );
  }
  return ok({ host, port });
}

/** A listener that cannot or must not be opened. */
export class ListenError extends OperatorError {
  override readonly name = 'ListenError';
  declare readonly remedy: string;

  constructor(what: string, remedy: string, { cause }: ErrorOptions = {}) {
    super({ what, remedy, cause });
  }
}

/**
 * Off the loopback addresses a listener needs authentication, and TLS, since tokens and pre-shared keys pass through
 * it. @throws ListenError
 */
export function checkListener(
  { host }: TcpListener,
  auth: 'tokens' | 'none',
  protectedInTransit: boolean,
): void {
  if (isLoopbackHost(host)) return;
  if (auth === 'none') {
    throw new ListenError(
      `listening on ${host} without authentication would let everybody change the gateways`,
      'configure tokens or API keys, or listen on 127.0.0.1',
    );
  }
  if (protectedInTransit) return;
  throw new ListenError(
    `listening on ${host} without TLS would send tokens and pre-shared keys in the clear`,
    'name certificate and key under "tls", listen on 127.0.0.1, or set "plain_http: true" where a proxy in front speaks TLS',
  );
}

/** Whether a host name or address means this machine only. */
export function isLoopbackHost(host: string): boolean {
  const name = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (name === 'localhost' || name.endsWith('.localhost')) return true;
  const ip = parseIp(name);
  if (ip === undefined) return false;
  return ip.length === 4 ? ip[0] === 127 : ip.every((octet, index) => octet === (index === 15 ? 1 : 0));
}

/**
 * Listens on a Unix socket with mode 0600. The socket of a server that is no more is replaced; anything else that is
 * there is left alone.
 * @throws ListenError
 */
export async function listenUnix(server: Server, path: string): Promise<void> {
  try {
    await listenUnixSocket(server, path);
  } catch (error) {
    throw explain(path, error);
  }
}

function explain(path: string, error: unknown): ListenError {
  const { reason, cause } = error as Partial<UnixListenError>;
  const options = { cause: error };
  if (reason === 'answered') {
    return new ListenError(`another server listens on "${path}"`, 'end it, or name another path', options);
  }
  if (reason === 'no_socket') {
    return new ListenError(
      `"${path}" is there and is no socket`,
      'name another path as "socket", or move away what is there',
      options,
    );
  }
  if (reason === 'too_long') {
    const remedy = `name one of at most ${MAX_SOCKET_PATH} octets as "socket"`;
    return new ListenError(`the path "${path}" is too long for a Unix socket`, remedy, options);
  }
  const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? 'unknown error';
  return new ListenError(`cannot listen on "${path}" (${code})`, 'check the folder and its rights', options);
}

/** What does not even look like a request gets an error of the usual form, and the connection is over. */
export function answerGarbage(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
    socket.destroy();
    return;
  }
  const trace = randomUUID();
  const slow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  const status = slow ? '408 Request Timeout' : '400 Bad Request';
  const message = slow ? 'the request was not complete in time' : 'this is no HTTP request';
  const body = JSON.stringify(new ApiError(Number.parseInt(status, 10), 'bad_request', message).body(trace));
  socket.end(
    `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n` +
      `X-Request-Id: ${trace}\r\nConnection: close\r\n\r\n${body}`,
  );
}
