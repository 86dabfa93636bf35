import type { Result } from '../../src/util/result.js';

/** The value, or an exception that shows the error: for steps a test takes for granted. */
export function must<T, E>(result: Result<T, E>): T {
  if (!result.ok) throw new Error(`refused: ${JSON.stringify(result.error)}`);
  return result.value;
}

/** The error of what is not to succeed. */
export function mustFail<T, E>(result: Result<T, E>): E {
  if (result.ok) throw new Error('it succeeded, but an error was expected');
  return result.error;
}
