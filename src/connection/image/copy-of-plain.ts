import { SecretKey } from '../../util/secret.js';

/**
 * A plain value once more, with octets and keys of its own: objects, lists, numbers, texts, octets and keys, however
 * deep.
 */
export function copyOfPlain<T>(value: T): T {
  return copied(value) as T;
}

function copied(value: unknown): unknown {
  if (value instanceof SecretKey) return value.clone();
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copied);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, copied(one)]));
}
