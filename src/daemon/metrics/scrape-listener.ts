import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type Credential, findCredential } from '../../api/auth/credentials.js';
import { listenUnixSocket } from '../../linux/unix-listener.js';
import { answerProbe, type HealthSource, probeOf } from '../../telemetry/health.js';
import type { Logger } from '../../telemetry/log.js';
import { CONTENT_TYPES, type Exposition } from '../../telemetry/metrics/exposition.js';
import type { MetricsDocument } from '../../telemetry/metrics/families.js';
import { MetricsRenderer } from '../../telemetry/metrics/renderer.js';
import { oneLine } from '../../util/operator-error.js';
import { StartError } from '../start-error.js';
import type { MetricsPlace } from './place.js';

/** What a listener for scrapes is made with. */
export interface ScrapeOptions {
  readonly place: MetricsPlace;
  /** A scrape needs one of these; when left out, every client may read. */
  readonly tokens?: () => readonly Credential[];
  /** Certificate chain and key, PEM: the listener then speaks HTTPS only. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer };
  /** Everything that there is to show now. */
  collect(): Promise<MetricsDocument>;
  /** What answers `/health` and `/ready`, which need no token. */
  readonly health: HealthSource;
  readonly logger: Logger;
  /** Milliseconds on a monotonic clock; the system's when left out. */
  readonly now?: () => number;
}

/** A scrape this soon after another one is given the same answer: collecting has a cost. */
const FRESH_MS = 500;
/** Connections at once; a monitoring system has one or two. */
const MAX_CONNECTIONS = 32;
/** A request has no body, and a head of this many octets at most. */
const MAX_HEAD = 16 * 1024;
const REQUEST_TIMEOUT_MS = 10_000;

const PATH = '/metrics';

interface Collected {
  readonly at: number;
  readonly json: Promise<string>;
}

/** Serves `GET /metrics`, `/health` and `/ready`, and nothing else. */
export class ScrapeListener {
  /** Where it listens: a URL, or the path of the socket. */
  readonly where: string;
  readonly #options: ScrapeOptions;
  readonly #server: Server;
  readonly #renderer: MetricsRenderer;
  #collected: Collected | undefined;

  private constructor(options: ScrapeOptions, server: Server, renderer: MetricsRenderer, where: string) {
    this.#options = options;
    this.#server = server;
    this.#renderer = renderer;
    this.where = where;
    server.on('request', (request, response) => void this.#answer(request, response));
  }

  /** @throws StartError when it cannot listen there */
  static async open(options: ScrapeOptions): Promise<ScrapeListener> {
    const { place, tls, logger } = options;
    const limits = { maxHeaderSize: MAX_HEAD, requestTimeout: REQUEST_TIMEOUT_MS };
    const server =
      tls === undefined || 'path' in place
        ? createServer(limits)
        : createTlsServer({ ...limits, ...tls, minVersion: 'TLSv1.2' });
    server.maxConnections = MAX_CONNECTIONS;
    const where = await listen(server, place, tls !== undefined);
    server.on('error', (error) => logger.error({ err: error }, 'the listener for metrics failed'));
    return new ScrapeListener(options, server, new MetricsRenderer(), where);
  }

  /** Takes another certificate, from the next connection on. */
  setCertificate(tls: NonNullable<ScrapeOptions['tls']>): void {
    const { setSecureContext } = this.#server as Partial<ReturnType<typeof createTlsServer>>;
    setSecureContext?.call(this.#server, { ...tls, minVersion: 'TLSv1.2' });
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
    await this.#renderer.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const probe = isRead(request) ? probeOf(pathOf(request)) : undefined;
    if (probe !== undefined) {
      const { status, headers, body } = await answerProbe(this.#options.health, probe);
      response.writeHead(status, headers).end(request.method === 'HEAD' ? undefined : body);
      return;
    }
    const refusal = this.#refusal(request);
    if (refusal !== undefined) {
      response.writeHead(refusal.status, { 'content-type': 'text/plain', ...refusal.headers });
      response.end(`${refusal.message}\n`);
      return;
    }
    const form = formOf(request.headers.accept);
    const gzip = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
    try {
      const body = await this.#renderer.render(await this.#json(), form, gzip);
      response.writeHead(200, {
        'content-type': CONTENT_TYPES[form],
        'content-length': body.length,
        vary: 'Accept, Accept-Encoding',
        ...(gzip ? { 'content-encoding': 'gzip' } : {}),
      });
      response.end(request.method === 'HEAD' ? undefined : body);
    } catch (error) {
      this.#options.logger.error(`the metrics were not read: ${oneLine(error)}`);
      response.writeHead(500, { 'content-type': 'text/plain' });
      response.end('the metrics could not be read: the log says why\n');
    }
  }

  #refusal(request: IncomingMessage):
    | {
        readonly status: number;
        readonly message: string;
        readonly headers?: Readonly<Record<string, string>>;
      }
    | undefined {
    const { tokens } = this.#options;
    const given = /^bearer +(\S+)$/i.exec(request.headers.authorization?.trim() ?? '')?.[1];
    if (tokens !== undefined && (given === undefined || findCredential(tokens(), given) === undefined)) {
      const message = 'a token of this listener is needed: Authorization: Bearer TOKEN';
      return { status: 401, message, headers: { 'www-authenticate': 'Bearer' } };
    }
    if (pathOf(request) !== PATH) return { status: 404, message: `there is only ${PATH} here` };
    if (isRead(request)) return undefined;
    return { status: 405, message: 'metrics can only be read', headers: { allow: 'GET, HEAD' } };
  }

  #json(): Promise<string> {
    const now = (this.#options.now ?? (() => performance.now()))();
    if (this.#collected === undefined || now - this.#collected.at > FRESH_MS) {
      const json = this.#options.collect().then((document) => JSON.stringify(document));
      this.#collected = { at: now, json };
    }
    return this.#collected.json;
  }
}

function pathOf({ url = '' }: IncomingMessage): string {
  return url.replace(/\?.*/, '');
}

function isRead({ method }: IncomingMessage): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** OpenMetrics for who asks for it, as Prometheus does. */
function formOf(accept: string | undefined): Exposition {
  return /application\/openmetrics-text/.test(accept ?? '') ? 'openmetrics' : 'prometheus';
}

async function listen(server: Server, place: MetricsPlace, tls: boolean): Promise<string> {
  if ('path' in place) {
    try {
      await listenUnixSocket(server, place.path);
    } catch (error) {
      throw refused(`the Unix socket ${place.path}`, error, 'name another path');
    }
    return `unix:${place.path}`;
  }
  const { host, port } = place;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(refused(`${host} port ${port}`, error, 'name an address of this host and a free port')),
    );
    server.listen(port, host, resolve);
  });
  server.removeAllListeners('error');
  const { address, family, port: bound } = server.address() as AddressInfo;
  return `http${tls ? 's' : ''}://${family === 'IPv6' ? `[${address}]` : address}:${bound}${PATH}`;
}

function refused(where: string, error: unknown, remedy: string): StartError {
  return new StartError(`metrics cannot be served at ${where}: ${oneLine(error)}`, remedy);
}
