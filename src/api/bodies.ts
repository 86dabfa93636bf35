import { gunzipSync } from 'node:zlib';
import type { FastifyRequest } from 'fastify';
import { SchemaCheck } from '../store/schema-check.js';
import type { Static, TSchema } from '../util/json-schema.js';
import { ApiError, type IssueNames, refuseIssues } from './errors.js';

/** Octets of the longest body, also when it was compressed, of operations that name no other limit. */
export const BODY_LIMIT = 64 * 1024;
/** No body of the contract is deeper than 5; a deeper one is only made to exhaust the stack. */
const MAX_DEPTH = 16;

/** The refusal of a body of more than `limit` octets. */
export const tooLarge = (limit: number): ApiError =>
  new ApiError(413, 'http_request_size_exceeded', `the body is longer than ${limit} octets`);

/** The octets of a body without its Content-Encoding: identity or gzip. @throws ApiError 400, 413, 415 */
export function decodeBody(body: Buffer, encoding: string | undefined, limit = BODY_LIMIT): Buffer {
  switch (encoding?.trim().toLowerCase() ?? 'identity') {
    case 'identity':
    case '':
      return body;
    case 'gzip':
    case 'x-gzip':
      try {
        return gunzipSync(body, { maxOutputLength: limit });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limit);
        throw new ApiError(400, 'bad_request', 'the body is not in gzip format');
      }
    default:
      throw new ApiError(415, 'bad_request', 'the Content-Encoding is not one of identity and gzip');
  }
}

/**
 * A body as JSON, whatever its media type says: curl calls it a form. Undefined for an empty body.
 * @throws ApiError 400
 */
function parseJson(body: Buffer): unknown {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    throw new ApiError(400, 'bad_request', 'the body is not UTF-8');
  }
  if (text.trim() === '') return undefined;
  if (depthOf(text) > MAX_DEPTH) {
    throw new ApiError(400, 'bad_request', `the body is nested deeper than ${MAX_DEPTH} levels`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which may contain a key.
    throw new ApiError(400, 'bad_request', 'the body is not JSON: look for a missing comma or quote');
  }
  refuseInherited(value);
  return value;
}

/** The body of a request as JSON, within the limit of its route. Undefined for none. @throws ApiError 400, 413, 415 */
export function jsonBody({ body, headers, routeOptions }: FastifyRequest): unknown {
  if (!Buffer.isBuffer(body)) return undefined;
  return parseJson(decodeBody(body, headers['content-encoding'], routeOptions.bodyLimit));
}

/**
 * Fields named like what every object inherits (`toString`, `__proto__`) are in no body of the contract, and
 * code that compares or prints objects trips over them.
 */
function refuseInherited(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, item] of Object.entries(value)) {
    if (name in Object.prototype) {
      throw new ApiError(400, 'bad_field', `${name} is not a known field`, { name, type: 'field' });
    }
    refuseInherited(item);
  }
}

function depthOf(text: string): number {
  let depth = 0;
  let most = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (quoted) {
      if (char === '\\') at++;
      else if (char === '"') quoted = false;
    } else if (char === '"') quoted = true;
    else if (char === '{' || char === '[') most = Math.max(most, ++depth);
    else if (char === '}' || char === ']') depth--;
  }
  return most;
}

/** A kind of body: checks it against its schema and takes null for "not given". */
export class BodyReader<S extends TSchema> {
  readonly #check: SchemaCheck;
  readonly #names: IssueNames;

  constructor(schema: S, names: IssueNames = {}) {
    this.#check = new SchemaCheck(schema);
    this.#names = names;
  }

  /** @throws ApiError 400 with every fault */
  read(body: unknown): Static<S> {
    if (body === undefined) throw new ApiError(400, 'bad_request', 'the body is missing: send a JSON object');
    if (typeof body !== 'object' || body === null || Array.isArray(body)) {
      throw new ApiError(400, 'bad_request', 'the body is not a JSON object');
    }
    const given = this.#check.withoutNulls(body);
    refuseIssues(this.#check.issues(given), this.#names);
    return given as Static<S>;
  }
}
