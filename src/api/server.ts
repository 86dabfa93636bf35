import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from 'fastify';
import type { Site } from '../store/site.js';
import { type Store, StoreError } from '../store/store.js';
import { EventHub, HUB_LIMITS } from '../telemetry/events/event-hub.js';
import type { Logger } from '../telemetry/log.js';
import { programVersion } from '../telemetry/program.js';
import { AuditTrail } from './audit/trail.js';
import { Authenticator, type AuthOptions } from './auth/authenticator.js';
import { ANYBODY, SOCKET } from './auth/principal.js';
import { RefusalLog } from './auth/refusal-log.js';
import { BODY_LIMIT, tooLarge } from './bodies.js';
import { type ApiContext, type ReloadServer, WriteQueue } from './context.js';
import { registerDocsRoute } from './docs-route.js';
import { ApiError } from './errors.js';
import { EventStreams } from './event-streams.js';
import { registerEventsRoute } from './events-route.js';
import { registerHealthRoutes, ServerHealth } from './health.js';
import { HealthEvents } from './health-events.js';
import { GatewayLifecycle } from './lifecycle.js';
import {
  answerGarbage,
  checkListener,
  isLoopbackHost,
  ListenError,
  listenUnix,
  type TcpListener,
} from './listeners.js';
import { type ApiObserver, authFailureOf, observe } from './observer.js';
import { registerDocument } from './openapi.js';
import { registerReloadRoute } from './reload-route.js';
import { noteRequest, originOf, registerOperations } from './routes.js';
import { RoutingFollower } from './routing/follower.js';
import type { GatewayRunner } from './runner.js';
import { registerTokenRoute } from './token-route.js';

/** How callers on TCP authenticate. Callers on the Unix socket never do: its mode admits root only. */
export type ApiAuth =
  | ({ readonly mode: 'tokens' } & Omit<AuthOptions, 'account'>)
  /** Every caller may do everything: on a loopback address only, and only when asked for by this value. */
  | { readonly mode: 'none' };

/** What the REST server is made of. */
export interface ApiOptions {
  readonly store: Store;
  readonly runner: GatewayRunner;
  readonly site: Site;
  readonly logger: Logger;
  readonly auth: ApiAuth;
  /** The time of day; the system's when left out. */
  readonly now?: () => Date;
  /** Certificate chain and key, PEM: the TCP listener then speaks HTTPS only. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer };
  /** Reads the server's file again, for clients that ask for it. */
  readonly reload?: ReloadServer;
  readonly observer?: ApiObserver;
  /** Addresses and networks of proxies whose X-Forwarded-For says where a request comes from. */
  readonly trustProxy?: readonly string[];
  /** Where events come together; one of the server's own when left out. */
  readonly events?: EventHub;
}

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

interface ServerParts {
  readonly context: ApiContext;
  readonly authenticator: Authenticator | undefined;
  readonly lifecycle: GatewayLifecycle;
  readonly health: ServerHealth;
  readonly streams: EventStreams;
  readonly healthEvents: HealthEvents;
  readonly routing: RoutingFollower;
  readonly rootSockets: WeakSet<Socket>;
}

/** Ends a request that is sent too slowly. */
const REQUEST_TIMEOUT_MS = 30_000;

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
    const { store, runner, refusals, audit, events, now } = context;
    const rootSockets = new WeakSet<Socket>();
    const app = makeApp(options);
    await registerDocument(app);
    if (options.observer !== undefined) observe(app, options.observer);
    addAnswers(app, context, options.observer);
    const authenticator =
      options.auth.mode === 'none'
        ? undefined
        : new Authenticator({ ...options.auth, account: context.site.account }, refusals, audit);
    addAccess(app, authenticator, rootSockets, now);
    app.get('/openapi.json', { schema: { hide: true }, config: { public: true } }, async (request) => ({
      ...app.swagger(),
      servers: [{ url: originOf(request, context) }],
    }));
    registerDocsRoute(app);
    const health = await ServerHealth.of(context);
    registerHealthRoutes(app, health);
    if (authenticator !== undefined) registerTokenRoute(app, authenticator, context);
    registerReloadRoute(app, context);
    const streams = new EventStreams(events);
    registerEventsRoute(app, context, streams);
    registerOperations(app, context);
    await app.ready();
    const healthEvents = new HealthEvents({
      store,
      runner,
      site: () => context.site,
      publish: events.publish,
    });
    await healthEvents.start();
    const parts = { context, authenticator, health, healthEvents, rootSockets, streams, ...followers };
    return new ApiServer(options, app, parts);
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
      return `http${tls === undefined ? '' : 's'}://${family === 'IPv6' ? `[${address}]` : address}:${port}`;
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

function makeApp({ tls, trustProxy = [] }: ApiOptions): FastifyInstance {
  const common = {
    bodyLimit: BODY_LIMIT,
    requestTimeout: REQUEST_TIMEOUT_MS,
    exposeHeadRoutes: false,
    clientErrorHandler: answerGarbage,
    forceCloseConnections: 'idle' as const,
    routerOptions: { maxParamLength: 512 },
    ...(trustProxy.length === 0 ? {} : { trustProxy: [...trustProxy] }),
    genReqId: (request: { headers: Record<string, unknown> }) => {
      const given = request.headers['x-request-id'];
      return typeof given === 'string' && /^[-0-9a-zA-Z_]{1,64}$/.test(given) ? given : randomUUID();
    },
    frameworkErrors: (error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
      sendError(toApiError(error), request, reply);
    },
  };
  const app = (
    tls === undefined
      ? fastify(common)
      : fastify({ ...common, https: { cert: tls.cert, key: tls.key, minVersion: 'TLSv1.2' } })
  ) as FastifyInstance;
  // Operations check their requests themselves and answers are what they made: schemas are for the document.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  // Whatever the media type, and without one: the body is what it is.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.decorateRequest('principal', null);
  app.decorateRequest('headSeconds', null);
  return app;
}

function addAnswers(app: FastifyInstance, context: ApiContext, observer: ApiObserver | undefined): void {
  const { logger } = context;
  app.addHook('onRequest', async (request, reply) => {
    markAnswer(request, reply);
  });
  app.setErrorHandler((error, request, reply) => {
    const known = toApiError(error, request.routeOptions.bodyLimit);
    const { code } = known.items[0]!;
    const failure = authFailureOf(code);
    if (failure !== undefined) observer?.refused(failure);
    noteRequest(request, context, { status: known.status, code });
    if (known.status >= 500) logger.error({ err: error, request_id: request.id }, `${request.method} failed`);
    sendError(known, request, reply);
  });
  app.setNotFoundHandler((request, reply) => {
    sendError(new ApiError(404, 'invalid_route', 'there is no such route'), request, reply);
  });
}

function markAnswer(request: FastifyRequest, reply: FastifyReply): void {
  reply.headers({
    'x-request-id': request.id,
    'x-correlation-id': request.id,
    'x-content-type-options': 'nosniff',
    vary: 'Accept-Encoding',
  });
}

function addAccess(
  app: FastifyInstance,
  authenticator: Authenticator | undefined,
  rootSockets: WeakSet<Socket>,
  now: () => Date,
): void {
  app.addHook('onRequest', async (request) => {
    const open = request.routeOptions.config?.public === true;
    if (rootSockets.has(request.raw.socket)) {
      request.principal = SOCKET;
    } else if (authenticator === undefined) {
      refuseStrangers(request);
      request.principal = ANYBODY;
    } else if (!open && !request.is404) {
      const address = request.ip;
      request.principal = authenticator.authenticate(request.headers.authorization, address, now());
    }
  });
}

/**
 * Without authentication a web page in the operator's browser could send requests to the loopback address: refuses
 * those that come from a page, and those whose host is a name made to lead here.
 */
function refuseStrangers(request: FastifyRequest): void {
  const { origin } = request.headers;
  const site = request.headers['sec-fetch-site'];
  const foreign =
    (origin !== undefined && origin !== `${request.protocol}://${request.host}`) ||
    site === 'cross-site' ||
    site === 'same-site';
  if (!foreign && isLoopbackHost(request.hostname)) return;
  const message = 'without authentication only programs on this machine are served, by its loopback address';
  throw new ApiError(403, 'not_authorized', message);
}

function toApiError(error: unknown, bodyLimit = BODY_LIMIT): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof StoreError) return storeFailure(error);
  const { statusCode, code } = error as Partial<FastifyError>;
  if (statusCode === 413 || code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return tooLarge(bodyLimit);
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new ApiError(400, 'bad_request', `the request cannot be read (${code ?? 'unknown error'})`);
  }
  return new ApiError(500, 'internal_error', 'the server failed: its log says why, under this trace');
}

/** Seconds after which a client may repeat a write that the store could not make. */
const STORE_RETRY_SECONDS = '5';

/** What a failure of the store means for the client: nothing was changed, and reads go on. */
function storeFailure({ code, remedy }: StoreError): ApiError {
  const later = { 'retry-after': STORE_RETRY_SECONDS };
  switch (code) {
    case 'conflict':
      return new ApiError(409, 'conflict', 'others change the same objects at the same time: try again');
    case 'full': {
      const message = `the server's disk is full, so nothing was changed: ${remedy}, then try again`;
      return new ApiError(507, 'store_full', message, undefined, later);
    }
    case 'unavailable': {
      const message = `the server cannot write its store, so nothing was changed: ${remedy}, then try again`;
      return new ApiError(503, 'store_unavailable', message, undefined, later);
    }
    default:
      return new ApiError(500, 'internal_error', 'the server failed: its log says why, under this trace');
  }
}

function sendError(error: ApiError, request: FastifyRequest, reply: FastifyReply): void {
  markAnswer(request, reply);
  const body = error.body(request.id);
  const { code, message } = error.items[0]!;
  const forTokens = request.url.startsWith('/identity/') ? { errorCode: code, errorMessage: message } : {};
  reply
    .code(error.status)
    .headers(error.headers)
    .type('application/json')
    .serializer((data: unknown) => JSON.stringify(data))
    .send({ ...body, ...forTokens });
}
