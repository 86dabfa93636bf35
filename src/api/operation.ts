import type { IncomingHttpHeaders } from 'node:http';
import type * as Type from '../util/json-schema.js';
import type { Actor, ApiContext } from './context.js';
import type { Dialect } from './dialect.js';
import type { Links } from './render/links.js';

/** A request after authentication and the checks that all of them have. */
export interface Call {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly headers: IncomingHttpHeaders;
  /** The parsed body; undefined when it is empty. @throws ApiError 400: ask for parents first */
  body(): unknown;
  readonly dialect: Dialect;
  readonly links: Links;
  readonly actor: Actor;
}

/** What an operation returns, before it is checked against its schema and serialised. */
export interface Answer {
  readonly status: number;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One operation of the contract: how it is reached, what the OpenAPI document says of it, and what it does. */
export interface Operation {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path after the API's versions, parameters as `:name`. */
  readonly path: string;
  readonly id: string;
  readonly summary: string;
  readonly tag: string;
  /** Query parameters beside `version` and `generation`. */
  readonly query?: Readonly<Record<string, Type.TSchema>>;
  readonly ifMatch?: boolean;
  /** `/v1` unless given; with any other no `version` date is asked for. */
  readonly prefixes?: readonly string[];
  readonly body?: object;
  /** Octets of the longest body; `BODY_LIMIT` unless given. */
  readonly bodyLimit?: number;
  /** Name of the answer's schema by status; null for none. */
  readonly success: Readonly<Record<number, string | null>>;
  readonly errors: readonly number[];
  /** Successes of the contract that never come here, as in `success`: clients may be made from the document. */
  readonly never?: Readonly<Record<number, string | null>>;
  handle(call: Call, context: ApiContext): Promise<Answer>;
}

export const NO_CONTENT: Answer = { status: 204 };
