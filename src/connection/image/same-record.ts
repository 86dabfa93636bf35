import { equalBytes } from '../../util/bytes.js';
import { SecretKey } from '../../util/secret.js';

/** What changes with every packet of the peer, and goes to who holds an image by marks. */
const VOLATILE = new Set(['lastInbound']);

/**
 * Whether two records say the same, keys aside: those of an IKE SA never change, and those of an exchange change with
 * its message id.
 */
export function sameRecords(a: unknown, b: unknown): boolean {
  if (a === b || (typeof a === 'number' && Number.isNaN(a) && Number.isNaN(b))) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (a instanceof SecretKey || b instanceof SecretKey)
    return a instanceof SecretKey && b instanceof SecretKey && a.length === b.length;
  if (a instanceof Uint8Array || b instanceof Uint8Array)
    return a instanceof Uint8Array && b instanceof Uint8Array && equalBytes(a, b);
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [ours, theirs] = [a as Readonly<Record<string, unknown>>, b as Readonly<Record<string, unknown>>];
  const names = Object.keys(ours);
  if (names.length !== Object.keys(theirs).length) return false;
  return names.every(
    (name) => VOLATILE.has(name) || (name in theirs && sameRecords(ours[name], theirs[name])),
  );
}
