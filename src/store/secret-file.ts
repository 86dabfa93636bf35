import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { err, ok, type Result } from '../util/result.js';

/** Read or written by group or others. */
const OPEN_MODE = 0o077;

/**
 * The octets of a file that contains a secret: a regular file, with no access for group and others, of at most
 * `maxOctets`; `what` it contains. The caller wipes them. An error is the rest of a sentence that begins with the
 * file's name and says what to do.
 */
export function readSecretFile(path: string, maxOctets: number, what: string): Result<Buffer, string> {
  let handle: number;
  try {
    // Opening a FIFO must not wait for a writer.
    handle = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return err(openProblem(error as NodeJS.ErrnoException));
  }
  try {
    const { mode } = fstatSync(handle);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) return err('is not a regular file: name one');
    const problem = modeProblem(mode);
    if (problem !== undefined) return err(problem);
    const buffer = Buffer.alloc(maxOctets + 1);
    const length = readSync(handle, buffer, 0, buffer.length, 0);
    if (length <= maxOctets) return ok(buffer.subarray(0, length));
    buffer.fill(0);
    return err(`is longer than ${what} can be`);
  } catch (error) {
    return err(`cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`);
  } finally {
    closeSync(handle);
  }
}

/**
 * What is to be said of a file with a secret in it that was read all the same: the rest of a sentence that begins with
 * its name. Undefined when no other user can read it, and for what is no file.
 */
export function exposure(path: string): string | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats?.isFile() === true ? modeProblem(stats.mode) : undefined;
}

function modeProblem(mode: number): string | undefined {
  if ((mode & OPEN_MODE) === 0) return undefined;
  const octal = (mode & 0o777).toString(8).padStart(3, '0');
  return `is accessible by group or others (mode ${octal}): run chmod 600 on it`;
}

function openProblem(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ENOENT':
      return 'is not there';
    case 'EACCES':
      return 'may not be read by this user';
    default:
      return `cannot be opened (${error.code ?? 'unknown error'})`;
  }
}
