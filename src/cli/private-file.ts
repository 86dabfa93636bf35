import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CliError, messageOf } from './errors.js';

/**
 * Writes a file that no other user can read. It is whole or not there: what had the name before stays until the new
 * text is on the disk. A device or a pipe is written to as it is. @throws CliError
 */
export function writePrivate(path: string, text: string): void {
  try {
    const target = existing(path);
    if (target !== undefined && !target.isFile) writeFileSync(path, text);
    else replaceFile(target?.path ?? path, text);
  } catch (error) {
    throw new CliError(`the file ${path} cannot be written: ${messageOf(error)}`);
  }
}

/** What the path leads to, through symbolic links. */
function existing(path: string): { readonly path: string; readonly isFile: boolean } | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? undefined : { path: realpathSync(path), isFile: stats.isFile() };
}

function replaceFile(path: string, text: string): void {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  const handle = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    try {
      writeFileSync(handle, text);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
