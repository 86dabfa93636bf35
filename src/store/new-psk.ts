import { randomBytes } from 'node:crypto';
import { pskWeakness } from '../crypto/psk-strength.js';
import { utf8 } from '../util/bytes.js';
import { PSK_LENGTH, pskProblem } from './psk-rule.js';

/** Random octets that a new key may be made of: four of its characters encode three. */
export const PSK_BYTES = { min: 12, max: (PSK_LENGTH.max / 4) * 3 } as const;

/**
 * A new pre-shared key: base64url (RFC 4648 §5), whose characters the API and most peers take. It does not begin with
 * a hyphen either, which command lines would take for an option. `random` is for tests.
 */
export function newPsk(bytes: number, random: (length: number) => Buffer = randomBytes): string {
  for (;;) {
    const octets = random(bytes);
    const psk = octets.toString('base64url');
    octets.fill(0);
    if (!psk.startsWith('-') && pskProblem(psk) === undefined && pskWeakness(utf8(psk)) === undefined)
      return psk;
  }
}
