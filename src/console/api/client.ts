import { sessionRefused } from './session.ts';

/** The version of the VPC API that is spoken: every field of the contract is known at it. */
const VERSION = '2026-06-02';
/** Objects per page; the API gives no more. */
const PAGE = 100;

/** One sentence of a refusal, and the field it is about. */
export interface Fault {
  readonly code: string;
  readonly message: string;
  readonly target?: { readonly name: string; readonly type: string };
}

/** A request that failed. `status` 0: the server could not be reached. */
export class ApiFailure extends Error {
  readonly status: number;
  readonly faults: readonly Fault[];

  constructor(status: number, faults: readonly Fault[]) {
    super(faults.map(({ message }) => sentence(message)).join(' '));
    this.status = status;
    this.faults = faults;
  }
}

/** An answer, with the ETag that a later change is made against. */
export interface Reply<T> {
  readonly body: T;
  readonly etag: string | undefined;
}

/** What a request has beside method and path. */
export interface RequestOptions {
  readonly body?: unknown;
  readonly ifMatch?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A path of the VPC API, below `/v1`. */
export function vpc(path: string): string {
  return `/v1${path}?version=${VERSION}&generation=2`;
}

/** A path of Culvert's own API. */
export function own(path: string): string {
  return `/culvert/v1${path}`;
}

/** Sends a request as the one who is logged in. @throws ApiFailure */
export async function send(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
  const { body, ifMatch, query, signal } = options;
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) url.searchParams.set(name, value);
  const answer = await fetch(url, {
    method,
    // The cookie counts with this header only.
    headers: {
      'x-culvert-console': '1',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(ifMatch === undefined ? {} : { 'if-match': ifMatch }),
    },
    cache: 'no-store',
    credentials: 'same-origin',
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    ...(signal === undefined ? {} : { signal }),
  }).catch((error: unknown) => {
    if (signal?.aborted) throw error;
    throw new ApiFailure(0, [{ code: 'unreachable', message: 'The server cannot be reached: try again.' }]);
  });
  if (answer.ok) return answer;
  if (answer.status === 401) sessionRefused();
  throw new ApiFailure(answer.status, await faultsOf(answer));
}

/** Sends a request and reads its answer as JSON; undefined where it has no body. @throws ApiFailure */
export async function ask<T>(method: string, path: string, options: RequestOptions = {}): Promise<Reply<T>> {
  const answer = await send(method, path, options);
  const text = await answer.text();
  return {
    body: (text === '' ? undefined : JSON.parse(text)) as T,
    etag: answer.headers.get('etag') ?? undefined,
  };
}

/** Reads one object. @throws ApiFailure */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await ask<T>('GET', path, signal === undefined ? {} : { signal })).body;
}

/** All objects of a list, page by page; `key` names the list in the answers. @throws ApiFailure */
export async function list<T>(path: string, key: string, signal?: AbortSignal): Promise<readonly T[]> {
  const items: T[] = [];
  let start: string | undefined;
  do {
    const query: Record<string, string> = { limit: String(PAGE), ...(start === undefined ? {} : { start }) };
    const { body } = await ask<Record<string, unknown>>('GET', path, {
      query,
      ...(signal ? { signal } : {}),
    });
    items.push(...((body[key] ?? []) as readonly T[]));
    start = startOf(body.next as { readonly href: string } | undefined);
  } while (start !== undefined);
  return items;
}

/** Where the next page of a list begins, by the link to it; undefined after the last page. */
export function startOf(next: { readonly href: string } | undefined): string | undefined {
  return next === undefined ? undefined : (new URL(next.href).searchParams.get('start') ?? undefined);
}

/** One change of several that are made together. */
export interface Step {
  readonly operation: string;
  readonly gateway?: { readonly id?: string; readonly name?: string };
  readonly vpc?: { readonly id: string };
  readonly table?: { readonly id: string };
  readonly id?: string;
  readonly if_match?: string;
  readonly body?: object;
}

/** The step that changes a connection. */
export function connectionChange(gateway: string, id: string, body: object): Step {
  return { operation: 'update_vpn_gateway_connection', gateway: { id: gateway }, id, body };
}

/** What became of the steps: the ids of their objects. */
export interface Transacted {
  readonly steps: readonly { readonly operation: string; readonly id?: string }[];
}

/**
 * Makes several changes, or none; with `dryRun` the server only says what would be wrong. Faults name fields of bodies.
 * @throws ApiFailure
 */
export async function transact(
  steps: readonly Step[],
  dryRun = false,
  signal?: AbortSignal,
): Promise<Transacted> {
  const body = { dry_run: dryRun, steps };
  return (await ask<Transacted>('POST', own('/transactions'), { body, ...(signal ? { signal } : {}) })).body;
}

/** A sentence for people: begins with a capital, ends with a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim();
  const ended = /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return ended.charAt(0).toUpperCase() + ended.slice(1);
}

async function faultsOf(answer: Response): Promise<readonly Fault[]> {
  const { errors } = (await answer.json().catch(() => ({}))) as { readonly errors?: readonly Fault[] };
  if (errors !== undefined && errors.length > 0) return errors;
  return [{ code: 'unknown', message: `The server answered ${answer.status} without saying why.` }];
}
