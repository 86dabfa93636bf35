import type { FastifyInstance } from 'fastify';
import * as Type from '../util/json-schema.js';
import { BodyReader, jsonBody } from './bodies.js';
import type { ApiContext } from './context.js';
import { ApiError } from './errors.js';
import { noteRequest } from './routes.js';
import type { AnswerOf } from './schemas/answer-parts.js';

const closed = { additionalProperties: false } as const;
const Body = Type.Object({ dry_run: Type.Optional(Type.Boolean()) }, closed);
const Report = Type.Object(
  {
    applied: Type.Boolean(),
    changes: Type.Array(Type.Object({ field: Type.String(), refused: Type.Optional(Type.String()) }, closed)),
    errors: Type.Array(Type.String()),
  },
  closed,
);
const reader = new BodyReader(Body);

/**
 * `POST /culvert/v1/reload`: the server reads its file again. The file belongs to this machine, so only who may open
 * the Unix socket may ask for it. A file that is wrong is no fault of the request: the answer is 200 and says so.
 */
export function registerReloadRoute(app: FastifyInstance, context: ApiContext): void {
  const { reload } = context;
  app.post(
    '/culvert/v1/reload',
    {
      config: { audit: { action: 'culvert.server.reload' } },
      schema: {
        operationId: 'reload_server',
        summary: "Read the server's file again and take over what has changed; on the Unix socket only",
        tags: ['Server'],
        body: Body,
        response: Object.fromEntries([
          [200, Report],
          ...[400, 401, 403, 404, 413, 429, 500].map((status) => [status, { $ref: 'Errors#' }]),
        ]),
      },
    },
    async (request): Promise<AnswerOf<typeof Report>> => {
      if (request.principal?.by !== 'socket') {
        const message =
          "the server's file is reloaded by its Unix socket only: run culvert serve-reload on its machine";
        throw new ApiError(403, 'not_authorized', message);
      }
      if (reload === undefined)
        throw new ApiError(404, 'not_found', 'this server was not started from a file');
      const dryRun = reader.read(jsonBody(request) ?? {}).dry_run ?? false;
      const report = await reload(dryRun);
      const reason = report.applied ? undefined : ({ status: 200, code: 'validation_failure' } as const);
      if (!dryRun) noteRequest(request, context, reason);
      return report;
    },
  );
}
