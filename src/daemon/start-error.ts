/** Why the daemon cannot start or carry out a request, in one line, and what the operator can do about it. */
export class StartError extends Error {
  override readonly name = 'StartError';
  /** One sentence in the imperative. */
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.remedy = remedy;
  }
}

/** The line for the operator: what is wrong and the remedy, for every kind of error. */
export function oneLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { remedy } = error as { remedy?: unknown };
  const text = typeof remedy === 'string' ? `${error.message}: ${remedy}` : error.message;
  return text.replace(/\s*\n\s*/g, ' ');
}
