import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { err, ok, type Result } from '../util/result.js';

/** Read or written by group or others. */
const OPEN_MODE = 0o077;

/**
 * The octets of a file that holds a secret: a regular file, with no access for group and others, of at most
 * `maxOctets`; `what` it holds. The caller wipes them. An error is the rest of a sentence that begins with the file's name and says
 * what to do.
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
    if (isOpen(mode)) {
      return err(`is accessible by group or others (mode ${octal(mode)}): run chmod 600 on it`);
    }
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

/** Whether a file mode lets group or others in. */
export function isOpen(mode: number): boolean {
  return (mode & OPEN_MODE) !== 0;
}

/** The permission bits, as chmod takes them. */
export function octal(mode: number): string {
  return (mode & 0o777).toString(8).padStart(3, '0');
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
