import { equalBytes } from '../../util/bytes.js';
import { decodeMessage } from '../../wire/ike/message.js';
import type { Payload } from '../../wire/ike/payloads.js';
import { noteQuirk } from '../quirks.js';
import type { IkeSa } from './ike-sa.js';
import type { Inbound, World } from './world.js';

/**
 * The last request once more, encrypted again: a repetition has to be the same octets (RFC 7296 §2.1), but some peers
 * seal it again. Only one that is authentic and says the same is one.
 */
export function isEncryptedAnew(world: World, sa: IkeSa, message: Inbound): boolean {
  const text = textOf(sa, message.datagram.bytes, message.payloads);
  if (text === undefined) return false;
  const { lastRequest } = sa.inbound;
  if (lastRequest === undefined) return false;
  const before = decodeMessage(lastRequest);
  if (!before.ok || before.value.header.exchangeType !== message.header.exchangeType) return false;
  const known = textOf(sa, lastRequest, before.value.payloads);
  if (known === undefined || !equalBytes(known, text)) return false;
  noteQuirk(world.ctx, sa, 'reencrypted_request');
  return true;
}

/** The decrypted text of an authentic message in one piece. */
function textOf(sa: IkeSa, bytes: Uint8Array, payloads: readonly Payload[]): Uint8Array | undefined {
  const sealed = payloads[payloads.length - 1];
  if (sealed?.kind !== 'sk' || sa.protection === undefined) return undefined;
  const text = sa.protection.openText(bytes, sealed);
  return text.ok ? text.value : undefined;
}
