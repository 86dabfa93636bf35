import type { ConfigError } from '../../store/config-error.js';
import { readGatewayFile } from '../../store/gateway-file.js';
import { readPsks } from '../../store/psk.js';
import { readTextFile } from '../../store/text-file.js';
import { err, ok, type Result } from '../../util/result.js';
import { FreshConfig } from './fresh-config.js';

/** Reads the file at `path`, and the key files it names. */
export function rereadFile(path: string): Result<FreshConfig, readonly ConfigError[]> {
  const text = readTextFile(path);
  if (!text.ok) return err([{ path: '', message: `the file ${path} ${text.error}` }]);
  const file = readGatewayFile(text.value, path);
  if (!file.ok) return file;
  const psks = readPsks(file.value);
  return psks.ok ? ok(new FreshConfig({ file: file.value, psks: psks.value })) : psks;
}
