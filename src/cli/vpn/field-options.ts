import type { Options } from 'yargs';
import { type FieldPath, fieldOf } from '../../store/connection-fields.js';
import { switchOption, textOption } from './options.js';
import type { Given } from './spec.js';

/** The part of a field's JSON Schema that its option follows from. */
interface Shape {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly items?: Shape;
}

/** `dead_peer_detection.action` → `dead-peer-detection-action`; a list of texts is given one by one. */
export function optionName(path: FieldPath): string {
  const name = path.replace(/[._]/g, '-');
  return isRepeated(path) ? name.replace(/s$/, '') : name;
}

/** The options of fields of a connection, by their table. */
export function optionsOf(...paths: readonly FieldPath[]): Readonly<Record<string, Options>> {
  return Object.fromEntries(paths.map((path) => [optionName(path), optionOf(path)]));
}

/** What the options give of these fields, nested as in a body. */
export function givenFields(given: Given, ...paths: readonly FieldPath[]): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  for (const path of paths) {
    const value = givenValue(given, path);
    if (value === undefined) continue;
    const [group, name] = path.split('.') as [string, string?];
    body[group] = name === undefined ? value : { ...(body[group] as object | undefined), [name]: value };
  }
  return body;
}

function shapeOf(path: FieldPath): Shape {
  return fieldOf(path).schema as Shape;
}

function isRepeated(path: FieldPath): boolean {
  return shapeOf(path).items?.type === 'string';
}

function optionOf(path: FieldPath): Options {
  const { type, enum: choices } = shapeOf(path);
  const help = fieldOf(path).help ?? '';
  if (type === 'boolean') return switchOption(help);
  // In the order of the reference CLI's own help, which names bgp first.
  const listed = path === 'routing_protocol' ? choices?.toSorted() : choices;
  if (listed !== undefined) return { choices: [...listed], requiresArg: true, describe: help };
  return textOption(type === 'array' && !isRepeated(path) ? `${help}: JSON or @FILE` : help);
}

function givenValue(given: Given, path: FieldPath): unknown {
  const name = optionName(path);
  switch (shapeOf(path).type) {
    case 'boolean':
      return given.flag(name);
    case 'integer':
      return given.number(name);
    case 'array':
      return isRepeated(path) ? given.list(name) : given.text(name);
    default:
      return given.text(name);
  }
}
