/*
 * What of a JSON value does not fit a JSON Schema (draft 7), for the keywords that `json-schema.ts` writes. Loading a
 * general validator and having it compile its code takes a tenth of a second of a start; a test compares the findings
 * and their order with Ajv's.
 */

/** One finding, in Ajv's terms. */
export interface SchemaFault {
  /** The keyword of the schema that is not met. */
  readonly keyword: string;
  /** Where the value at fault is: field names and list indexes from the root. */
  readonly path: readonly (string | number)[];
  /** The value at fault. */
  readonly data: unknown;
  /** The schema that has the keyword. */
  readonly schema: SchemaNode;
  /** The missing or unknown field, for `required` and `additionalProperties`. */
  readonly field?: string;
  /** The bound that is not kept. */
  readonly limit?: number;
  /** For `uniqueItems`: the index of an item that is in the list once more, before it. */
  readonly index?: number;
}

/** A schema with the keywords that are known here. */
export interface SchemaNode {
  readonly $id?: string;
  readonly description?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly items?: SchemaNode;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: boolean;
}

type Path = SchemaFault['path'];
/** Appends what does not fit to `found`. */
type Check = (value: unknown, path: Path, found: SchemaFault[]) => void;

/**
 * Finds all that does not fit this schema; nothing when a value does.
 * @throws Error for a keyword or type that is not known here: that is a bug
 */
export function faultFinder(schema: object): (value: unknown) => readonly SchemaFault[] {
  const check = checkOf(schema);
  return (value) => {
    const found: SchemaFault[] = [];
    check(value, [], found);
    return found;
  };
}

/** By type, what of a schema is asked of values of that type alone. */
const BY_TYPE: Readonly<Record<string, { is(value: unknown): boolean; check(schema: SchemaNode): Check }>> = {
  integer: { is: (value) => Number.isInteger(value), check: numberCheck },
  number: { is: Number.isFinite, check: numberCheck },
  string: { is: (value) => typeof value === 'string', check: stringCheck },
  boolean: { is: (value) => typeof value === 'boolean', check: () => () => undefined },
  array: { is: Array.isArray, check: arrayCheck },
  object: { is: isObject, check: objectCheck },
};

/** The keywords that are known, all of them: a schema that uses another one would not be checked. */
const KEYWORDS: Readonly<Record<keyof SchemaNode, true>> = {
  ...{ $id: true, description: true, type: true, enum: true, const: true },
  ...{ minimum: true, maximum: true, minLength: true, maxLength: true, pattern: true },
  ...{ minItems: true, maxItems: true, uniqueItems: true, items: true },
  ...{ required: true, properties: true, patternProperties: true, additionalProperties: true },
};

function checkOf(given: object): Check {
  for (const keyword of Object.keys(given)) {
    if (!Object.hasOwn(KEYWORDS, keyword)) throw new Error(`a schema uses "${keyword}", which is not known`);
  }
  const schema: SchemaNode = given;
  const type = schema.type === undefined ? undefined : BY_TYPE[schema.type];
  if (type === undefined && schema.type !== undefined) throw new Error(`"${schema.type}" is no known type`);
  const ofType = type?.check(schema);
  return (value, path, found) => {
    const fits = type?.is(value) ?? true;
    if (!fits) found.push({ keyword: 'type', schema, path, data: value });
    if (schema.enum?.includes(value) === false) found.push({ keyword: 'enum', schema, path, data: value });
    if (schema.const !== undefined && schema.const !== value)
      found.push({ keyword: 'const', schema, path, data: value });
    if (fits) ofType?.(value, path, found);
  };
}

/** A bound of `schema`, when the size of a value is on the wrong side of it. */
function boundCheck(
  schema: SchemaNode,
  keyword: 'minimum' | 'maximum' | 'minLength' | 'maxLength' | 'minItems' | 'maxItems',
  sizeOf: (value: unknown) => number,
): Check {
  const limit = schema[keyword];
  if (limit === undefined) return () => undefined;
  const upper = keyword.startsWith('max');
  return (data, path, found) => {
    const size = sizeOf(data);
    if (upper ? size > limit : size < limit) found.push({ keyword, limit, schema, path, data });
  };
}

function numberCheck(schema: SchemaNode): Check {
  const size = (value: unknown): number => value as number;
  return all([boundCheck(schema, 'maximum', size), boundCheck(schema, 'minimum', size)]);
}

function stringCheck(schema: SchemaNode): Check {
  // Code points, as JSON Schema counts.
  const size = (value: unknown): number => [...(value as string)].length;
  const checks = [boundCheck(schema, 'maxLength', size), boundCheck(schema, 'minLength', size)];
  if (schema.pattern === undefined) return all(checks);
  const pattern = new RegExp(schema.pattern, 'u');
  return all([
    ...checks,
    (data, path, found) => {
      if (!pattern.test(data as string)) found.push({ keyword: 'pattern', schema, path, data });
    },
  ]);
}

function arrayCheck(schema: SchemaNode): Check {
  const size = (value: unknown): number => (value as unknown[]).length;
  const item = schema.items === undefined ? undefined : checkOf(schema.items);
  return all([
    boundCheck(schema, 'maxItems', size),
    boundCheck(schema, 'minItems', size),
    (data, path, found) => {
      const list = data as unknown[];
      if (item !== undefined) for (const [i, one] of list.entries()) item(one, [...path, i], found);
      const index = schema.uniqueItems === true ? repeated(list) : undefined;
      if (index !== undefined) found.push({ keyword: 'uniqueItems', index, schema, path, data });
    },
  ]);
}

/** Index of the last item that is there before, too. */
function repeated(list: readonly unknown[]): number | undefined {
  for (let i = list.length - 1; i > 0; i--) if (list.findIndex((one) => equal(one, list[i])) < i) return i;
  return undefined;
}

/** Whether two JSON values are the same. */
function equal(a: unknown, b: unknown): boolean {
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((one, i) => equal(one, b[i]));
  }
  if (!isObject(a) || !isObject(b)) return a === b;
  const names = Object.keys(a);
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && equal(a[name], b[name]))
  );
}

function objectCheck(schema: SchemaNode): Check {
  const { required = [], properties = {}, patternProperties = {}, additionalProperties } = schema;
  const own = Object.entries(properties).map(([name, one]) => ({ name, check: checkOf(one) }));
  const patterns = Object.entries(patternProperties).map(([pattern, one]) => ({
    pattern: new RegExp(pattern, 'u'),
    check: checkOf(one),
  }));
  return (data, path, found) => {
    const value = data as Readonly<Record<string, unknown>>;
    const has = (name: string): boolean => Object.hasOwn(value, name) && value[name] !== undefined;
    for (const field of required) {
      if (!has(field)) found.push({ keyword: 'required', field, schema, path, data });
    }
    for (const field of Object.keys(value)) {
      const known = Object.hasOwn(properties, field) || patterns.some(({ pattern }) => pattern.test(field));
      if (additionalProperties === false && !known) {
        found.push({ keyword: 'additionalProperties', field, schema, path, data });
      }
    }
    for (const { name, check } of own) if (has(name)) check(value[name], [...path, name], found);
    for (const { pattern, check } of patterns) {
      for (const [name, one] of Object.entries(value))
        if (pattern.test(name)) check(one, [...path, name], found);
    }
  };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function all(checks: readonly Check[]): Check {
  return (value, path, found) => {
    for (const check of checks) check(value, path, found);
  };
}
