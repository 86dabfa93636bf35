import type { IncomingHttpHeaders } from 'node:http';
import type * as Type from '../util/json-schema.js';
import type { Actor, ApiContext } from './context.js';
import type { Dialect } from './dialect.js';
import type { Links } from './render/links.js';
import type { AnswerOf, NamedSchema } from './schemas/answer-parts.js';

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

/** Schemas of the bodies that an operation answers with, by status; null where it answers without one. */
export type Successes = Readonly<Record<number, NamedSchema | null>>;

/** A body of this schema, undefined for none. */
export type BodyOf<S> = S extends NamedSchema ? AnswerOf<S> : undefined;

/** One of the answers that an operation promises: a status with the body of its schema. */
export type Answer<S extends Successes> = {
  readonly [Status in keyof S & number]: {
    readonly status: Status;
    readonly body: BodyOf<S[Status]>;
    readonly headers?: Readonly<Record<string, string>>;
  };
}[keyof S & number];

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
  /**
   * Media type of a success whose body is a stream of octets: `success` has null for it. Nothing is changed by such a
   * request, which is audited as one that reads.
   */
  readonly media?: string;
  /** What the contract promises, and the document says, of requests that succeed. */
  readonly success: Successes;
  readonly errors: readonly number[];
  /** Successes of the contract that never come here, as in `success`: clients may be made from the document. */
  readonly never?: Successes;
  handle(
    call: Call,
    context: ApiContext,
  ): Promise<{
    readonly status: number;
    readonly body: object | undefined;
    readonly headers?: Readonly<Record<string, string>>;
  }>;
}

/** An operation whose handler answers nothing but what its `success` describes. */
interface Bound<S extends Successes> extends Omit<Operation, 'success' | 'handle'> {
  readonly success: S;
  handle(call: Call, context: ApiContext): Promise<Answer<S>>;
}

/** The operation as it is declared; the compiler holds its handler against the schemas of its answers. */
export function operation<S extends Successes>(declared: Bound<S>): Operation {
  return declared as Operation;
}

/** An answer with a body. */
export function answered<Status extends number, Body>(
  status: Status,
  body: Body,
  headers: Readonly<Record<string, string>> = {},
) {
  return { status, body, headers };
}

/** An answer without a body. */
export function done<Status extends number>(status: Status) {
  return { status, body: undefined };
}
