import type { Millis } from '../../util/units.js';

/** How attempts follow each other. */
export interface TurnRules {
  /** The next attempt begins when the one before it has not answered for so long; when it has failed, at once. */
  readonly hedgeAfter: Millis;
  /** Whether after this error no further attempt is to begin. */
  isFinal(error: unknown): boolean;
}

/**
 * Makes attempts one after the other until one succeeds, without waiting for those that are slow. Resolves with the first
 * success. Rejects with all errors (an AggregateError) when every attempt has ended: what none of them knows is unknown.
 */
export function inTurn<T>(
  attempts: readonly (() => Promise<T>)[],
  { hedgeAfter, isFinal }: TurnRules,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const errors: unknown[] = [];
    const waiting = [...attempts];
    let open = 0;
    let timer: NodeJS.Timeout | undefined;
    const begin = (): void => {
      clearTimeout(timer);
      const attempt = waiting.shift();
      if (attempt === undefined) return;
      open++;
      timer = setTimeout(begin, hedgeAfter);
      attempt().then(
        (value) => {
          clearTimeout(timer);
          waiting.length = 0;
          resolve(value);
        },
        (error: unknown) => {
          open--;
          errors.push(error);
          if (isFinal(error)) waiting.length = 0;
          if (waiting.length > 0) begin();
          else if (open === 0) {
            clearTimeout(timer);
            reject(new AggregateError(errors));
          }
        },
      );
    };
    begin();
  });
}
