import type * as typebox from 'typebox';

/*
 * JSON Schemas with their TypeScript types. The types are TypeBox's; the schemas are made here, since loading TypeBox
 * itself costs every process 0.2 s of its start, which is time without tunnels for a gateway that was killed. What is
 * used of its builders is here under the same names: `import * as Type from '…/util/json-schema.js'`.
 */

export type { TObject, TOptional, TProperties, TSchema, TUnsafe } from 'typebox';

/** The type of the values that a schema describes. */
export type Static<Schema extends typebox.TSchema> = typebox.Static<Schema>;

/** Marks a property that may be left out. Not enumerable: it is no part of the schema as JSON. */
const OPTIONAL = '~optional';

const builders = {
  object(properties: typebox.TProperties, options: object = {}): object {
    const required = Object.keys(properties).filter((name) => !(OPTIONAL in properties[name]!));
    return { type: 'object', ...(required.length > 0 ? { required } : {}), properties, ...options };
  },
  optional: (schema: object): object => Object.defineProperty({ ...schema }, OPTIONAL, { value: true }),
  array: (items: object, options?: object): object => ({ type: 'array', items, ...options }),
  record: (_keys: object, value: object): object => ({
    type: 'object',
    patternProperties: { '^.*$': value },
  }),
  oneOf: (values: readonly unknown[], options?: object): object => ({ enum: values, ...options }),
  literal: (value: unknown): object => ({ type: typeof value, const: value }),
  string: (options?: object): object => ({ type: 'string', ...options }),
  integer: (options?: object): object => ({ type: 'integer', ...options }),
  number: (options?: object): object => ({ type: 'number', ...options }),
  boolean: (options?: object): object => ({ type: 'boolean', ...options }),
  unsafe: (schema: object): object => schema,
};

// The compiler follows TypeBox's declarations from here on; a test compares the schemas with TypeBox's own.
const { object, optional, array, record, oneOf, literal, string, integer, number, boolean, unsafe } =
  builders as unknown as {
    readonly object: typeof typebox.Object;
    readonly optional: typeof typebox.Optional;
    readonly array: typeof typebox.Array;
    readonly record: typeof typebox.Record;
    readonly oneOf: typeof typebox.Enum;
    readonly literal: typeof typebox.Literal;
    readonly string: typeof typebox.String;
    readonly integer: typeof typebox.Integer;
    readonly number: typeof typebox.Number;
    readonly boolean: typeof typebox.Boolean;
    readonly unsafe: typeof typebox.Unsafe;
  };

export {
  array as Array,
  boolean as Boolean,
  integer as Integer,
  literal as Literal,
  number as Number,
  object as Object,
  oneOf as Enum,
  optional as Optional,
  record as Record,
  string as String,
  unsafe as Unsafe,
};
