import type { Options, PositionalOptions } from 'yargs';
import type { CliCommand } from '../command.js';
import { CliError, ExitCode, UsageError } from '../errors.js';
import type { Terminal } from '../terminal.js';
import type { ApiClient, ApiObject } from './api-client.js';
import { type ApiArguments, apiOptions, connectApi } from './connect.js';
import { ask, canAsk } from './prompt.js';
import { renderList, renderObject, type View } from './views.js';

/** What a command line gave, by the names of the table. */
export class Given {
  readonly #args: Readonly<Record<string, unknown>>;

  constructor(args: Readonly<Record<string, unknown>>) {
    this.#args = args;
  }

  /** An operand that yargs has seen to be there. */
  operand(name: string): string {
    return String(this.#args[name]);
  }

  operands(name: string): string[] {
    return ((this.#args[name] as readonly unknown[] | undefined) ?? []).map(String);
  }

  text(name: string): string | undefined {
    const value = this.#args[name];
    return value === undefined ? undefined : String(value);
  }

  /** A repeatable option; several values may also be in one, separated by commas. */
  list(name: string): string[] | undefined {
    const value = this.#args[name];
    if (value === undefined) return undefined;
    const texts = Array.isArray(value) ? value : [value];
    return texts.flatMap((text) => String(text).split(',')).map((text) => text.trim());
  }

  /** `true` or `false`, as the reference CLI has its switches. */
  flag(name: string): boolean | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : value === 'true';
  }

  on(name: string): boolean {
    return this.#args[name] === true;
  }

  number(name: string): number | undefined {
    const value = this.text(name);
    return value === undefined ? undefined : wholeNumber(`--${name}`, value);
  }
}

/** @throws UsageError */
export function wholeNumber(what: string, text: string): number {
  if (!/^[0-9]{1,10}$/.test(text)) throw new UsageError(`${what} takes a whole number, not "${text}"`);
  return Number(text);
}

/** What a command has to show. */
export type Outcome =
  | { readonly kind: 'list'; readonly view: View; readonly items: readonly ApiObject[] }
  | { readonly kind: 'object'; readonly object: ApiObject }
  /** Values that are no objects, such as CIDRs. */
  | { readonly kind: 'values'; readonly title: string; readonly values: readonly string[] }
  | { readonly kind: 'done'; readonly text: string; readonly json: object }
  /** A text of its own form, and what the command's end says about it. */
  | {
      readonly kind: 'report';
      readonly json: object;
      show(terminal: Terminal): void;
      readonly code: ExitCode;
    };

/** A command of `culvert vpn`: how it is called, and what it requests. */
export interface VpnCommand {
  readonly name: string;
  readonly operands: string;
  readonly positionals: Readonly<Record<string, PositionalOptions>>;
  readonly options?: Readonly<Record<string, Options>>;
  /** Options that may be repeated. */
  readonly repeatable?: readonly string[];
  readonly description: string;
  readonly examples: readonly (readonly [string, string])[];
  readonly epilogue?: string;
  run(api: ApiClient, given: Given): Promise<Outcome>;
}

/** A command that deletes the objects of its last operand, with a question before it. */
export interface DeleteCommand extends Omit<VpnCommand, 'run'> {
  /** What is to be deleted. @throws CliError when it is not there, so that no question is asked in vain */
  find(api: ApiClient, given: Given): Promise<readonly Deletion[]>;
}

/** An object that is deleted once the question about it is answered. */
export interface Deletion {
  readonly object: ApiObject;
  readonly path: string;
  /** For the question: `VPN gateway "a" with its 2 connections`. */
  readonly text: string;
}

const common = {
  ...apiOptions,
  quiet: { type: 'boolean', default: false, alias: 'q', describe: 'Print ids only, or nothing' },
} as const satisfies Record<string, Options>;

/** The table's row as a command of the program. */
export function toCliCommand(command: VpnCommand | DeleteCommand): CliCommand {
  const deletes = 'find' in command;
  const { name, operands, positionals, description, examples, epilogue } = command;
  const force = {
    force: { type: 'boolean', default: false, alias: 'f', describe: 'Do not ask' },
  } as const satisfies Record<string, Options>;
  return {
    name,
    operands,
    positionals,
    description,
    examples,
    ...(epilogue === undefined ? {} : { epilogue }),
    repeatable: command.repeatable ?? [],
    options: { ...command.options, ...(deletes ? force : {}), ...common },
    async run(args: never, terminal: Terminal): Promise<ExitCode> {
      const values = args as Readonly<Record<string, unknown>>;
      const api = connectApi(values as ApiArguments);
      const given = new Given(values);
      const json = values.output === 'json';
      if (!deletes) {
        const outcome = await command.run(api, given);
        present(outcome, json, given.on('quiet'), terminal);
        return outcome.kind === 'report' ? outcome.code : ExitCode.done;
      }
      return await deleteAll(await command.find(api, given), api, given, json, terminal);
    },
  };
}

async function deleteAll(
  deletions: readonly Deletion[],
  api: ApiClient,
  given: Given,
  json: boolean,
  terminal: Terminal,
): Promise<ExitCode> {
  if (!given.on('force')) await confirm(deletions);
  const results: { readonly id: string; readonly name: string; readonly deleted: boolean }[] = [];
  for (const { object, path } of deletions) {
    const { id, name } = object;
    try {
      await api.call('DELETE', path);
      results.push({ id, name, deleted: true });
      if (!json && !given.on('quiet')) terminal.line(`${name}: deleted`);
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      results.push({ id, name, deleted: false });
      terminal.note(`culvert: ${name}: ${error.message}`);
    }
  }
  if (json) terminal.json(results);
  return results.every(({ deleted }) => deleted) ? ExitCode.done : ExitCode.failed;
}

async function confirm(deletions: readonly Deletion[]): Promise<void> {
  if (!canAsk())
    throw new UsageError('there is no terminal to ask on whether to delete; confirm with --force');
  const what = deletions.map(({ text }) => text).join(', ');
  const answer = await ask(`Delete ${what}? [y/N] `, false);
  if (!/^y(es)?$/i.test(answer.trim())) throw new CliError('nothing was deleted');
}

function present(outcome: Outcome, json: boolean, quiet: boolean, terminal: Terminal): void {
  const width = terminal.width();
  switch (outcome.kind) {
    case 'list':
      if (json) terminal.json(outcome.items);
      else if (quiet) terminal.lines(outcome.items.map(({ id }) => id));
      else terminal.lines(renderList(outcome.items, outcome.view, terminal.style, width));
      return;
    case 'object':
      if (json) terminal.json(outcome.object);
      else if (quiet) terminal.line(outcome.object.id);
      else terminal.lines(renderObject(outcome.object, terminal.style, width));
      return;
    case 'values':
      if (json) terminal.json(outcome.values);
      else if (outcome.values.length > 0) terminal.lines(outcome.values);
      else if (!quiet) terminal.line(`no ${outcome.title}`);
      return;
    case 'report':
      if (json) terminal.json(outcome.json);
      else if (!quiet) outcome.show(terminal);
      return;
    case 'done':
      if (json) terminal.json(outcome.json);
      else if (!quiet) terminal.line(outcome.text);
  }
}

/** An object without the fields that were not given. */
export function compact(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
