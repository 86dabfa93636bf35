import type { FastifyInstance, FastifyRequest } from 'fastify';
import * as Type from '../util/json-schema.js';
import { type AuditedOperation, auditedAs, targetOf } from './audit/actions.js';
import type { AuditEntry } from './audit/trail.js';
import type { Principal } from './auth/principal.js';
import { jsonBody } from './bodies.js';
import { CONSOLE_HEADER } from './console/cookie.js';
import type { ApiContext } from './context.js';
import { readDialect } from './dialect.js';
import { ApiError } from './errors.js';
import type { Operation } from './operation.js';
import { advertisedOperations } from './operations/advertised.js';
import { auditOperations } from './operations/audit.js';
import { backupOperations } from './operations/backups.js';
import { captureOperations } from './operations/captures.js';
import { cidrOperations } from './operations/cidrs.js';
import { connectionOperations } from './operations/connections.js';
import { gatewayOperations } from './operations/gateways.js';
import { lookupOperations } from './operations/lookups.js';
import { observedOperations } from './operations/observed.js';
import { ikePolicyOperations, ipsecPolicyOperations } from './operations/policies.js';
import { quotaOperations } from './operations/quotas.js';
import { regionOperations } from './operations/regions.js';
import { routeStateOperations } from './operations/route-states.js';
import { routingOperations } from './operations/routing.js';
import { switchOperations } from './operations/switch.js';
import { transactionOperations } from './operations/transactions.js';
import { Links } from './render/links.js';

declare module 'fastify' {
  interface FastifyRequest {
    principal: Principal | null;
    /** After how many seconds the answer began, of one that goes on: that it goes on is no slowness. */
    headSeconds: number | null;
    /** When the login ends that the principal comes from; null where it comes from elsewhere. */
    sessionEnd: Date | null;
  }
  interface FastifyContextConfig {
    /** Answers without a token. */
    public?: boolean;
    /** A page for browsers, which has nothing of the site. */
    page?: boolean;
    /** How the audit trail names the operation. */
    audit?: AuditedOperation;
  }
}

/** Every operation of every dialect: router, OpenAPI document, access and audit follow from this table. */
export const OPERATIONS: readonly Operation[] = [
  ...ikePolicyOperations,
  ...ipsecPolicyOperations,
  ...gatewayOperations,
  ...advertisedOperations,
  ...connectionOperations,
  ...observedOperations,
  ...captureOperations,
  ...switchOperations,
  ...cidrOperations,
  ...routingOperations,
  ...routeStateOperations,
  ...lookupOperations,
  ...regionOperations,
  ...transactionOperations,
  ...backupOperations,
  ...quotaOperations,
  ...auditOperations,
];

/** Statuses that every operation can answer. */
const COMMON_ERRORS = [400, 401, 403, 404, 413, 429, 500];
/** Statuses of every operation that writes. */
const WRITE_ERRORS = [503, 507];

/** Registers every operation of the contract under `/v1` (and the other prefixes it has). */
export function registerOperations(app: FastifyInstance, context: ApiContext): void {
  for (const operation of OPERATIONS) {
    const audit = auditedAs(operation);
    for (const prefix of operation.prefixes ?? ['/v1']) {
      app.route({
        method: operation.method,
        url: `${prefix}${operation.path}`,
        schema: schemaOf(operation, prefix),
        ...(operation.bodyLimit === undefined ? {} : { bodyLimit: operation.bodyLimit }),
        ...(audit === undefined ? {} : { config: { audit } }),
        handler: async (request, reply) => {
          const answer = await operation.handle(callOf(request, prefix, context), context);
          // What changes something is noted with the change itself.
          if (request.method === 'GET' || operation.media !== undefined) noteRequest(request, context);
          reply.code(answer.status).headers(answer.headers ?? {});
          if (answer.body === undefined) return reply.send();
          return reply.type(operation.media ?? 'application/json').send(answer.body);
        },
      });
    }
  }
}

function callOf(request: FastifyRequest, prefix: string, context: ApiContext) {
  const { principal } = request;
  if (principal === null) throw new ApiError(401, 'token_missing', 'the request has no token');
  if (request.method !== 'GET' && principal.role !== 'editor') {
    const path = request.url.replace(/\?.*/, '');
    context.refusals.change(principal.name, `${request.method} ${path}`, context.now().getTime());
    const message = `${principal.name} is a viewer: changes need a token with the role editor`;
    throw new ApiError(403, 'not_authorized', message);
  }
  const query = request.query as Readonly<Record<string, unknown>>;
  const today = context.now().toISOString().slice(0, 10);
  const dialect = readDialect(prefix === '/v1' ? query : { version: today, ...query }, today);
  const links = new Links(originOf(request, context), context.site);
  return {
    params: request.params as Readonly<Record<string, string>>,
    query,
    headers: request.headers,
    body: () => jsonBody(request),
    dialect,
    links,
    actor: { principal, requestId: request.id, ...addressOf(request) },
  };
}

/** Notes a request that read something, or was refused for `reason`, where its operation is one that is audited. */
export function noteRequest(
  request: FastifyRequest,
  { audit, now, logger }: Pick<ApiContext, 'audit' | 'now' | 'logger'>,
  reason?: { readonly status: number; readonly code: string },
): void {
  const { principal } = request;
  const audited = request.routeOptions.config.audit;
  // Who is not known is noted as a refused login.
  if (audited === undefined || principal === null) return;
  const { action } = audited;
  const { name, role, by } = principal;
  const entry: AuditEntry = {
    at: now().toISOString(),
    action,
    outcome: reason === undefined ? 'success' : 'failure',
    initiator: { name, role, by, ...addressOf(request) },
    ...targetOf(audited, request.params as Readonly<Record<string, string>>),
    ...(reason === undefined ? {} : { reason }),
    requestId: request.id,
  };
  if (isOfPage(request, reason?.status)) audit.askedByPage(entry);
  else audit.requested(entry);
  logger.debug({ audit: true, action, who: name, request_id: request.id, ...reason }, action);
}

/** Whether a page of the console has asked, as it does again and again: what it reads, and what is wrong with a form. */
function isOfPage({ headers, method }: FastifyRequest, failed: number | undefined): boolean {
  return CONSOLE_HEADER in headers && (failed === undefined ? method === 'GET' : failed === 400);
}

function addressOf(request: FastifyRequest): { readonly address?: string } {
  return request.principal?.by === 'socket' ? {} : { address: request.ip };
}

/** Where the client sees the server: as configured, or as it addressed us. */
export function originOf(request: FastifyRequest, { site }: Pick<ApiContext, 'site'>): string {
  if (site.endpoint !== undefined) return site.endpoint;
  const host = /^[A-Za-z0-9.:[\]_-]{1,255}$/.test(request.host) ? request.host : 'localhost';
  return `${request.protocol}://${host}`;
}

/** For the OpenAPI document; requests are checked by the operations, which know about parents and dialects. */
function schemaOf(operation: Operation, prefix: string): object {
  const { path, body, query, ifMatch, media, success, never = {}, errors } = operation;
  const mainPrefix = operation.prefixes?.[0] ?? '/v1';
  const names = [...path.matchAll(/:([a-z_]+)/g)].map(([, name]) => name!);
  const parameters = Object.fromEntries(names.map((name) => [name, Type.String()]));
  const versioned = {
    version: Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' }),
    generation: Type.Optional(Type.Integer()),
  };
  const writes = operation.method === 'GET' ? [] : WRITE_ERRORS;
  const statuses = new Set([...COMMON_ERRORS, ...writes, ...errors]);
  const failures = [...statuses].map((status) => [status, { $ref: 'Errors#' }]);
  const answers = Object.entries({ ...never, ...success }).map(([status, schema]) => [
    status,
    schema === null ? emptyOr(media) : { $ref: `${schema.$id}#` },
  ]);
  return {
    operationId:
      prefix === mainPrefix ? operation.id : `${operation.id}_${prefix.slice(1).replaceAll('/', '_')}`,
    summary: operation.summary,
    tags: [operation.tag],
    ...(names.length === 0 ? {} : { params: Type.Object(parameters) }),
    querystring: Type.Object(prefix === '/v1' ? { ...versioned, ...query } : { ...query }),
    ...(ifMatch === true ? { headers: Type.Object({ 'if-match': Type.Optional(Type.String()) }) } : {}),
    ...(body === undefined ? {} : { body }),
    response: Object.fromEntries([...answers, ...failures]),
  };
}

/** An answer without a JSON body: none at all, or a stream of this media type. */
function emptyOr(media: string | undefined): object {
  if (media === undefined) return { description: 'Done', type: 'null' };
  const schema = { type: 'string', format: 'binary' };
  return { description: 'A stream of octets', content: { [media]: { schema } } };
}
