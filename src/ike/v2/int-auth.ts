import { concat, writeU32 } from '../../util/bytes.js';
import type { SecretKey } from '../../util/secret.js';
import type { IntAuth, Keyed } from './phases.js';
import type { World } from './world.js';

/** The messages of one exchange as `plainOctets` has them. */
export interface PlainExchange {
  readonly request: Uint8Array;
  readonly response: Uint8Array;
}

/**
 * IntAuth after one more exchange. `keyed` are the keys that protected it: those that it leads to are not known to the
 * one who sends the request.
 */
export function nextIntAuth(
  world: World,
  { suite, keys }: Keyed,
  before: IntAuth | undefined,
  { request, response }: PlainExchange,
): IntAuth {
  const prf = world.ctx.crypto.prf(suite.prf);
  const next = (key: SecretKey, last: Uint8Array | undefined, octets: Uint8Array): Uint8Array =>
    last === undefined ? prf.compute(key.expose(), octets) : prf.compute(key.expose(), last, octets);
  return {
    initiator: next(keys.skPi, before?.initiator, request),
    responder: next(keys.skPr, before?.responder, response),
    exchanges: (before?.exchanges ?? 0) + 1,
  };
}

/** IntAuth = IntAuth_iN | IntAuth_rN | IKE_AUTH_MID; the last is the message id of IKE_AUTH. */
export function intAuthOctets({ initiator, responder, exchanges }: IntAuth): Uint8Array {
  const messageId = new Uint8Array(4);
  // IKE_SA_INIT has 0, and each exchange that follows one more (RFC 7296 §2.2).
  writeU32(messageId, 0, exchanges + 1);
  return concat(initiator, responder, messageId);
}
