import {
  chmodSync,
  closeSync,
  fchmodSync,
  fstatSync,
  mkdirSync,
  openSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { KeyLine } from '../telemetry/capture/wireshark-keys.js';
import { CliError, messageOf } from './errors.js';

/** In place of a path: standard output, for `wireshark -k -i -`. */
export const STDOUT = '-';

/** Where a capture goes. Other users cannot read it: inner packets may be in it. */
export class CaptureOutput {
  readonly #path: string;
  readonly #fd: number | undefined;

  /** @throws CliError when the file cannot be made */
  constructor(path: string) {
    this.#path = path;
    if (path === STDOUT) return;
    try {
      this.#fd = openSync(path, 'w', 0o600);
      // One that was there keeps its mode, and it may be a device or a pipe.
      if (fstatSync(this.#fd).isFile()) fchmodSync(this.#fd, 0o600);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** @throws CliError when the disk is full, for example */
  write(octets: Uint8Array): void {
    if (this.#fd === undefined) {
      process.stdout.write(octets);
      return;
    }
    try {
      for (let at = 0; at < octets.length; ) at += writeSync(this.#fd, octets, at);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
  }

  #failure(error: unknown): CliError {
    return new CliError(`the capture file ${this.#path} cannot be written: ${messageOf(error)}`);
  }
}

/** What Wireshark has to be set to besides the keys. */
const PREFERENCES = [
  'esp.enable_encryption_decode: TRUE',
  'esp.enable_authentication_check: TRUE',
  'isakmp.reassemble: TRUE',
].join('\n');

const TABLES: readonly KeyLine['table'][] = ['ikev1_decryption_table', 'ikev2_decryption_table', 'esp_sa'];

/** A folder of Wireshark's configuration with the tables of keys, for this user alone. */
export class KeyFolder {
  readonly path: string;

  /** @throws CliError when it cannot be made */
  constructor(path: string) {
    this.path = path;
    this.#write(() => {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      chmodSync(path, 0o700);
      for (const table of TABLES) writeFileSync(join(path, table), '', { mode: 0o600 });
      writeFileSync(join(path, 'preferences'), `${PREFERENCES}\n`, { mode: 0o600 });
    });
  }

  /** @throws CliError */
  add(lines: readonly KeyLine[]): void {
    this.#write(() => {
      for (const { table, line } of lines) writeFileSync(join(this.path, table), `${line}\n`, { flag: 'a' });
    });
  }

  #write(step: () => void): void {
    try {
      step();
    } catch (error) {
      throw new CliError(`the folder ${this.path} for the keys cannot be written: ${messageOf(error)}`);
    }
  }
}
