import { fromHex, fromUtf8, readU32, toHex, utf8, writeU32 } from '../../util/bytes.js';
import { err, ok, type Result } from '../../util/result.js';
import { SecretKey } from '../../util/secret.js';
import type { ByteCount } from '../../util/units.js';
import type { ImageUpdate } from './changes.js';

/** Octets of an update, at most: some hundred child SAs, or a backlog of which nothing good can come. */
const MAX_UPDATE: ByteCount = 4 * 2 ** 20;

/** What JSON has no form for, as an object with this one field. */
const TAG = '$';

/**
 * An update as octets for the stream between two hosts: length of the JSON (u32, big-endian) | JSON | keys one after the
 * other. Keys are not in the JSON, so that they never become texts, which nothing can wipe: the caller wipes the octets.
 */
export function encodeUpdate(update: ImageUpdate): Uint8Array {
  const keys: SecretKey[] = [];
  const json = utf8(JSON.stringify(plain(update, keys)));
  const out = new Uint8Array(4 + json.length + keys.reduce((sum, key) => sum + key.length, 0));
  writeU32(out, 0, json.length);
  out.set(json, 4);
  let at = 4 + json.length;
  for (const key of keys) {
    out.set(key.expose(), at);
    at += key.length;
  }
  return out;
}

/** The update in such octets; its keys are copies. Fails with what is wrong. */
export function decodeUpdate(bytes: Uint8Array): Result<ImageUpdate, string> {
  if (bytes.length > MAX_UPDATE) return err(`${bytes.length} octets: an update has at most ${MAX_UPDATE}`);
  if (bytes.length < 4 || readU32(bytes, 0) > bytes.length - 4) return err('an update that is cut off');
  const end = 4 + readU32(bytes, 0);
  const made: SecretKey[] = [];
  try {
    const read = unplain(JSON.parse(fromUtf8(bytes.subarray(4, end))), { bytes, at: end, made });
    const fault = faultOf(read);
    if (fault === undefined) return ok(read as ImageUpdate);
    for (const key of made) key.wipe();
    return err(fault);
  } catch (error) {
    for (const key of made) key.wipe();
    return err(`an update that cannot be read: ${(error as Error).message}`);
  }
}

/** Both hosts run the same program: what is in a change is looked at by who adopts it. */
function faultOf(read: unknown): string | undefined {
  const { n, changes } = (read ?? {}) as { readonly n?: unknown; readonly changes?: unknown };
  if (!Number.isSafeInteger(n) || (n as number) < 1) return 'an update without a number';
  if (!Array.isArray(changes)) return 'an update without changes';
  const unknown = changes.find(
    (one) => !KINDS.includes((one as { readonly kind?: never } | null)?.kind ?? ''),
  );
  return unknown === undefined ? undefined : 'an update with a change of unknown kind';
}

const KINDS: readonly string[] = [
  'connection',
  'child',
  'active',
  'child-gone',
  'moved',
  'expected',
  'not-expected',
  'reserved',
  'marks',
] satisfies ImageUpdate['changes'][number]['kind'][];

function plain(value: unknown, keys: SecretKey[]): unknown {
  if (value instanceof SecretKey) {
    keys.push(value);
    return { [TAG]: value.length };
  }
  if (value instanceof Uint8Array) return { [TAG]: toHex(value) };
  if (typeof value === 'number' && !Number.isFinite(value)) return { [TAG]: null, sign: Math.sign(value) };
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => plain(one, keys));
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one, keys)]));
}

interface KeyReader {
  readonly bytes: Uint8Array;
  at: number;
  readonly made: SecretKey[];
}

function unplain(value: unknown, reader: KeyReader): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((one) => unplain(one, reader));
  if (TAG in value) return tagged(value as { readonly [TAG]: unknown }, reader);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, unplain(one, reader)]));
}

function tagged(value: { readonly [TAG]: unknown; readonly sign?: unknown }, reader: KeyReader): unknown {
  const content = value[TAG];
  if (typeof content === 'string') return fromHex(content);
  if (content === null) return value.sign === -1 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const { bytes, at } = reader;
  const length = Number(content);
  if (!Number.isInteger(length) || length < 0 || at + length > bytes.length)
    throw new RangeError('keys are missing');
  reader.at += length;
  const key = new SecretKey(bytes.slice(at, at + length));
  reader.made.push(key);
  return key;
}
