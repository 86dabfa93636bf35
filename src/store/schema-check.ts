import { faultFinder, type SchemaFault, type SchemaNode } from '../util/json-faults.js';
import { nearestWord } from '../util/nearest.js';
import { type ConfigIssue, type ConfigPath, type IssueRule, isShowableName, under } from './config-error.js';
import { pskProblem } from './psk-rule.js';

/** Longest value that a message repeats. */
const MAX_SHOWN = 60;
/** Fields whose value is never repeated: those of keys, and one in which a key is soon put by mistake. */
const SECRET_FIELDS: ReadonlySet<string | number> = new Set(['psk', 'psk_encoding', 'secret']);

/** Checks values against one schema, without changing them, and explains in sentences. */
export class SchemaCheck {
  readonly #schema: SchemaNode;
  readonly #faults: ReturnType<typeof faultFinder>;

  constructor(schema: object) {
    this.#schema = schema;
    this.#faults = faultFinder(schema);
  }

  /**
   * The value without the known fields that are null, which is how YAML and the API's clients write "not
   * given".
   */
  withoutNulls(value: unknown): unknown {
    return dropNulls(value, this.#schema);
  }

  /** All that does not fit the schema; empty when the value does. */
  issues(value: unknown): ConfigIssue[] {
    return this.#faults(value).map(explain);
  }
}

function dropNulls(value: unknown, schema: SchemaNode | undefined): unknown {
  if (Array.isArray(value)) return value.map((item) => dropNulls(item, schema?.items));
  if (!isRecord(value) || schema?.properties === undefined) return value;
  const known = schema.properties;
  const kept = Object.entries(value).filter(([name, item]) => item !== null || !Object.hasOwn(known, name));
  return Object.fromEntries(
    kept.map(([name, item]) => [name, dropNulls(item, Object.hasOwn(known, name) ? known[name] : undefined)]),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function explain(fault: SchemaFault): ConfigIssue {
  const { path, schema, data } = fault;
  switch (fault.keyword) {
    case 'additionalProperties':
      return unknownField(path, fault.field ?? '', schema);
    case 'required': {
      const name = fault.field ?? '';
      const what = schema.properties?.[name]?.description;
      const message = what === undefined ? 'is missing' : `is missing: ${what}`;
      return { path: under(path, name), rule: 'missing', message };
    }
    case 'type':
      return {
        path,
        rule: 'wrong_type',
        message: `needs ${wantedOf(schema)}, not ${kindOf(data, schema, path)}`,
      };
    case 'enum':
      return { path, rule: 'not_listed', message: notListed(data, schema.enum ?? [], path) };
    case 'minItems':
      return { path, rule: 'list_size', message: 'is empty: leave it out or name at least one' };
    case 'maxItems':
      return {
        path,
        rule: 'list_size',
        message: `has ${lengthOf(data)} items: at most ${fault.limit} are taken`,
      };
    case 'uniqueItems':
      return {
        path: under(path, fault.index ?? 0),
        rule: 'listed_twice',
        message: `${shown(itemOf(data, fault.index ?? 0), path)} is in the list twice: keep one`,
      };
    case 'minimum':
    case 'maximum': {
      const size = fault.keyword === 'minimum' ? 'small' : 'large';
      return {
        path,
        rule: fault.keyword === 'minimum' ? 'too_small' : 'too_large',
        message: `${shown(data, path)} is too ${size}: ${schema.description ?? inGeneral(fault)}`,
      };
    }
    default:
      return { path, rule: unfitRule(path), message: unfit(fault) };
  }
}

function unfitRule(path: ConfigPath): IssueRule {
  if (isSecret(path)) return 'bad_psk';
  return path.at(-1) === 'name' ? 'bad_name' : 'unfit';
}

function unfit(fault: SchemaFault): string {
  const { path, schema, data } = fault;
  if (isSecret(path)) {
    const problem = typeof data === 'string' ? pskProblem(data) : undefined;
    return problem ?? 'does not fit';
  }
  return `${shown(data, path)} does not fit: ${schema.description ?? inGeneral(fault)}`;
}

/** The rule in the words of JSON Schema, for schemas that say nothing themselves. */
function inGeneral({ keyword, schema, limit }: SchemaFault): string {
  switch (keyword) {
    case 'minimum':
      return `must be >= ${limit}`;
    case 'maximum':
      return `must be <= ${limit}`;
    case 'minLength':
      return `must NOT have fewer than ${limit} characters`;
    case 'maxLength':
      return `must NOT have more than ${limit} characters`;
    case 'pattern':
      return `must match pattern "${schema.pattern}"`;
    default:
      return 'must be equal to constant';
  }
}

function unknownField(path: ConfigPath, name: string, schema: SchemaNode): ConfigIssue {
  const known = Object.keys(schema.properties ?? {});
  const colon = name.indexOf(':');
  if (colon > 0 && known.includes(name.slice(0, colon))) {
    const field = name.slice(0, colon);
    return { path, rule: 'unknown_field', message: `"${field}:" needs a blank behind the colon` };
  }
  if (!isShowableName(name)) {
    return {
      path,
      rule: 'unknown_field',
      message: `holds a field whose name is not one; known here are ${known.join(', ')}`,
    };
  }
  const near = nearestWord(name, known);
  const remedy = near === undefined ? `known here are ${known.join(', ')}` : `did you mean "${near}"?`;
  return {
    path: under(path, name),
    rule: 'unknown_field',
    atName: true,
    message: `is not a known field; ${remedy}`,
  };
}

function wantedOf(schema: SchemaNode): string {
  switch (schema.type) {
    case 'object':
      return `a map of fields (${Object.keys(schema.properties ?? {}).join(', ')})`;
    case 'array':
      return 'a list';
    case 'integer':
      return schema.description === undefined ? 'a whole number' : `a whole number (${schema.description})`;
    case 'boolean':
      return 'true or false';
    case 'string':
      return 'a text';
    default:
      return schema.type ?? 'another kind of value';
  }
}

/** What is there instead. Numbers and the like where a text is due only lack quotes. */
function kindOf(value: unknown, schema: SchemaNode, path: ConfigPath): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  const scalar = schema.type === 'integer' || schema.type === 'boolean';
  // A text where a map or list is due may be a whole line whose colon lacks its blank, with a key in it.
  if (typeof value === 'string')
    return scalar && !isSecret(path) ? `the text ${shown(value, path)}` : 'a text';
  if (isSecret(path)) return 'a number or a truth value: put it in quotes';
  return schema.type === 'string' ? `${shown(value, path)}: put it in quotes` : shown(value, path);
}

function notListed(value: unknown, list: readonly unknown[], path: ConfigPath): string {
  const names = list.map(String);
  const text = typeof value === 'string' || typeof value === 'number' ? String(value) : undefined;
  const near = text === undefined ? undefined : closest(text, names);
  const hint = near === undefined ? '' : `; did you mean ${/^[0-9]+$/.test(near) ? near : `"${near}"`}?`;
  return `${shown(value, path)} is not one of ${names.join(', ')}${hint}`;
}

/** Group numbers and group names are compared by number, all else by spelling. */
function closest(text: string, names: readonly string[]): string | undefined {
  const digits = /^(?:(?:dh|group|modp)[_-]?)?([0-9]+)$/i.exec(text)?.[1];
  if (digits !== undefined) return names.find((name) => name === digits || name === `group_${digits}`);
  return nearestWord(text, names);
}

function isSecret(path: ConfigPath): boolean {
  return path.some((step) => SECRET_FIELDS.has(step));
}

/** A value as a message repeats it: in quotes, cut, without characters that could disturb a terminal. */
export function shown(value: unknown, path: ConfigPath): string {
  if (isSecret(path)) return 'the value';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'a list' : 'a map';
  if (typeof value !== 'string') return String(value);
  const cut = value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}…` : value;
  const plain = cut.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
  return `"${plain}"`;
}

function lengthOf(value: unknown): number {
  return Array.isArray(value) ? value.length : 0;
}

function itemOf(value: unknown, index: number): unknown {
  return Array.isArray(value) ? value[index] : undefined;
}
