import type { CryptoBackend, DhExchange } from '../../crypto/types.js';
import type { SecretKey } from '../../util/secret.js';

/** One side of a Diffie-Hellman exchange that is under way, as data. */
export interface DhRecord {
  readonly group: number;
  readonly privateValue: SecretKey;
}

/** The private value is a copy. @throws Error when the exchange is over */
export function exportDh(dh: DhExchange): DhRecord {
  return { group: dh.group, privateValue: dh.exportPrivate() };
}

/** Goes on with it. @throws RangeError for a group that the backend does not have */
export function restoreDh(crypto: CryptoBackend, { group, privateValue }: DhRecord): DhExchange {
  return crypto.keyExchange(group).restore(privateValue);
}
