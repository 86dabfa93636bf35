import { ApiError } from './errors.js';
import type { PageFrame } from './schemas/answer-parts.js';

/** The page that a request asks for: at most `limit` items from the token `start` on, or from the first. */
export interface PageQuery {
  readonly start?: string;
  readonly limit: number;
}

/** What a list is ordered by, most significant first; the last one is unique. */
export type SortKey = readonly [string, string];

/** An item of a list with the key that gives it its place. */
export interface Sorted<T> {
  readonly item: T;
  readonly key: SortKey;
}

const MOST = 100;

/** `start` and `limit` of a request. @throws ApiError 400 */
export function readPage(query: Readonly<Record<string, unknown>>, usual: number): PageQuery {
  const { start, limit } = query;
  const page = { limit: limit === undefined ? usual : readLimit(limit) };
  if (start === undefined) return page;
  if (typeof start !== 'string') throw badStart();
  return { ...page, start };
}

function readLimit(text: unknown): number {
  const target = { name: 'limit', type: 'parameter' } as const;
  if (typeof text !== 'string' || !/^[0-9]{1,9}$/.test(text)) {
    throw new ApiError(400, 'validation_invalid_field_type', 'limit is not a whole number', target);
  }
  const limit = Number(text);
  if (limit < 1) throw new ApiError(400, 'validation_min_value', 'limit is at least 1', target);
  if (limit > MOST) throw new ApiError(400, 'validation_max_value', `limit is at most ${MOST}`, target);
  return limit;
}

function badStart(): ApiError {
  const message = 'start is no token of this list: take it from next.href of the page before';
  return new ApiError(400, 'bad_request', message, { name: 'start', type: 'parameter' });
}

/**
 * One page of a list. A token names the key of the last item before the page, so that objects made or deleted
 * between two pages neither repeat nor hide others. `url` is the list's address without a query, `filters` what the
 * caller asked for besides paging.
 * @throws ApiError 400 when the token is not one of this list
 */
export function pageOf<T>(
  sorted: readonly Sorted<T>[],
  { start, limit }: PageQuery,
  descending: boolean,
  url: string,
  filters: Readonly<Record<string, string>>,
): { readonly items: readonly T[]; readonly frame: PageFrame } {
  const order = descending ? 1 : -1;
  const rows = [...sorted].sort((a, b) => order * compareKeys(b.key, a.key));
  const scope = [new URL(url).pathname, ...Object.entries(filters).flat()].join('|');
  const after = start === undefined ? undefined : readToken(start, scope);
  const from =
    after === undefined ? 0 : rows.filter(({ key }) => order * compareKeys(key, after) >= 0).length;
  const page = rows.slice(from, from + limit);
  const last = page.at(-1);
  const more = from + page.length < rows.length && last !== undefined;
  const href = (token?: string): string => {
    const query = new URLSearchParams({ ...filters, limit: String(limit) });
    if (token !== undefined) query.set('start', token);
    return `${url}?${query}`;
  };
  return {
    items: page.map(({ item }) => item),
    frame: {
      first: { href: href() },
      ...(more ? { next: { href: href(writeToken(last.key, scope)) } } : {}),
      limit,
      total_count: rows.length,
    },
  };
}

function compareKeys(a: SortKey, b: SortKey): number {
  if (a[0] !== b[0]) return a[0] < b[0] ? -1 : 1;
  return a[1] === b[1] ? 0 : a[1] < b[1] ? -1 : 1;
}

function writeToken(key: SortKey, scope: string): string {
  return Buffer.from(JSON.stringify([scope, ...key]), 'utf8').toString('base64url');
}

function readToken(token: string, scope: string): SortKey {
  let parts: unknown;
  try {
    parts = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
  } catch {
    throw badStart();
  }
  if (!Array.isArray(parts) || parts.length !== 3 || parts[0] !== scope) throw badStart();
  const [, first, second] = parts as unknown[];
  if (typeof first !== 'string' || typeof second !== 'string') throw badStart();
  return [first, second];
}
