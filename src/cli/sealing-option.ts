import type { Options } from 'yargs';
import type { Sealer } from '../store/sealing.js';
import { CliError, messageOf } from './errors.js';

/** `--sealing-key-file`, which backups have. */
export const sealingOption = {
  type: 'string',
  requiresArg: true,
  describe:
    'File with the key that seals the pre-shared keys: 32 octets from "openssl rand -hex 32", mode 0600',
} as const satisfies Options;

/** @throws CliError */
export async function readSealer(path: string): Promise<Sealer> {
  const { createSealer, readSealingKey } = await import('../store/sealing.js');
  try {
    return createSealer(readSealingKey(path));
  } catch (error) {
    const { remedy } = error as { readonly remedy?: string };
    throw new CliError(remedy === undefined ? messageOf(error) : `${messageOf(error)}; ${remedy}`);
  }
}
