import type { FastifyInstance } from 'fastify';
import * as Type from '../util/json-schema.js';
import type { Authenticator } from './auth/authenticator.js';
import { decodeBody } from './bodies.js';
import type { ApiContext } from './context.js';
import { ApiError } from './errors.js';
import { originOf } from './routes.js';
import type { TokenAnswer } from './schemas/surroundings-answers.js';

const API_KEY_GRANT = 'urn:ibm:params:oauth:grant-type:apikey';

/**
 * `POST /identity/token`: an API key, or the refresh token of an earlier answer, for a signed token. Its body is a
 * form (RFC 6749 §4), whatever Basic credentials for the client come with it.
 */
export function registerTokenRoute(
  app: FastifyInstance,
  authenticator: Authenticator,
  context: ApiContext,
): void {
  app.post(
    '/identity/token',
    {
      schema: {
        operationId: 'create_token',
        summary: 'Exchange an API key for a signed token',
        tags: ['Access'],
        consumes: ['application/x-www-form-urlencoded'],
        body: Type.Object({
          grant_type: Type.Enum([API_KEY_GRANT, 'refresh_token']),
          apikey: Type.Optional(Type.String()),
          refresh_token: Type.Optional(Type.String()),
        }),
        response: Object.fromEntries([
          [200, { $ref: 'Token#' }],
          ...[400, 413, 429, 500].map((status) => [status, { $ref: 'Errors#' }]),
        ]),
      },
      config: { public: true },
    },
    async (request, reply): Promise<TokenAnswer> => {
      const raw = Buffer.isBuffer(request.body)
        ? decodeBody(request.body, request.headers['content-encoding'])
        : Buffer.alloc(0);
      const form = new URLSearchParams(raw.toString('utf8'));
      const issuer = `${originOf(request, context)}/identity`;
      const now = context.now();
      reply.header('cache-control', 'no-store');
      switch (form.get('grant_type')) {
        case API_KEY_GRANT:
          return authenticator.exchange(field(form, 'apikey'), request.ip, issuer, now);
        case 'refresh_token':
          return authenticator.refresh(field(form, 'refresh_token'), request.ip, issuer, now);
        default: {
          const message = `grant_type is not one of ${API_KEY_GRANT} and refresh_token`;
          throw new ApiError(400, 'validation_enum', message, { name: 'grant_type', type: 'field' });
        }
      }
    },
  );
}

function field(form: URLSearchParams, name: string): string {
  const value = form.get(name);
  if (value !== null && value !== '') return value;
  throw new ApiError(400, 'validation_required_field', `${name} is missing`, { name, type: 'field' });
}
