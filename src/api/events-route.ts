import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { EventFilter } from '../telemetry/events/event-filter.js';
import { type EventStart, isEventId } from '../telemetry/events/event-hub.js';
import { EVENT_KINDS } from '../telemetry/events/kinds.js';
import { parseDateTime } from '../telemetry/rfc3339.js';
import * as Type from '../util/json-schema.js';
import { nearestWord } from '../util/nearest.js';
import type { ApiContext } from './context.js';
import type { ErrorCode } from './error-codes.js';
import { ApiError } from './errors.js';
import type { EventStreams } from './event-streams.js';
import { noteRequest } from './routes.js';

/** Values of one parameter. */
const MAX_VALUES = 100;

type Query = Readonly<Record<string, unknown>>;

const several = (description: string) => Type.Optional(Type.Array(Type.String(), { description }));

const querystring = Type.Object({
  kind: Type.Optional(Type.Array(Type.Enum([...EVENT_KINDS]), { description: 'may be given several times' })),
  gateway: several('id or name; may be given several times'),
  connection: several('id or name; may be given several times'),
  level: Type.Optional(Type.Enum(['info', 'warn'], { description: 'this level at least' })),
  since: Type.Optional(
    Type.String({ format: 'date-time', description: 'events that are kept, from then on' }),
  ),
  last_event_id: Type.Optional(Type.String({ description: 'as the header Last-Event-ID, which wins' })),
  follow: Type.Optional(
    Type.Boolean({ description: 'false: only events that are kept, all of them unless told otherwise' }),
  ),
});

/** `GET /culvert/v1/events`: what happens, as server-sent events. Viewers may read it. */
export function registerEventsRoute(app: FastifyInstance, context: ApiContext, streams: EventStreams): void {
  app.get(
    '/culvert/v1/events',
    {
      config: { audit: { action: 'culvert.event.list' } },
      schema: {
        operationId: 'stream_events',
        summary: 'Follow what happens to gateways, connections and the server, as server-sent events',
        tags: ['Server'],
        querystring,
        headers: Type.Object({ 'last-event-id': Type.Optional(Type.String()) }),
        response: Object.fromEntries([
          [
            200,
            {
              description: 'One event in the field data of each message, its id in the field id',
              content: { 'text/event-stream': { schema: { $ref: 'Event#' } } },
            },
          ],
          ...[400, 401, 403, 404, 429, 500].map((status) => [status, { $ref: 'Errors#' }]),
        ]),
      },
    },
    (request, reply) => {
      const { principal } = request;
      if (principal === null) throw new ApiError(401, 'token_missing', 'the request has no token');
      const query = request.query as Query;
      const wish = { filter: filterOf(query), from: startOf(request, query), follow: followOf(query) };
      streams.admit(principal.name);
      noteRequest(request, context);
      request.headSeconds = reply.elapsedTime / 1000;
      reply.hijack();
      const headers = { ...reply.getHeaders(), ...HEADERS };
      reply.raw.writeHead(200, headers as Record<string, string>);
      streams.open(reply.raw, { who: principal.name, ...wish });
    },
  );
}

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // Proxies of the nginx kind would gather the events first.
  'x-accel-buffering': 'no',
};

/** @throws ApiError 400 */
function filterOf(query: Query): EventFilter {
  const kinds = valuesOf(query, 'kind');
  for (const kind of kinds ?? []) {
    if (EVENT_KINDS.some((known) => known === kind)) continue;
    const near = nearestWord(kind, EVENT_KINDS);
    const hint = near === undefined ? `docs/events.md lists them` : `did you mean "${near}"?`;
    throw refusal('kind', 'validation_enum', `there is no kind of event "${kind.slice(0, 60)}": ${hint}`);
  }
  const gateways = valuesOf(query, 'gateway');
  const connections = valuesOf(query, 'connection');
  const { level } = query;
  if (level !== undefined && level !== 'info' && level !== 'warn') {
    throw refusal('level', 'validation_enum', 'level is not one of info, warn');
  }
  return {
    ...(kinds === undefined ? {} : { kinds }),
    ...(gateways === undefined ? {} : { gateways }),
    ...(connections === undefined ? {} : { connections }),
    ...(level === undefined ? {} : { level }),
  };
}

/** @throws ApiError 400 */
function startOf({ headers }: FastifyRequest, query: Query): EventStart {
  const header = headers['last-event-id'];
  const id = header ?? query.last_event_id;
  if (id !== undefined) {
    if (typeof id === 'string' && isEventId(id)) return { after: id };
    const message = 'last_event_id is not the id of an event: take it from the stream, or leave it out';
    const target = header === undefined ? 'parameter' : 'header';
    const name = header === undefined ? 'last_event_id' : 'Last-Event-ID';
    throw new ApiError(400, 'bad_request', message, { name, type: target });
  }
  const { since } = query;
  if (since !== undefined) {
    const time = typeof since === 'string' ? parseDateTime(since) : undefined;
    if (time !== undefined) return { since: new Date(time).toISOString() };
    const message = 'since is not a time: write it as 2026-11-30T08:00:00Z';
    throw refusal('since', 'validation_failure', message);
  }
  return followOf(query) ? 'now' : 'oldest';
}

/** @throws ApiError 400 */
function followOf({ follow }: Query): boolean {
  if (follow === undefined || follow === 'true') return true;
  if (follow === 'false') return false;
  throw refusal('follow', 'validation_invalid_field_type', 'follow is neither true nor false');
}

/** The values of a parameter that may be given several times. @throws ApiError 400 */
function valuesOf(query: Query, name: string): readonly string[] | undefined {
  const given = query[name];
  if (given === undefined) return undefined;
  const values: readonly unknown[] = Array.isArray(given) ? given : [given];
  const texts = values.filter((value): value is string => typeof value === 'string' && value !== '');
  if (texts.length === values.length && texts.length <= MAX_VALUES) return texts;
  throw refusal(name, 'validation_failure', `${name} is empty, or given more than ${MAX_VALUES} times`);
}

function refusal(name: string, code: ErrorCode, message: string): ApiError {
  return new ApiError(400, code, message, { name, type: 'parameter' });
}
