import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify';
import * as Type from '../../util/json-schema.js';
import type { Authenticator } from '../auth/authenticator.js';
import type { OpenedSession, Sessions } from '../auth/sessions.js';
import { BodyReader, jsonBody } from '../bodies.js';
import type { ApiContext } from '../context.js';
import { ApiError } from '../errors.js';
import { originOf } from '../routes.js';
import type { NamedSchema } from '../schemas/answer-parts.js';
import * as Schemas from '../schemas/console-answers.js';
import type { ConsoleAssets } from './assets.js';
import { CONSOLE_HEADER, noSessionCookie, sessionCookie, sessionCookieOf } from './cookie.js';
import { CONSOLE_PATH } from './page-routes.js';

const closed = { additionalProperties: false } as const;
const Secret = Type.Optional(
  Type.String({ minLength: 1, maxLength: 4096, description: '1 to 4096 characters' }),
);
const LoginBody = Type.Object(
  { secret: Secret, code: Secret },
  { ...closed, description: 'secret: a token or API key of the server; or code: that of a login link' },
);
const LinkBody = Type.Object({ role: Type.Optional(Type.Enum(['viewer', 'editor'])) }, closed);
const loginReader = new BodyReader(LoginBody);
const linkReader = new BodyReader(LinkBody);

/** What logins need; without authentication there are no sessions. */
export interface ConsoleAccess {
  readonly authenticator: Authenticator | undefined;
  readonly sessions: Sessions | undefined;
  /** Absent where there is to be no console. */
  readonly assets: ConsoleAssets | undefined;
}

const tags = ['Console'];

/** Logins of the console, links that log in once, and who may log in. */
export function registerSessionRoutes(
  app: FastifyInstance,
  context: ApiContext,
  access: ConsoleAccess,
): void {
  const { sessions, authenticator } = access;
  app.get(
    '/culvert/v1/console/session',
    described('get_console_session', 'Show who is logged in', Schemas.ConsoleSession),
    async (request, reply) => {
      reply.header('cache-control', 'no-store');
      return sessionAnswer(request, context);
    },
  );
  if (sessions !== undefined) registerLogins(app, context, sessions);
  app.post(
    '/culvert/v1/console/login_links',
    described(
      'create_console_login_link',
      'Make a link by which a browser logs in, once',
      Schemas.LoginLink,
      LinkBody,
    ),
    async (request, reply): Promise<Schemas.LoginLinkAnswer> => {
      reply.header('cache-control', 'no-store');
      const { role = 'editor' } = linkReader.read(jsonBody(request) ?? {});
      refuseWithoutPages(access.assets);
      const page = `${pageOrigin(request, context)}${CONSOLE_PATH}`;
      const holder = request.principal === null ? undefined : authenticator?.holderOf(request.principal);
      if (sessions === undefined || holder === undefined) return { url: page };
      const { code, expiresAt } = sessions.link(holder, role, context.now());
      // In the fragment, which is in no request and in no log.
      return { url: `${page}#login=${code}`, expires_at: expiresAt.toISOString() };
    },
  );
  app.get(
    '/culvert/v1/credentials',
    described('list_credentials', 'List who may log in, and in which role', Schemas.Credentials),
    async (): Promise<Schemas.CredentialsAnswer> => ({
      auth: authenticator === undefined ? 'none' : 'tokens',
      credentials: (authenticator?.credentials() ?? []).map(({ name, role, by }) => ({
        ...{ name, role },
        kind: by === 'iam' ? 'api_key' : 'token',
      })),
    }),
  );
}

function registerLogins(app: FastifyInstance, context: ApiContext, sessions: Sessions): void {
  const open = described(
    'create_console_session',
    `Log in by a token, an API key or the code of a login link; takes the header ${CONSOLE_HEADER}`,
    Schemas.ConsoleSession,
    LoginBody,
  );
  app.post('/culvert/v1/console/session', { ...open, config: { public: true } }, async (request, reply) => {
    reply.header('cache-control', 'no-store');
    const { secret, code } = loginReader.read(jsonBody(request));
    if (request.headers[CONSOLE_HEADER] === undefined) {
      const target = { name: CONSOLE_HEADER, type: 'header' } as const;
      throw new ApiError(403, 'not_authorized', `a login needs the header ${CONSOLE_HEADER}`, target);
    }
    if ((secret === undefined) === (code === undefined)) {
      throw new ApiError(400, 'validation_only_one', 'a login needs secret or code, and one of them');
    }
    const [address, now] = [request.ip, context.now()];
    const opened =
      secret === undefined
        ? sessions.redeem(code!, address, now)
        : sessions.login(secret.trim(), address, now);
    return loggedIn(opened, request, reply, context);
  });
  const end = described('delete_console_session', 'Log out', null);
  app.delete('/culvert/v1/console/session', { ...end, config: { public: true } }, async (request, reply) => {
    const token = sessionCookieOf(request);
    if (token !== undefined) sessions.end(token, request.ip, context.now());
    return reply
      .header('set-cookie', noSessionCookie(isSecure(request, context)))
      .code(204)
      .send();
  });
}

function loggedIn(
  { token, principal, expiresAt }: OpenedSession,
  request: FastifyRequest,
  reply: FastifyReply,
  context: ApiContext,
): Schemas.ConsoleSessionAnswer {
  reply.header('set-cookie', sessionCookie(token, isSecure(request, context)));
  const { name, role, by } = principal;
  const expires_at = expiresAt.toISOString();
  return { name, role, by: by as Schemas.ConsoleSessionAnswer['by'], expires_at, program: context.program };
}

function sessionAnswer(request: FastifyRequest, { program }: ApiContext): Schemas.ConsoleSessionAnswer {
  const { principal, sessionEnd } = request;
  if (principal === null) throw new ApiError(401, 'token_missing', 'nobody is logged in');
  const { name, role, by } = principal;
  return {
    ...{ name, role, by: by as Schemas.ConsoleSessionAnswer['by'], program },
    ...(sessionEnd === null ? {} : { expires_at: sessionEnd.toISOString() }),
  };
}

/** Where a browser finds the pages. @throws ApiError 404 for a server without a listener for browsers */
function pageOrigin(request: FastifyRequest, context: ApiContext): string {
  if (request.principal?.by !== 'socket') return originOf(request, context);
  const url = context.site.endpoint ?? context.url;
  if (url !== undefined) return url.replace(/^(https?:\/\/)(?:0\.0\.0\.0|\[::\])/, '$1localhost');
  const message =
    'browsers cannot reach this server, which listens on its Unix socket only: add "listen" to its file and restart it';
  throw new ApiError(404, 'not_found', message);
}

/** @throws ApiError 404 where a link would lead to nothing */
function refuseWithoutPages(assets: ConsoleAssets | undefined): void {
  if (assets?.isBuilt) return;
  const why =
    assets === undefined
      ? 'this server serves no console: take "console: false" out of its file and restart it'
      : 'the console of this server is not built: run "npm run console:build" in the folder of the program';
  throw new ApiError(404, 'not_found', why);
}

function isSecure(request: FastifyRequest, context: ApiContext): boolean {
  return originOf(request, context).startsWith('https:');
}

function described(
  operationId: string,
  summary: string,
  answer: NamedSchema | null,
  body?: object,
): RouteShorthandOptions {
  const success =
    answer === null ? [204, { description: 'Done', type: 'null' }] : [200, { $ref: `${answer.$id}#` }];
  const refusals = [400, 401, 403, 404, 413, 429, 500].map((status) => [status, { $ref: 'Errors#' }]);
  const response = Object.fromEntries([success, ...refusals]);
  return { schema: { operationId, summary, tags, ...(body === undefined ? {} : { body }), response } };
}
