import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { err, ok, type Result } from '../util/result.js';
import { SecretKey } from '../util/secret.js';
import type { ConfigError } from './config-error.js';
import type { GatewayFile } from './model.js';
import { PSK_LENGTH, pskProblem } from './psk-rule.js';

/** A key of the longest kind in UTF-8 with room for a line end, and more to tell that it is too long. */
const MOST_OCTETS = 4 * PSK_LENGTH.max + 2;
/** Read or written by group or others. */
const OPEN_MODE = 0o077;

/**
 * The pre-shared keys by connection name: those in the file itself, and those that `psk_file` names, relative
 * to the folder of the configuration file. One line end behind a key is no part of it. A key file that its
 * group or others may read is refused. The caller owns the keys and wipes them.
 */
export function readPsks(file: GatewayFile): Result<Map<string, SecretKey>, ConfigError[]> {
  const keys = new Map<string, SecretKey>();
  const errors: ConfigError[] = [];
  for (const [index, { name, psk }] of file.connections.entries()) {
    if (psk.kind === 'inline') {
      keys.set(name, psk.key.clone());
      continue;
    }
    const read = readKeyFile(resolve(dirname(file.source), psk.path));
    if (read.ok) keys.set(name, read.value);
    else errors.push({ path: `connections[${index}].psk_file`, message: `"${psk.path}" ${read.error}` });
  }
  if (errors.length === 0) return ok(keys);
  for (const key of keys.values()) key.wipe();
  return err(errors);
}

function readKeyFile(path: string): Result<SecretKey, string> {
  let handle: number;
  try {
    // Opening a FIFO must not wait for a writer.
    handle = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    return err(openProblem(error as NodeJS.ErrnoException));
  }
  const buffer = Buffer.alloc(MOST_OCTETS + 1);
  try {
    const { mode } = fstatSync(handle);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) return err('is no plain file');
    if ((mode & OPEN_MODE) !== 0) {
      const octal = (mode & 0o777).toString(8).padStart(3, '0');
      return err(`may be used by others (mode ${octal}): run chmod 600 on it`);
    }
    return keyOf(buffer.subarray(0, readSync(handle, buffer, 0, buffer.length, 0)));
  } catch (error) {
    return err(`cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`);
  } finally {
    closeSync(handle);
    buffer.fill(0);
  }
}

function keyOf(octets: Buffer): Result<SecretKey, string> {
  if (octets.length > MOST_OCTETS) return err(`is longer than a key of ${PSK_LENGTH.max} characters can be`);
  let end = octets.length;
  if (end > 0 && octets[end - 1] === 0x0a) end -= end > 1 && octets[end - 2] === 0x0d ? 2 : 1;
  const problem = pskProblem(octets.toString('utf8', 0, end));
  return problem === undefined
    ? ok(new SecretKey(Uint8Array.from(octets.subarray(0, end))))
    : err(`${problem}`);
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
