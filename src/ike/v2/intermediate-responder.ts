import { encodePayloads } from '../../wire/ike/message.js';
import type { Payload } from '../../wire/ike/payloads.js';
import { NotifyType, nameOf } from '../../wire/ike/registry.js';
import { plainOctets } from '../../wire/ike/v2/plain.js';
import { exactlyOne } from '../payloads.js';
import { failure } from '../sa/failures.js';
import { completeKeys } from './auth-responder.js';
import { failSa } from './close.js';
import type { IkeSaIn } from './ike-sa.js';
import { nextIntAuth } from './int-auth.js';
import { keysAfter } from './keys.js';
import { notify } from './payloads.js';
import { respond } from './send.js';
import type { Inbound, World } from './world.js';

/**
 * HDR, SK {KEi(n)}: one more key exchange before the initiator says who it is (RFC 9370 §2.2.2). The answer still leaves
 * under the keys that the request came under.
 */
export function intermediateRequested(world: World, sa: IkeSaIn<'init-answered'>, message: Inbound): void {
  const { crypto, random } = world.ctx;
  const { phase } = sa;
  const keyed = completeKeys(world, sa);
  const method = phase.left[0];
  if (keyed === undefined || method === undefined) return;
  const ke = exactlyOne(message.payloads, 'ke')?.ke;
  const request = message.text && plainOctets(message.datagram.bytes, message.text);
  if (ke?.group !== method || request === undefined) {
    const why = `the peer sent IKE_INTERMEDIATE without exactly one KE payload, of ${nameOf('dh', method)}`;
    refuse(world, sa, message, why);
    return;
  }
  const answered = crypto.keyExchange(method).answer(random, ke.data);
  if (!answered.ok) {
    refuse(world, sa, message, answered.error.message);
    return;
  }
  const { publicValue, shared } = answered.value;
  const payloads: Payload[] = [{ kind: 'ke', group: method, data: publicValue }];
  const [sent] = respond(world, sa, message, payloads);
  const response = sent && plainOctets(sent, encodePayloads(payloads).bytes);
  if (response === undefined)
    throw new Error('an answer that is protected begins with its encrypted payload');
  phase.intAuth = nextIntAuth(world, keyed, phase.intAuth, { request, response });
  phase.keyed = keysAfter(world, sa, keyed, shared);
  phase.left = phase.left.slice(1);
}

function refuse(world: World, sa: IkeSaIn<'init-answered'>, message: Inbound, why: string): void {
  respond(world, sa, message, [notify(NotifyType.INVALID_SYNTAX)]);
  failSa(world, sa, failure('invalid_syntax', why, 'IKE_INTERMEDIATE'), 'answer-repetitions');
}
