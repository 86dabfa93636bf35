/** A place in a configuration: field names and list indexes from the root. */
export type ConfigPath = readonly (string | number)[];

/** The kind of a fault, for programs; the message is for people. */
export type IssueRule =
  | 'unknown_field'
  | 'missing'
  | 'wrong_type'
  | 'not_listed'
  | 'too_small'
  | 'too_large'
  | 'list_size'
  | 'listed_twice'
  /** Two fields are given that exclude each other. */
  | 'only_one'
  | 'bad_name'
  | 'bad_psk'
  | 'bad_cidr'
  | 'bad_address'
  | 'bad_identity'
  | 'cidr_duplicated'
  | 'cidr_overlap'
  | 'cidr_pair_duplicated'
  /** Nothing distinguishes two connections that differ in what is settled before their networks are known. */
  | 'ends_alike'
  /** The profile refuses an algorithm. */
  | 'weak'
  | 'unfit';

/** What is wrong with a place in a configuration, before it has a line and a column. */
export interface ConfigIssue {
  readonly path: ConfigPath;
  readonly message: string;
  /** `unfit` when left out. */
  readonly rule?: IssueRule;
  /** Point at the name of the field, not at its value. */
  readonly atName?: boolean;
}

/** One fault of a configuration file. `line` and `column` count from 1. Never contains a secret. */
export interface ConfigError {
  /** `connections[0].peer.address`; empty when the fault is of the file as a whole. */
  readonly path: string;
  readonly line?: number;
  readonly column?: number;
  /** What is wrong and what to do, to be read after the path: `is missing`. */
  readonly message: string;
}

/** The path `steps` appended to `path`. */
export function under(path: ConfigPath, ...steps: readonly (string | number)[]): ConfigPath {
  return [...path, ...steps];
}

/** A field name may be shown when it looks like one: with a forgotten blank (`psk:secret`) it contains a value. */
export function isShowableName(name: string): boolean {
  return /^[A-Za-z][A-Za-z0-9_-]{0,39}$/.test(name);
}

/** Text form of a path: `connections[0].peer.address`. */
export function formatPath(path: ConfigPath): string {
  let out = '';
  for (const step of path) {
    if (typeof step === 'number') out += `[${step}]`;
    else out += out === '' ? step : `.${step}`;
  }
  return out;
}

/**
 * The errors as text, one line each: `FILE:12:5: connections[0].psk: has 3 characters …`. `sourceName` may be
 * left out.
 */
export function formatConfigErrors(errors: readonly ConfigError[], sourceName?: string): string {
  return errors
    .map((error) => {
      const place = error.line === undefined ? [] : [String(error.line), String(error.column ?? 1)];
      const where = [...(sourceName === undefined ? [] : [sourceName]), ...place].join(':');
      return [where, error.path, error.message].filter((part) => part !== '').join(': ');
    })
    .join('\n');
}
