import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { err, ok, type Result } from '../util/result.js';

/** Octets of the longest file that is read; one of a thousand connections has some 400 kB. */
export const MAX_TEXT = 4 * 1024 * 1024;
const PIECE = 64 * 1024;
/** Between two looks at an input that has nothing yet and must not be waited for. */
const LOOK_MS = 10;
const STANDARD_INPUT = 0;

/** Means standard input where a file is named. */
export const INPUT_NAME = '-';

/**
 * The text of a file in UTF-8, or of standard input for `-`. An error is the rest of a sentence that begins with the
 * file's name and says what to do.
 */
export function readTextFile(path: string): Result<string, string> {
  if (path === INPUT_NAME) return readFrom(STANDARD_INPUT);
  let handle: number;
  try {
    handle = openSync(path, constants.O_RDONLY);
  } catch (error) {
    return err(openProblem(error as NodeJS.ErrnoException));
  }
  try {
    if (fstatSync(handle).isDirectory()) return err('is a folder: name a file in it');
    return readFrom(handle);
  } finally {
    closeSync(handle);
  }
}

function readFrom(handle: number): Result<string, string> {
  const pieces: Buffer[] = [];
  let length = 0;
  while (length <= MAX_TEXT) {
    const piece = Buffer.allocUnsafe(PIECE);
    let read: number;
    try {
      read = readPiece(handle, piece);
    } catch (error) {
      return err(`cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`);
    }
    if (read === 0) return textOf(Buffer.concat(pieces));
    pieces.push(piece.subarray(0, read));
    length += read;
  }
  return err(`is longer than ${MAX_TEXT} octets, the most that are read: is it the right file?`);
}

/** Standard input may be set not to wait, by another process that has it open. */
function readPiece(handle: number, into: Buffer): number {
  for (;;) {
    try {
      return readSync(handle, into, 0, into.length, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EOF') return 0;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOOK_MS);
    }
  }
}

function textOf(octets: Buffer): Result<string, string> {
  const [first = 0, second = 0] = octets;
  const isWide = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  if (isWide) return err('is in UTF-16: save it as UTF-8');
  if (octets.includes(0))
    return err('holds octets of value zero, so it is no text in UTF-8: is it the right file?');
  try {
    return ok(new TextDecoder('utf-8', { fatal: true }).decode(octets));
  } catch {
    return err('is not in UTF-8: save it as UTF-8');
  }
}

function openProblem({ code }: NodeJS.ErrnoException): string {
  switch (code) {
    case 'ENOENT':
      return 'is not there';
    case 'EACCES':
    case 'EPERM':
      return 'may not be read by this user: change its mode or owner';
    default:
      return `cannot be opened (${code ?? 'unknown error'})`;
  }
}
