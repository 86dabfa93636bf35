/** What an `OperatorError` says. */
export interface OperatorErrorParts {
  /** What is wrong, with the field or thing concerned. Never holds a secret. */
  readonly what: string;
  /** The value that is refused, where one is and `what` is about it. Never a secret. */
  readonly value?: string | undefined;
  /** One sentence in the imperative; undefined where `what` already says what to do. */
  readonly remedy?: string | undefined;
  /** What was thrown underneath. */
  readonly cause?: unknown;
}

/**
 * A failure that the operator can do something about. Every kind of it that is thrown extends this class; what a
 * protocol or a parser finds is a `Result`, and anything else that is thrown is a bug.
 */
export abstract class OperatorError extends Error {
  readonly value: string | undefined;
  readonly remedy: string | undefined;

  constructor({ what, value, remedy, cause }: OperatorErrorParts) {
    super(what, cause === undefined ? undefined : { cause });
    this.value = value;
    this.remedy = remedy;
  }
}

/** The line for the operator: what is wrong and, of an `OperatorError`, the remedy. */
export function oneLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const remedy = error instanceof OperatorError ? error.remedy : undefined;
  const text = remedy === undefined ? error.message : `${error.message}: ${remedy}`;
  return text.replace(/\s*\n\s*/g, ' ');
}
