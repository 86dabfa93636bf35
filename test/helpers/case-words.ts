import type { ContractCase } from './contract-world.js';

/** Cases of one operation, and the parameters of its path in all that name none. */
export interface OperationCases {
  readonly params?: Readonly<Record<string, string>>;
  /** Refusals first: none of them may change anything. */
  readonly cases: readonly ContractCase[];
}

type More = Omit<ContractCase, 'status' | 'code'>;

export function one(status: number, code: string | undefined, { body, ...more }: More = {}): ContractCase {
  return {
    status,
    ...(code === undefined ? {} : { code }),
    ...(body === undefined ? {} : { body }),
    ...more,
  };
}
export const no = (status: number, code: string, more: More = {}): ContractCase => one(status, code, more);
export const ok = (status: number, more: More = {}): ContractCase => one(status, undefined, more);

/** No object has this id. */
export const NONE = { id: '{none}' };
export const BAD_PAGES: readonly ContractCase[] = [
  no(400, 'validation_invalid_field_type', { query: 'limit=x' }),
  no(400, 'validation_min_value', { query: 'limit=0' }),
  no(400, 'validation_max_value', { query: 'limit=101' }),
  no(400, 'bad_request', { query: 'start=nonsense' }),
];
/** What every body that is no body of the operation gets. */
export const BAD_BODIES: readonly ContractCase[] = [
  no(400, 'bad_request', { raw: '{"name":"a" "psk":"b"}' }),
  no(400, 'bad_request', { raw: '' }),
  no(400, 'bad_request', { body: [] }),
  no(400, 'bad_field', { body: { colour: 'blue' } }),
  no(400, 'bad_field', { raw: '{"toString":1}' }),
  no(400, 'validation_invalid_field_type', { body: { name: 5 } }),
  no(413, 'http_request_size_exceeded', { raw: JSON.stringify({ name: 'x'.repeat(70_000) }) }),
  no(415, 'bad_request', { raw: '{}', headers: () => ({ 'content-encoding': 'br' }) }),
];
