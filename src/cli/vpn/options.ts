import { readFileSync } from 'node:fs';
import type { Options, PositionalOptions } from 'yargs';
import { CliError, messageOf, UsageError } from '../errors.js';
import type { ApiClient, ApiObject } from './api-client.js';
import { resolveObject } from './resolve.js';
import type { Given } from './spec.js';

/** Building blocks of the command table. */
export function operand(describe: string): PositionalOptions {
  return { type: 'string', demandOption: true, describe };
}

/** Returns an option that takes a text. */
export function textOption(describe: string): Options {
  return { type: 'string', requiresArg: true, describe };
}

/** An option that takes `true` or `false`, for fields that an update may set either way. */
export const switchOption = (describe: string): Options => ({
  choices: ['true', 'false'],
  requiresArg: true,
  describe,
});

/** Where names of gateways are not unique: their VPC. */
export const vpcOption = { vpc: textOption('VPC by name or id, where a name alone is not unique') };

/** The resource group of an object that is created. */
export const groupChoice = {
  'resource-group-id': textOption('Resource group by id'),
  'resource-group-name': textOption('Resource group by name'),
};

/** The resource group whose objects are listed. */
export const groupFilter = {
  ...groupChoice,
  'all-resource-groups': { type: 'boolean', default: false, describe: 'Of all groups, which is the default' },
} as const satisfies Record<string, Options>;

/** The resource group that the options name. @throws CliError */
export async function givenGroup(api: ApiClient, given: Given): Promise<ApiObject | undefined> {
  const id = given.text('resource-group-id');
  const name = given.text('resource-group-name');
  if (id !== undefined && name !== undefined) {
    throw new UsageError('--resource-group-id and --resource-group-name exclude each other');
  }
  const wanted = id ?? name;
  return wanted === undefined ? undefined : await resolveObject(api, 'resource_group', wanted);
}

/** Objects of the group that the options name; all when they name none. */
export async function ofGroup(
  api: ApiClient,
  given: Given,
  objects: Promise<readonly ApiObject[]>,
): Promise<readonly ApiObject[]> {
  const group = await givenGroup(api, given);
  const all = await objects;
  if (group === undefined) return all;
  return all.filter((one) => (one.resource_group as ApiObject | undefined)?.id === group.id);
}

/**
 * JSON in an argument or, after `@`, in a file. Quotes around names and plain values may be left out, as in examples
 * of the reference CLI; every plain value is a text then.
 * @throws UsageError, CliError
 */
export async function looseJson(option: string, text: string): Promise<unknown> {
  const source = text.startsWith('@') ? readText(text.slice(1)) : text;
  try {
    return JSON.parse(source);
  } catch {
    // YAML's flow form is JSON without quotes but wants a space after the colon.
    const { parse } = await import('yaml');
    const spaced = source.replace(/([{,]\s*"?[A-Za-z_]+"?)\s*:\s*/g, '$1: ');
    try {
      return parse(spaced, { schema: 'failsafe' }) as unknown;
    } catch {
      throw new UsageError(`${option} takes JSON, or @FILE with JSON in it`);
    }
  }
}

/** Reads a file that an option names. @throws CliError */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new CliError(`the file ${path} cannot be read: ${messageOf(error)}`);
  }
}

/** One value as the singular field, which every server knows; several as the list in order of preference. */
export function oneOrMany<T>(
  values: readonly T[] | undefined,
  singular: string,
  plural: string,
): Record<string, unknown> {
  if (values === undefined) return {};
  return values.length === 1 ? { [singular]: values[0] } : { [plural]: values };
}
