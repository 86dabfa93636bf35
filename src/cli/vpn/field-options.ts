import type { Options } from 'yargs';
import { type FieldPath, fieldOf, putAt } from '../../store/connection-fields.js';
import { switchOption, textOption } from './options.js';
import { type Given, wholeNumber } from './spec.js';

/** The part of a field's JSON Schema that its option follows from. */
export interface Shape {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly items?: Shape;
  readonly description?: string;
}

/** A field of a body, and the option or operand that gives it. */
export interface GivenField {
  /** In the body: `local.cidrs` is `cidrs` in `local`. */
  readonly path: string;
  /** On the command line. */
  readonly name: string;
  readonly schema: Shape;
  readonly help: string;
  /** What an error message calls the number. */
  readonly noun?: string;
}

/** The fields of a body other than `apart`, by its schema. What `help` does not have is described by the schema. */
export function fieldsOf(
  properties: object,
  apart: readonly string[],
  help: Readonly<Record<string, string>> = {},
): GivenField[] {
  return Object.entries(properties as Readonly<Record<string, Shape>>).flatMap(([path, schema]) =>
    apart.includes(path)
      ? []
      : [{ path, name: optionText(path), schema, help: help[path] ?? descriptionOf(schema) }],
  );
}

/** `dh_groups` → `dh-groups`. */
export function optionText(path: string): string {
  return path.replace(/[._]/g, '-');
}

function descriptionOf({ description = '', enum: choices }: Shape): string {
  return choices === undefined
    ? `${description.slice(0, 1).toUpperCase()}${description.slice(1)}`
    : choices.join(' or ');
}

/** `dead_peer_detection.action` → `dead-peer-detection-action`; a list of texts is given one by one. */
export function optionName(path: FieldPath): string {
  const name = optionText(path);
  return isRepeated(fieldOf(path).schema) ? name.replace(/s$/, '') : name;
}

function connectionField(path: FieldPath): GivenField {
  const { schema, help = '' } = fieldOf(path);
  return { path, name: optionName(path), schema, help };
}

/** The options of fields of a connection, by their table. */
export function optionsOf(...paths: readonly FieldPath[]): Readonly<Record<string, Options>> {
  return optionsBy(paths.map(connectionField));
}

/** What the options give of these fields of a connection, nested as in a body. */
export function givenFields(given: Given, ...paths: readonly FieldPath[]): Record<string, unknown> {
  return bodyBy(given, paths.map(connectionField));
}

/** The options that give these fields. */
export function optionsBy(fields: readonly GivenField[]): Readonly<Record<string, Options>> {
  return Object.fromEntries(fields.map((field) => [field.name, optionOf(field)]));
}

/** What is given of these fields, nested as in a body. @throws UsageError */
export function bodyBy(given: Given, fields: readonly GivenField[]): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  for (const field of fields) {
    const value = givenValue(given, field);
    if (value !== undefined) putAt(body, field.path, value);
  }
  return body;
}

function isRepeated({ items }: Shape): boolean {
  return items?.type === 'string' || items?.enum?.every((one) => typeof one === 'string') === true;
}

/** Whether a schema is that of a number. */
export function isNumeric({ type, enum: choices }: Shape): boolean {
  return type === 'integer' || choices?.every((one) => typeof one === 'number') === true;
}

function optionOf({ path, schema, help }: GivenField): Options {
  const { type, enum: choices } = schema;
  if (type === 'boolean') return switchOption(help);
  if (choices !== undefined && !isNumeric(schema)) {
    const texts = choices.map(String);
    // In the order of the reference CLI's own help, which names bgp first.
    const listed = path === 'routing_protocol' ? texts.toSorted() : texts;
    return { choices: listed, requiresArg: true, describe: help };
  }
  return textOption(type === 'array' && !isRepeated(schema) ? `${help}: JSON or @FILE` : help);
}

function givenValue(given: Given, { name, schema, noun = `--${name}` }: GivenField): unknown {
  if (schema.type === 'boolean') return given.flag(name);
  if (isRepeated(schema)) return given.list(name);
  const text = given.text(name);
  return text === undefined || !isNumeric(schema) ? text : wholeNumber(noun, text);
}
