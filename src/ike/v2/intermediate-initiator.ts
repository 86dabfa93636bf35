import { encodePayloads } from '../../wire/ike/message.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType, nameOf } from '../../wire/ike/registry.js';
import { plainOctets } from '../../wire/ike/v2/plain.js';
import type { Failure } from '../events.js';
import { exactlyOne } from '../payloads.js';
import { failure } from '../sa/failures.js';
import { refuseAnswer } from './answers.js';
import type { IkeSaIn } from './ike-sa.js';
import { nextIntAuth } from './int-auth.js';
import { keysAfter } from './keys.js';
import { findError } from './payloads.js';
import { sendRequest } from './send.js';
import type { IntermediateExchange } from './tasks.js';
import type { Inbound, World } from './world.js';

/** HDR, SK {KEi(n)}: the next additional key exchange (RFC 9370 §2.2.2). */
export function sendIntermediate(world: World, sa: IkeSaIn<'intermediate-sent'>): void {
  const { crypto, random, limits } = world.ctx;
  const method = sa.phase.left[0];
  if (method === undefined) throw new Error('no additional key exchange is left to be made');
  const dh = crypto.keyExchange(method).begin(random);
  const payloads = [kePayload(dh)];
  sendRequest(
    world,
    sa,
    { kind: 'intermediate', dh },
    ExchangeType.IKE_INTERMEDIATE,
    payloads,
    limits.retransmit,
  );
}

function kePayload({ group, publicValue }: IntermediateExchange['dh']): Payload {
  return { kind: 'ke', group, data: publicValue };
}

/** HDR, SK {KEr(n)}, or an error. `sent` are the datagrams of the request. */
export function intermediateAnswered(
  world: World,
  sa: IkeSaIn<'intermediate-sent'>,
  { dh }: IntermediateExchange,
  sent: readonly Uint8Array[],
  message: Inbound,
): void {
  const error = findError(message.payloads);
  const ke = exactlyOne(message.payloads, 'ke')?.ke;
  const request = sent[0] && plainOctets(sent[0], encodePayloads([kePayload(dh)]).bytes);
  const response = message.text && plainOctets(message.datagram.bytes, message.text);
  if (ke?.group !== dh.group || request === undefined || response === undefined) {
    dh.wipe();
    refuseAnswer(world, sa, error === undefined ? unreadable(dh.group) : refused(error), false);
    return;
  }
  const shared = dh.agree(ke.data);
  if (!shared.ok) {
    refuseAnswer(world, sa, failure('invalid_syntax', shared.error.message, 'IKE_INTERMEDIATE'), false);
    return;
  }
  const { phase } = sa;
  const { link, negotiation, init, portProven } = phase;
  const common = {
    ...{ link, negotiation, init, portProven },
    intAuth: nextIntAuth(world, phase.keyed, phase.intAuth, { request, response }),
    keyed: keysAfter(world, sa, phase.keyed, shared.value),
  };
  const left = phase.left.slice(1);
  if (left.length > 0) {
    sa.moveTo({ at: 'intermediate-sent', left, ...common });
    sa.tasks.push({ kind: 'intermediate' });
  } else {
    sa.moveTo({ at: 'auth-sent', ...common });
    sa.tasks.push({ kind: 'auth' });
  }
}

function unreadable(method: number): Failure {
  const why = `the answer to IKE_INTERMEDIATE has not exactly one KE payload, of ${nameOf('dh', method)}`;
  return failure('invalid_syntax', why, 'IKE_INTERMEDIATE');
}

function refused(error: NotifyPayload): Failure {
  const notify = nameOf('notify', error.type);
  return {
    cause: error.type === NotifyType.INVALID_SYNTAX ? 'invalid_syntax' : 'unsupported',
    message: `the peer refused an additional key exchange with ${notify}`,
    details: { notify, exchange: 'IKE_INTERMEDIATE' },
  };
}
