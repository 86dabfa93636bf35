import { type OutputUnit, Validator } from '@cfworker/json-schema';

/*
 * What of a JSON value does not fit a JSON Schema (draft 7), for the keywords that `json-schema.ts` writes. The
 * validator interprets the schema: one that compiles it, as Ajv does, takes a tenth of a second of every start. Its
 * findings are put into Ajv's terms and order, which a test compares with Ajv's.
 */

type Path = readonly (string | number)[];

/** One finding, in Ajv's terms. */
export interface SchemaFault {
  /** The keyword of the schema that is not met. */
  readonly keyword: string;
  /** Where the value at fault is: field names and list indexes from the root. */
  readonly path: Path;
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

/**
 * Finds all that does not fit this schema; nothing when a value does.
 * @throws Error for a keyword that is not known here: that is a bug
 */
export function faultFinder(schema: object): (value: unknown) => readonly SchemaFault[] {
  checkKeywords(schema);
  const validator = new Validator(schema, '7', false);
  return (given) => {
    const value = hasUndefined(given) ? withoutUndefined(given) : given;
    // The validator writes names into URIs, which hold no half of a surrogate pair, and would throw.
    const owner = ownerOfIllFormedName(value);
    if (owner !== undefined) return [unknownField(schema, value, [...owner, '\ufffd'])];
    const { valid, errors } = validator.validate(value);
    return valid ? [] : inOrder(faultsOf(schema, value, errors), 0);
  };
}

/** The keywords that are known, all of them: what another one finds could not be put into words. */
const KEYWORDS: Readonly<Record<keyof SchemaNode, true>> = {
  ...{ $id: true, description: true, type: true, enum: true, const: true },
  ...{ minimum: true, maximum: true, minLength: true, maxLength: true, pattern: true },
  ...{ minItems: true, maxItems: true, uniqueItems: true, items: true },
  ...{ required: true, properties: true, patternProperties: true, additionalProperties: true },
};
const TYPES: ReadonlySet<string> = new Set(['integer', 'number', 'string', 'boolean', 'array', 'object']);
/** Keywords that say something of a value of any type. */
const OF_ANY_TYPE: ReadonlySet<string> = new Set(['type', 'enum', 'const']);
/** Keywords of a whole that fail when a part does. */
const OF_PARTS: ReadonlySet<string> = new Set([
  'properties',
  'patternProperties',
  'additionalProperties',
  'items',
]);

function checkKeywords(schema: object): void {
  for (const keyword of Object.keys(schema)) {
    if (!Object.hasOwn(KEYWORDS, keyword)) throw new Error(`a schema uses "${keyword}", which is not known`);
  }
  const { type, items, properties, patternProperties }: SchemaNode = schema;
  if (type !== undefined && !TYPES.has(type)) throw new Error(`"${type}" is no known type`);
  if (items !== undefined) checkKeywords(items);
  for (const part of Object.values({ ...properties, ...patternProperties })) checkKeywords(part);
}

function faultsOf(schema: SchemaNode, value: unknown, errors: readonly OutputUnit[]): SchemaFault[] {
  const mistyped = new Set<string>();
  const incomplete = new Set<string>();
  return errors.flatMap(({ keyword, instanceLocation: location }) => {
    // Only says that something further down does not fit.
    if (OF_PARTS.has(keyword)) return [];
    // What is asked of another type says nothing of a value of the wrong one.
    if (keyword === 'type') mistyped.add(location);
    else if (mistyped.has(location) && !OF_ANY_TYPE.has(keyword)) return [];
    const path = pathOf(value, location);
    if (keyword === 'false') return [unknownField(schema, value, path)];
    const place = { path, ...placeOf(schema, value, path) };
    if (keyword !== 'required') return [faultOf(keyword, place)];
    // All missing fields at once: the validator has one error for each.
    if (incomplete.has(location)) return [];
    incomplete.add(location);
    return missingFields(place);
  });
}

type Place = Pick<SchemaFault, 'path' | 'data' | 'schema'>;

/** An unknown field is reported at the field itself, whose schema is `false`. */
function unknownField(schema: SchemaNode, value: unknown, path: Path): SchemaFault {
  const owner = path.slice(0, -1);
  const field = String(path.at(-1));
  return { keyword: 'additionalProperties', field, path: owner, ...placeOf(schema, value, owner) };
}

function missingFields(place: Place): SchemaFault[] {
  const missing = place.schema.required?.filter((field) => !Object.hasOwn(place.data as object, field));
  return (missing ?? []).map((field) => ({ keyword: 'required', field, ...place }));
}

function faultOf(keyword: string, place: Place): SchemaFault {
  if (keyword === 'uniqueItems') {
    const index = repeated(place.data as readonly unknown[]);
    return { keyword, ...place, ...(index !== undefined && { index }) };
  }
  const limit = keyword === 'const' ? undefined : place.schema[keyword as keyof SchemaNode];
  return { keyword, ...place, ...(typeof limit === 'number' && { limit }) };
}

/**
 * Ajv's order: what is said of a value as a whole comes before what is said of its parts, but that two are the same.
 */
function inOrder(faults: readonly SchemaFault[], depth: number): SchemaFault[] {
  const parts = new Map<string | number, SchemaFault[]>();
  const own: SchemaFault[] = [];
  const last: SchemaFault[] = [];
  for (const fault of faults) {
    const step = fault.path[depth];
    if (step === undefined) (fault.keyword === 'uniqueItems' ? last : own).push(fault);
    else if (parts.has(step)) parts.get(step)!.push(fault);
    else parts.set(step, [fault]);
  }
  return [...own, ...[...parts.values()].flatMap((part) => inOrder(part, depth + 1)), ...last];
}

/** The steps of a location such as `#/list/0/a~1b`: indexes are numbers where the value has a list. */
function pathOf(value: unknown, location: string): Path {
  let at = value;
  return location
    .split('/')
    .slice(1)
    .map((step) => {
      const name = decodeURI(step).replaceAll('~1', '/').replaceAll('~0', '~');
      const key = Array.isArray(at) ? Number(name) : name;
      at = (at as Readonly<Record<string | number, unknown>>)[key];
      return key;
    });
}

/** As JSON has it: fields that are undefined are not there, and what is undefined elsewhere is null. */
function withoutUndefined(value: unknown): unknown {
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (!isObject(value)) return value;
  const fields = Object.entries(value).filter(([, part]) => part !== undefined);
  return Object.fromEntries(fields.map(([name, part]) => [name, withoutUndefined(part)]));
}

/** Whether a value is none that JSON can say: one out of a file or off a wire never is. */
function hasUndefined(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return value === undefined;
  return Object.values(value).some(hasUndefined);
}

/** Half of a surrogate pair: what UTF-8 cannot hold. */
const SURROGATE = /\p{Cs}/u;

/** Where there is an object with a field whose name is no text that Unicode can hold; undefined when there is none. */
function ownerOfIllFormedName(value: unknown): Path | undefined {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      const found = ownerOfIllFormedName(item);
      if (found !== undefined) return [index, ...found];
    }
  } else if (isObject(value)) {
    for (const [name, part] of Object.entries(value)) {
      if (SURROGATE.test(name)) return [];
      const found = ownerOfIllFormedName(part);
      if (found !== undefined) return [name, ...found];
    }
  }
  return undefined;
}

/** The part of a value at a path, and the schema that it is held against. */
function placeOf(schema: SchemaNode, value: unknown, path: Path): Pick<SchemaFault, 'data' | 'schema'> {
  let node = schema;
  let data = value;
  for (const step of path) {
    const named = node.properties ?? {};
    const next =
      typeof step === 'number'
        ? node.items
        : Object.hasOwn(named, step)
          ? named[step]
          : Object.values(node.patternProperties ?? {})[0];
    node = next ?? {};
    data = (data as Readonly<Record<string | number, unknown>>)[step];
  }
  return { data, schema: node };
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

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
