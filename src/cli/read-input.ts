import { INPUT_NAME, readTextFile } from '../store/text-file.js';
import { CliError, UsageError } from './errors.js';

/** The text of a file, or of standard input for `-`. `what` it is, for the error. @throws CliError */
export function readInput(path: string, what: string): string {
  const text = readTextFile(path);
  if (text.ok) return text.value;
  throw new CliError(`${what} ${sourceName(path)} ${text.error}`);
}

/** The file in messages. */
export function sourceName(path: string): string {
  return path === INPUT_NAME ? 'standard input' : path;
}

/** For what is read again while the program runs. @throws UsageError for `-` */
export function refuseInput(option: string, path: string): void {
  if (path !== INPUT_NAME) return;
  throw new UsageError(`${option} takes a file here, not standard input: it is read again at every reload`);
}
