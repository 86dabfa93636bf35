import { dirname, resolve } from 'node:path';
import type { ConnectionId } from '../util/ids.js';
import { err, ok, type Result } from '../util/result.js';
import { SecretKey } from '../util/secret.js';
import type { ConfigError } from './config-error.js';
import type { GatewayFile } from './model.js';
import { decodePsk, type PskEncoding } from './psk-encoding.js';
import { PSK_LENGTH } from './psk-rule.js';
import { exposure, readSecretFile } from './secret-file.js';

/** A key of the longest kind in UTF-8 with room for a line end. */
const MAX_OCTETS = 4 * PSK_LENGTH.max + 2;

/**
 * The pre-shared keys by connection id: those in the file itself, and those that `psk_file` names, relative
 * to the folder of the configuration file. One line end after a key is no part of it. A key file that its
 * group or others may read is refused. The caller owns the keys and wipes them.
 */
export function readPsks(file: GatewayFile): Result<Map<ConnectionId, SecretKey>, ConfigError[]> {
  const keys = new Map<ConnectionId, SecretKey>();
  /** By the name of the file: many connections may name one. */
  const faults = new Map<string, { readonly index: number; readonly message: string; others: number }>();
  for (const [index, { id, psk }] of file.connections.entries()) {
    if (psk.kind === 'inline') {
      keys.set(id, psk.key.clone());
      continue;
    }
    const place = `${psk.encoding} ${psk.path}`;
    const known = faults.get(place);
    if (known !== undefined) {
      known.others++;
      continue;
    }
    const read = readKeyFile(resolve(dirname(file.source), psk.path), psk.encoding);
    if (read.ok) keys.set(id, read.value);
    else faults.set(place, { index, message: `"${psk.path}" ${read.error}`, others: 0 });
  }
  if (faults.size === 0) return ok(keys);
  for (const key of keys.values()) key.wipe();
  const errors = [...faults.values()].map(({ index, message, others }): ConfigError => {
    const same = others === 0 ? '' : ` (the same for ${others} more)`;
    return { path: `connections[${index}].psk_file`, message: `${message}${same}` };
  });
  return err(errors);
}

/** What is to be said of a configuration file with keys in it that others can read; undefined when there is nothing. */
export function exposedKeys({ source, connections }: GatewayFile): string | undefined {
  if (!connections.some(({ psk }) => psk.kind === 'inline')) return undefined;
  const exposed = exposure(source);
  return exposed === undefined
    ? undefined
    : `the file ${source} holds pre-shared keys and ${exposed}, or name files of their own with psk_file`;
}

function readKeyFile(path: string, encoding: PskEncoding): Result<SecretKey, string> {
  const read = readSecretFile(path, MAX_OCTETS, `a key of ${PSK_LENGTH.max} characters`);
  if (!read.ok) return read;
  try {
    const octets = decodePsk(withoutLineEnd(read.value), encoding);
    return octets.ok ? ok(new SecretKey(octets.value)) : octets;
  } finally {
    read.value.fill(0);
  }
}

function withoutLineEnd(octets: Buffer): string {
  let end = octets.length;
  if (end > 0 && octets[end - 1] === 0x0a) end -= end > 1 && octets[end - 2] === 0x0d ? 2 : 1;
  return octets.toString('utf8', 0, end);
}
