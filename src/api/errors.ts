import { type ConfigIssue, type ConfigPath, formatPath, type IssueRule } from '../store/config-error.js';
import type { ErrorCode } from './error-codes.js';

/** The part of a request that an error is about, as `errors[].target` carries it. */
export interface ErrorTarget {
  /** A dotted path in the body (`peer.address`), or the name of a header or parameter. */
  readonly name: string;
  readonly type: 'field' | 'header' | 'parameter';
}

/** One entry of `errors` in the body of every answer from 400 on. */
export interface ErrorItem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly target?: ErrorTarget;
}

/** Faults that one answer names. */
const MAX_ITEMS = 15;

/** The answer to a request that cannot be done. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  /** One or more. */
  readonly items: readonly ErrorItem[];
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: ErrorCode,
    message: string,
    target?: ErrorTarget,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
    this.status = status;
    this.items = [{ code, message, ...(target === undefined ? {} : { target }) }];
    this.headers = headers;
  }

  /** A bad request with several faults. */
  static of(items: readonly ErrorItem[]): ApiError {
    const error = new ApiError(400, items[0]!.code, items.map(({ message }) => message).join(' '));
    return Object.assign(error, { items });
  }

  /**
   * Several refusals as one: with the status of the first, and the faults that come with that status; the others
   * show when these are mended.
   */
  static together(errors: readonly ApiError[]): ApiError {
    const first = errors[0]!;
    if (errors.length === 1) return first;
    const items = errors.filter(({ status }) => status === first.status).flatMap((error) => error.items);
    const message = items.map((item) => item.message).join(' ');
    const error = new ApiError(first.status, first.items[0]!.code, message, undefined, first.headers);
    return Object.assign(error, { items: items.slice(0, MAX_ITEMS) });
  }

  /** The same fault, of the part of a request that `place` names. */
  within(place: string, fields: string): ApiError {
    const items = this.items.map(({ code, message, target }) => ({
      code,
      message: `${place}: ${message}`,
      target: { name: target === undefined ? place : `${fields}.${target.name}`, type: 'field' as const },
    }));
    const error = new ApiError(this.status, items[0]!.code, items[0]!.message, undefined, this.headers);
    return Object.assign(error, { items });
  }

  /** The error container of the contract. */
  body(trace: string): object {
    return { errors: this.items, trace, status_code: this.status };
  }
}

/** A fault of one body field. */
export function badField(name: string, code: ErrorCode, message: string): ApiError {
  return new ApiError(400, code, `${name} ${message}`, { name, type: 'field' });
}

/** Each kind of object has a code of its own for a bad name. */
const CODES: Readonly<Record<Exclude<IssueRule, 'bad_name'>, ErrorCode>> = {
  unknown_field: 'bad_field',
  missing: 'validation_required_field',
  wrong_type: 'validation_invalid_field_type',
  not_listed: 'validation_enum',
  too_small: 'validation_min_value',
  too_large: 'validation_max_value',
  list_size: 'validation_failure',
  listed_twice: 'validation_failure',
  only_one: 'validation_only_one',
  bad_psk: 'vpn_connection_invalid_psk_format',
  bad_cidr: 'vpn_connection_cidr_not_valid',
  bad_address: 'validation_invalid_address',
  bad_identity: 'validation_failure',
  cidr_duplicated: 'vpn_connection_cidr_duplicated',
  cidr_overlap: 'vpn_connection_cidr_overlap',
  cidr_pair_duplicated: 'vpn_connection_pair_cidrs_duplicated',
  ends_alike: 'validation_failure',
  weak: 'validation_enum',
  unfit: 'validation_failure',
};

/** Renames a place in our model to the field of a request; and a code that depends on the place. */
export interface IssueNames {
  path?(path: ConfigPath): ConfigPath;
  /** Keys are `rule` or `rule path`. */
  readonly codes?: Readonly<Record<string, ErrorCode>>;
}

/** Faults found by the rules of the store as one answer. @throws ApiError 400 when there are any */
export function refuseIssues(issues: readonly ConfigIssue[], names: IssueNames = {}): void {
  if (issues.length === 0) return;
  throw ApiError.of(
    issues.slice(0, MAX_ITEMS).map((issue) => {
      const rule = issue.rule ?? 'unfit';
      const name = formatPath(names.path?.(issue.path) ?? issue.path);
      const code =
        names.codes?.[`${rule} ${name}`] ??
        names.codes?.[rule] ??
        CODES[rule === 'bad_name' ? 'unfit' : rule];
      if (name === '') return { code, message: `the body ${issue.message}` };
      return { code, message: `${name} ${issue.message}`, target: { name, type: 'field' } as const };
    }),
  );
}
