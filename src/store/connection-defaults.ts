import type { ConfigIssue, ConfigPath } from './config-error.js';
import { GROUPS } from './connection-fields.js';
import { ConnectionDefaultsSchema } from './connection-schema.js';

/** Fields that are merged field by field; of all others a connection has its own or that of `defaults`. */
const MERGED: ReadonlySet<string> = new Set(GROUPS);
/** Two ways to give one thing: a connection with either has neither of `defaults`. */
const KEYS: ReadonlySet<string> = new Set(['psk', 'psk_file']);
const KNOWN = Object.keys(ConnectionDefaultsSchema.properties);

type Fields = Readonly<Record<string, unknown>>;

/** A file whose connections have what `defaults` gives them. */
export interface WithDefaults {
  readonly value: unknown;
  /** Where the value at this place was written: in the connection, or in `defaults`. */
  origin(path: ConfigPath): ConfigPath;
}

/**
 * Gives every connection the fields of `defaults` that it does not name itself; a field that is null is named, so that
 * it has the value of a file without `defaults`. Nothing is checked here: what does not fit is left as it is.
 */
export function withDefaults(value: unknown): WithDefaults {
  const { defaults, connections } = isFields(value) ? value : {};
  if (!isFields(value) || !isFields(defaults) || !Array.isArray(connections)) {
    return { value, origin: (path) => path };
  }
  const merged = connections.map((one: unknown) => (isFields(one) ? mergeOne(defaults, one) : one));
  const origin = (path: ConfigPath): ConfigPath => {
    const [list, index, ...rest] = path;
    if (list !== 'connections' || typeof index !== 'number' || rest.length === 0) return path;
    const own: unknown = connections[index];
    return isInherited(rest, own, defaults) ? ['defaults', ...rest] : path;
  };
  return { value: { ...value, connections: merged }, origin };
}

/** The issues at the places where they are to be corrected; what many connections inherit is one fault. */
export function issuesOf(issues: readonly ConfigIssue[], { origin }: WithDefaults): ConfigIssue[] {
  const seen = new Set<string>();
  return issues.flatMap((issue) => {
    const path = origin(issue.path);
    if (path[0] !== 'defaults') return [issue];
    const key = JSON.stringify([path, issue.message]);
    if (seen.has(key)) return [];
    seen.add(key);
    return [{ ...issue, path }];
  });
}

function mergeOne(defaults: Fields, own: Fields): Fields {
  const merged: Record<string, unknown> = { ...own };
  const hasKey = Object.keys(own).some((name) => KEYS.has(name));
  for (const name of KNOWN) {
    const given = defaults[name];
    if (given === undefined || (hasKey && KEYS.has(name))) continue;
    if (!Object.hasOwn(own, name)) merged[name] = given;
    else if (MERGED.has(name) && isFields(given) && isFields(own[name])) {
      merged[name] = { ...given, ...own[name] };
    }
  }
  return merged;
}

/** Whether the value at a path below a connection is that of `defaults`. */
function isInherited(path: ConfigPath, own: unknown, defaults: unknown): boolean {
  let mine = own;
  let theirs = defaults;
  for (const step of path) {
    if (!hasStep(theirs, step)) return false;
    if (!hasStep(mine, step)) return true;
    mine = (mine as Record<string | number, unknown>)[step];
    theirs = (theirs as Record<string | number, unknown>)[step];
  }
  return false;
}

function hasStep(value: unknown, step: string | number): boolean {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, step);
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
