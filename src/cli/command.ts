import type { InferredOptionType, Options, PositionalOptions } from 'yargs';
import { type ExitCode, UsageError } from './errors.js';
import type { Terminal } from './terminal.js';

/** The values of `--output`. */
export type OutputFormat = 'text' | 'json';

type Arguments<O extends Record<string, Options>, P extends Record<string, PositionalOptions>> = {
  readonly [K in keyof O]: InferredOptionType<O[K]>;
} & { readonly [K in keyof P]: InferredOptionType<P[K]> } & { readonly output: OutputFormat };

/** One subcommand as yargs needs it, and what it does. */
export interface CliCommand {
  readonly name: string;
  /** Positional arguments as they follow the name, `<needed>` and `[optional]`. */
  readonly operands: string;
  readonly description: string;
  readonly options: Readonly<Record<string, Options>>;
  readonly positionals: Readonly<Record<string, PositionalOptions>>;
  readonly examples: readonly (readonly [commandLine: string, does: string])[];
  /** Left out of the list of commands: started by programs only. */
  readonly hidden?: boolean;
  /** Options that may be given several times; of others the last one counts. */
  readonly repeatable?: readonly string[];
  /** Text under the help of the command. */
  readonly epilogue?: string;
  run(args: never, terminal: Terminal): Promise<ExitCode>;
}

/** States a command, so that the arguments `run` receives have the types of the declared options. */
export function defineCommand<
  const O extends Record<string, Options>,
  const P extends Record<string, PositionalOptions>,
>(
  command: Omit<CliCommand, 'run' | 'options' | 'positionals'> & {
    readonly options: O;
    readonly positionals: P;
    run(args: Arguments<O, P>, terminal: Terminal): Promise<ExitCode>;
  },
): CliCommand {
  return command as unknown as CliCommand;
}

/** `--output`, which every command has. */
export const outputOption = {
  choices: ['text', 'json'] as const,
  default: 'text',
  // The reference CLI of the VPN API writes it in capitals.
  coerce: (value: unknown) => (typeof value === 'string' ? value.toLowerCase() : value) as OutputFormat,
  describe: 'Text for people, or JSON in a stable form for programs',
} as const satisfies Options;

/** Where a daemon listens, unless its file names another place. */
export const DEFAULT_CONTROL = '/run/culvert/control.sock';

/** `--control`, which every command that talks to a running daemon has. */
const controlOption = {
  type: 'string',
  requiresArg: true,
  describe: `Control socket of the daemon (gateway.control in its file; default ${DEFAULT_CONTROL})`,
} as const satisfies Options;

/** Seconds that a command waits for an answer, unless its `--timeout` says otherwise. */
export const ANSWER_SECONDS = 5;
const MAX_SECONDS = 3600;

/** `--timeout`, which every command that talks to a daemon or to the API server has. */
export const timeoutOption = {
  type: 'number',
  requiresArg: true,
  describe: `Seconds to wait for an answer (default ${ANSWER_SECONDS})`,
  coerce: (given: unknown): number | undefined => {
    const value: unknown = Array.isArray(given) ? given.at(-1) : given;
    if (value === undefined) return undefined;
    if (typeof value === 'number' && value > 0 && value <= MAX_SECONDS) return value;
    throw new UsageError(`--timeout takes a number of seconds above 0 and up to ${MAX_SECONDS}`);
  },
} as const satisfies Options;

/** What a command that talks to a running daemon has. */
export const daemonOptions = {
  control: controlOption,
  'run-folder': {
    type: 'string',
    requiresArg: true,
    describe: 'Folder of the gateways of culvert serve (run_folder in its file). Else CULVERT_RUN_FOLDER',
  },
  timeout: timeoutOption,
} as const satisfies Record<string, Options>;
