import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import { EventHub, HUB_LIMITS } from '../telemetry/events/event-hub.js';
import { programVersion } from '../telemetry/program.js';
import { AuditTrail } from './audit/trail.js';
import type { AuthOptions } from './auth/authenticator.js';
import { RefusalLog } from './auth/refusal-log.js';
import { type ApiContext, WriteQueue } from './context.js';
import type { ServerHealth } from './health.js';
import { HealthEvents } from './health-events.js';
import { GatewayLifecycle } from './lifecycle.js';
import {
  answerGarbage,
  checkListener,
  ListenError,
  listenUnix,
  REQUEST_TIMEOUT_MS,
  type TcpListener,
} from './listeners.js';
import type { ApiOptions } from './options.js';
import type { RestApp } from './rest-app.js';
import { RoutingFollower } from './routing/follower.js';

/** Where the server listens: on TCP, on a Unix socket, or on both. */
export interface ListenOptions {
  readonly tcp?: TcpListener;
  /** Tokens and keys may cross a network in the clear: there is a proxy in front that speaks TLS. */
  readonly plainHttp?: boolean;
  /** A Unix socket with mode 0600: who can open it is treated as root. */
  readonly socketPath?: string;
}

/** What a running server can be given again by a reload. */
export type ApiReplacement = Pick<ApiOptions, 'site' | 'tls'> & Pick<AuthOptions, 'tokens' | 'apiKeys'>;

interface ServerParts extends Omit<RestApp, 'app'> {
  readonly context: ApiContext;
  readonly lifecycle: GatewayLifecycle;
  readonly healthEvents: HealthEvents;
  readonly routing: RoutingFollower;
  readonly rootSockets: WeakSet<Socket>;
}

/**
 * The control plane's REST server: API, tokens and OpenAPI document over a store, and the lifecycle of the gateways
 * over a runner. It owns neither: the caller, which made them, closes them.
 */
export class ApiServer {
  /** For tests: `inject` goes through everything but the network. */
  readonly app: FastifyInstance;
  readonly #options: ApiOptions;
  readonly #parts: ServerParts;
  #unix: Server | undefined;

  private constructor(options: ApiOptions, app: FastifyInstance, parts: ServerParts) {
    this.#options = options;
    this.app = app;
    this.#parts = parts;
  }

  /** Makes the server and brings the stored gateways up; no request is accepted before `listen`. */
  static async create(options: ApiOptions): Promise<ApiServer> {
    const { store, runner, site, logger } = options;
    const now = options.now ?? (() => new Date());
    const audit = await AuditTrail.open(store, logger);
    const events = options.events ?? new EventHub(HUB_LIMITS.server);
    const writes = new WriteQueue({ store, logger, now, audit, events });
    const refusals = new RefusalLog(logger, audit);
    const { reload } = options;
    const context: ApiContext = {
      ...{ store, runner, site, logger, refusals, audit, events, now, writes },
      program: `culvert ${programVersion}`,
      ...(reload === undefined ? {} : { reload }),
    };
    const lifecycle = new GatewayLifecycle({ store, writes, runner, site: () => context.site, logger });
    // Their tunnels are down until they run: they start while the rest is being made.
    await lifecycle.start();
    const routing = new RoutingFollower({ store, runner, site: () => context.site, logger });
    await routing.start();
    try {
      return await ApiServer.#over(options, context, { lifecycle, routing });
    } catch (error) {
      await routing.stop();
      await lifecycle.stop();
      throw error;
    }
  }

  static async #over(
    options: ApiOptions,
    context: ApiContext,
    followers: Pick<ServerParts, 'lifecycle' | 'routing'>,
  ): Promise<ApiServer> {
    const { store, runner, events } = context;
    const rootSockets = new WeakSet<Socket>();
    // Loading what answers requests takes as long as everything before it: gateways start meanwhile.
    const { restApp } = await import('./rest-app.js');
    const { app, ...rest } = await restApp(options, context, rootSockets);
    const healthEvents = new HealthEvents({
      store,
      runner,
      site: () => context.site,
      publish: events.publish,
    });
    await healthEvents.start();
    return new ApiServer(options, app, { context, healthEvents, rootSockets, ...rest, ...followers });
  }

  /** What `/health` and `/ready` answer, for other listeners and for the service manager. */
  get health(): ServerHealth {
    return this.#parts.health;
  }

  /**
   * Opens the listeners. Returns the URL of the TCP one, with the address that was bound.
   * @throws ListenError when a listener would admit callers without authentication, or an address cannot be had
   */
  async listen({ tcp, socketPath, plainHttp = false }: ListenOptions): Promise<string | undefined> {
    const { auth, tls } = this.#options;
    if (tcp !== undefined) checkListener(tcp, auth.mode, tls !== undefined || plainHttp);
    if (socketPath !== undefined) {
      const unix = createServer((request, response) => this.app.routing(request, response));
      unix.requestTimeout = REQUEST_TIMEOUT_MS;
      unix.on('clientError', answerGarbage);
      unix.on('connection', (socket) => this.#parts.rootSockets.add(socket));
      await listenUnix(unix, socketPath);
      this.#unix = unix;
    }
    if (tcp === undefined) return undefined;
    try {
      await this.app.listen({ host: tcp.host, port: tcp.port });
      // Fastify's own answer names 127.0.0.1 for a listener on every address.
      const { address, family, port } = this.app.server.address() as AddressInfo;
      const url = `http${tls === undefined ? '' : 's'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
      this.#parts.context.url = url;
      return url;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
      const where = `${tcp.host} port ${tcp.port}`;
      throw new ListenError(
        `cannot listen on ${where} (${code})`,
        'name an address of this host and a free port',
        {
          cause: error,
        },
      );
    }
  }

  /**
   * Takes over another site, other credentials and another certificate, from the next request and connection on;
   * gateways follow where the site says something else of them. Without `tls` the certificate stays. Streams of events
   * end, since their readers may have lost the right to read: those that have it come back.
   */
  replace({ site, tokens, apiKeys, tls }: ApiReplacement): void {
    const { context, authenticator, lifecycle, routing, streams } = this.#parts;
    context.site = site;
    authenticator?.replace({ tokens, apiKeys, account: site.account });
    if (tls !== undefined)
      (this.app.server as unknown as TlsServer).setSecureContext({ ...tls, minVersion: 'TLSv1.2' });
    streams.endAll();
    lifecycle.refresh();
    routing.refresh();
  }

  /** Answers what is under way, then ends. Gateways go on running. */
  async stop(): Promise<void> {
    const { app } = this;
    const unix = this.#unix;
    this.#parts.context.audit.close();
    this.#parts.healthEvents.stop();
    this.#parts.streams.endAll();
    if (unix !== undefined) {
      await new Promise((resolve) => {
        unix.close(resolve);
        unix.closeIdleConnections();
      });
    }
    await app.close();
    await this.#parts.routing.stop();
    await this.#parts.lifecycle.stop();
  }
}
