import type { FastifyInstance, FastifyRequest } from 'fastify';

/** Why a request was not let in. */
export type AuthFailure = 'missing' | 'invalid' | 'too_many';

/** Hears of every request. */
export interface ApiObserver {
  begun(): void;
  /** `route` as the API document writes it, `none` where none matched; `seconds` from the head to the end. */
  answered(request: {
    readonly method: string;
    readonly route: string;
    readonly code: number;
    readonly seconds: number;
  }): void;
  refused(why: AuthFailure): void;
}

/** What a client may call a method is its own choice: others are one. */
const METHODS: ReadonlySet<string> = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']);

/** The errors of logins. */
const FAILURES: Readonly<Record<string, AuthFailure>> = {
  token_missing: 'missing',
  token_invalid: 'invalid',
  too_many_requests: 'too_many',
};

/** Which failure to authenticate the code of an error means; undefined for any other code. */
export function authFailureOf(code: string): AuthFailure | undefined {
  return Object.hasOwn(FAILURES, code) ? FAILURES[code] : undefined;
}

/** Lets `observer` hear of requests. Before all other hooks, so that none is missed. */
export function observe(app: FastifyInstance, observer: ApiObserver): void {
  app.addHook('onRequest', async () => observer.begun());
  app.addHook('onResponse', async (request, reply) => {
    observer.answered({
      method: METHODS.has(request.method) ? request.method : 'other',
      route: routeOf(request),
      code: reply.statusCode,
      seconds: request.headSeconds ?? reply.elapsedTime / 1000,
    });
  });
}

function routeOf(request: FastifyRequest): string {
  const { url } = request.routeOptions;
  return request.is404 || url === undefined ? 'none' : url.replace(/:([a-z_]+)/g, '{$1}');
}
