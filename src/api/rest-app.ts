import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import {
  type FastifyError,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
} from 'fastify';
import { StoreError } from '../store/store.js';
import { addAccess } from './access.js';
import { registerRoutes } from './all-routes.js';
import { Authenticator } from './auth/authenticator.js';
import { Sessions } from './auth/sessions.js';
import { BODY_LIMIT, tooLarge } from './bodies.js';
import { ConsoleAssets } from './console/assets.js';
import type { ApiContext } from './context.js';
import { ApiError } from './errors.js';
import { EventStreams } from './event-streams.js';
import { ServerHealth } from './health.js';
import { answerGarbage, REQUEST_TIMEOUT_MS } from './listeners.js';
import { type ApiObserver, authFailureOf, observe } from './observer.js';
import { registerDocument } from './openapi.js';
import type { ApiOptions } from './options.js';
import { noteRequest } from './routes.js';

/** What answers requests, before anything listens. */
export interface RestApp {
  readonly app: FastifyInstance;
  /** Undefined where every caller may do everything. */
  readonly authenticator: Authenticator | undefined;
  readonly health: ServerHealth;
  readonly streams: EventStreams;
}

/**
 * Routes, access and errors of the REST API.
 * @param rootSockets connections whose callers are root, filled by who accepts them
 */
export async function restApp(
  options: ApiOptions,
  context: ApiContext,
  rootSockets: WeakSet<Socket>,
): Promise<RestApp> {
  const { refusals, audit, events, now } = context;
  const app = makeApp(options);
  await registerDocument(app);
  if (options.observer !== undefined) observe(app, options.observer);
  addAnswers(app, context, options.observer);
  const authenticator =
    options.auth.mode === 'none'
      ? undefined
      : new Authenticator({ ...options.auth, account: context.site.account }, refusals, audit);
  const sessions = authenticator && new Sessions(authenticator);
  addAccess(app, { authenticator, sessions, rootSockets, now });
  const health = await ServerHealth.of(context);
  const streams = new EventStreams(events);
  const assets = options.console === undefined ? undefined : new ConsoleAssets(options.console);
  registerRoutes(app, { context, health, streams, authenticator, sessions, assets });
  await app.ready();
  return { app, authenticator, health, streams };
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
  app.decorateRequest('sessionEnd', null);
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

/** What a failure of the store means for the client: nothing was changed, unless it says so, and reads go on. */
function storeFailure({ code, remedy }: StoreError): ApiError {
  const later = { 'retry-after': STORE_RETRY_SECONDS };
  switch (code) {
    case 'conflict':
      return new ApiError(409, 'conflict', 'others change the same objects at the same time: try again');
    case 'full': {
      const message = `the server's disk is full, so nothing was changed: ${remedy}, then try again`;
      return new ApiError(507, 'store_full', message, undefined, later);
    }
    case 'unavailable':
    case 'refused': {
      const message = `the server cannot write its store, so nothing was changed: ${remedy}, then try again`;
      return new ApiError(503, 'store_unavailable', message, undefined, later);
    }
    case 'uncertain': {
      const message =
        'the store has not said whether the change was made, and it may still be: read what there is before you try again';
      return new ApiError(503, 'store_uncertain', message, undefined, later);
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
