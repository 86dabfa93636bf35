import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Authenticator } from './auth/authenticator.js';
import { ANYBODY, SOCKET } from './auth/principal.js';
import type { Sessions } from './auth/sessions.js';
import { sessionCookieOf } from './console/cookie.js';
import { ApiError } from './errors.js';
import { isLoopbackHost } from './listeners.js';

/** How the server finds out who is asking. Without authentication there is neither authenticator nor sessions. */
export interface Access {
  readonly authenticator: Authenticator | undefined;
  readonly sessions: Sessions | undefined;
  /** Connections of the Unix socket. */
  readonly rootSockets: WeakSet<Socket>;
  /** The time of day. */
  readonly now: () => Date;
}

/** Makes every request have a principal, or be refused, before it is routed. */
export function addAccess(app: FastifyInstance, access: Access): void {
  const { authenticator, sessions, rootSockets, now } = access;
  app.addHook('onRequest', async (request) => {
    const { public: open = false, page = false } = request.routeOptions.config ?? {};
    if (rootSockets.has(request.raw.socket)) {
      request.principal = SOCKET;
    } else if (authenticator === undefined) {
      // Pages contain nothing, and links lead to them from anywhere.
      if (!page) refuseStrangers(request);
      request.principal = ANYBODY;
    } else if (!open && !request.is404) {
      const { authorization } = request.headers;
      const cookie = authorization === undefined ? sessionCookieOf(request) : undefined;
      if (cookie !== undefined && sessions !== undefined) {
        const session = sessions.read(cookie, request.ip, now());
        request.principal = session.principal;
        request.sessionEnd = session.expiresAt;
      } else {
        request.principal = authenticator.authenticate(authorization, request.ip, now());
      }
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
