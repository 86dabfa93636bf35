import { OperatorError, oneLine } from '../util/operator-error.js';
import type { Terminal } from './terminal.js';

/** Exit codes of every command. `unknown` is of `status --check` alone, where 1 and 2 are a warning and worse. */
export const ExitCode = { done: 0, failed: 1, usage: 2, unknown: 3 } as const;
/** One of these. */
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/**
 * An expected failure: printed as one line `culvert: MESSAGE` without a stack. The message names what went
 * wrong and, after a semicolon, what to do about it.
 */
export class CliError extends OperatorError {
  readonly exitCode: ExitCode;

  constructor(message: string, exitCode: ExitCode = ExitCode.failed) {
    super({ what: message });
    this.name = 'CliError';
    this.exitCode = exitCode;
  }
}

/** The command line itself is wrong: exit code 2. */
export class UsageError extends CliError {
  constructor(message: string) {
    super(message, ExitCode.usage);
    this.name = 'UsageError';
  }
}

/** There is no daemon, or it does not answer. */
export class UnreachableError extends CliError {
  constructor(message: string) {
    super(message);
    this.name = 'UnreachableError';
  }
}

/** The text of anything thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** What an expected failure says, with its remedy; undefined for a bug. */
export function expectedText(thrown: unknown): string | undefined {
  if (thrown instanceof CliError) return thrown.message;
  return thrown instanceof OperatorError ? oneLine(thrown) : undefined;
}

/**
 * Prints what a command has thrown: an expected failure as one line, with `hint` after it, anything else with its
 * stack, since it is a bug. @returns the exit code
 */
export function reportError(thrown: unknown, terminal: Terminal, hint = ''): ExitCode {
  const expected = expectedText(thrown);
  if (expected !== undefined) {
    terminal.note(`culvert: ${expected}${hint}`);
    return thrown instanceof CliError ? thrown.exitCode : ExitCode.failed;
  }
  const stack = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  terminal.note(`culvert: internal error, please report it: ${stack}`);
  return ExitCode.failed;
}
