import { randomBytes } from 'node:crypto';
import type { Random } from '../../util/random.js';

/** The kernel's generator, by way of OpenSSL. */
export const systemRandom: Random = {
  bytes: (length) => Uint8Array.from(randomBytes(length)),
};
