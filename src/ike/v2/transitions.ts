import { ExchangeType, NotifyType, nameOf } from '../../wire/ike/registry.js';
import { drop } from '../sa/world.js';
import { authRequested } from './auth-responder.js';
import { createChildRequested, refuseForNow } from './create-child-responder.js';
import { answered, answeredWhileDeleting, authenticated, exchangedKeys } from './exchanges.js';
import { followupRequested } from './followup-responder.js';
import type { IkeSa, IkeSaIn } from './ike-sa.js';
import { informed, informedWhileDeleting } from './informational.js';
import { initAnswered } from './init-initiator.js';
import { intermediateRequested } from './intermediate-responder.js';
import { notify } from './payloads.js';
import type { IkeSaState } from './phases.js';
import { respond } from './send.js';
import type { Inbound, World } from './world.js';

/** Exchanges of IKEv2 that Culvert speaks, by direction (RFC 7296 §3.1). */
export const MESSAGE_KINDS = [
  'IKE_SA_INIT request',
  'IKE_SA_INIT response',
  'IKE_INTERMEDIATE request',
  'IKE_INTERMEDIATE response',
  'IKE_AUTH request',
  'IKE_AUTH response',
  'CREATE_CHILD_SA request',
  'CREATE_CHILD_SA response',
  'IKE_FOLLOWUP_KE request',
  'IKE_FOLLOWUP_KE response',
  'INFORMATIONAL request',
  'INFORMATIONAL response',
  'other request',
  'other response',
] as const;

/** An exchange and its direction, as the table of transitions distinguishes them. */
export type MessageKind = (typeof MESSAGE_KINDS)[number];

/** What is done with a message by an SA in one of the phases `At`. */
export type Handler<At extends IkeSaState> = (world: World, sa: IkeSaIn<At>, message: Inbound) => void;

/** The same whatever the phase. */
type AnyHandler = (world: World, sa: IkeSa, message: Inbound) => void;

/** The kind of a message, by the header alone. */
export function kindOf(exchangeType: number, response: boolean): MessageKind {
  const direction = response ? 'response' : 'request';
  switch (exchangeType) {
    case ExchangeType.IKE_SA_INIT:
      return `IKE_SA_INIT ${direction}`;
    case ExchangeType.IKE_INTERMEDIATE:
      return `IKE_INTERMEDIATE ${direction}`;
    case ExchangeType.IKE_AUTH:
      return `IKE_AUTH ${direction}`;
    case ExchangeType.CREATE_CHILD_SA:
      return `CREATE_CHILD_SA ${direction}`;
    case ExchangeType.IKE_FOLLOWUP_KE:
      return `IKE_FOLLOWUP_KE ${direction}`;
    case ExchangeType.INFORMATIONAL:
      return `INFORMATIONAL ${direction}`;
    default:
      return `other ${direction}`;
  }
}

/** It has no place in this state, and no answer would help: left to the sender's retransmission. */
const unexpected: AnyHandler = (world, sa, message) => {
  const name = nameOf('exchange', message.header.exchangeType);
  const direction = message.header.response ? 'response' : 'request';
  drop(world, message.datagram, 'unexpected', `${name} ${direction} in state ${sa.state}`);
};

/** An authentic request that this end cannot serve gets an answer, else the peer would take us for dead. */
const refused: AnyHandler = (world, sa, message) => {
  respond(world, sa, message, [notify(NotifyType.INVALID_SYNTAX)]);
};

/** What it continues with was dropped when another IKE SA took over or this one was to end (RFC 9370 §2.2.4). */
const stateless: AnyHandler = (world, sa, message) => {
  respond(world, sa, message, [notify(NotifyType.STATE_NOT_FOUND)]);
};

const ALL_UNEXPECTED: Readonly<Record<MessageKind, AnyHandler>> = {
  'IKE_SA_INIT request': unexpected,
  'IKE_SA_INIT response': unexpected,
  'IKE_INTERMEDIATE request': unexpected,
  'IKE_INTERMEDIATE response': unexpected,
  'IKE_AUTH request': unexpected,
  'IKE_AUTH response': unexpected,
  'CREATE_CHILD_SA request': unexpected,
  'CREATE_CHILD_SA response': unexpected,
  'IKE_FOLLOWUP_KE request': unexpected,
  'IKE_FOLLOWUP_KE response': unexpected,
  'INFORMATIONAL request': unexpected,
  'INFORMATIONAL response': unexpected,
  'other request': unexpected,
  'other response': unexpected,
};

/**
 * What happens to a message, by the phase of its IKE SA: a handler is only offered an SA in the phase it names. All messages but those of IKE_SA_INIT are authentic
 * and fresh when they come here; a response answers the exchange under way. First requests make an SA and are
 * not in the table (`initRequested`).
 */
export const TRANSITIONS: {
  readonly [At in IkeSaState]: Readonly<Record<MessageKind, Handler<At>>>;
} = {
  'init-sent': { ...ALL_UNEXPECTED, 'IKE_SA_INIT response': initAnswered },
  'init-answered': {
    ...ALL_UNEXPECTED,
    'IKE_INTERMEDIATE request': intermediateRequested,
    'IKE_AUTH request': authRequested,
  },
  'intermediate-sent': { ...ALL_UNEXPECTED, 'IKE_INTERMEDIATE response': exchangedKeys },
  'auth-sent': { ...ALL_UNEXPECTED, 'IKE_AUTH response': authenticated },
  established: {
    ...ALL_UNEXPECTED,
    'IKE_INTERMEDIATE request': refused,
    'IKE_AUTH request': refused,
    'CREATE_CHILD_SA request': createChildRequested,
    'CREATE_CHILD_SA response': answered,
    'IKE_FOLLOWUP_KE request': followupRequested,
    'IKE_FOLLOWUP_KE response': answered,
    'INFORMATIONAL request': informed,
    'INFORMATIONAL response': answered,
    'other request': refused,
  },
  rekeyed: {
    ...ALL_UNEXPECTED,
    'IKE_INTERMEDIATE request': refused,
    'IKE_AUTH request': refused,
    'CREATE_CHILD_SA request': refuseForNow,
    'CREATE_CHILD_SA response': answered,
    'IKE_FOLLOWUP_KE request': stateless,
    'IKE_FOLLOWUP_KE response': answered,
    'INFORMATIONAL request': informed,
    'INFORMATIONAL response': answered,
    'other request': refused,
  },
  deleting: {
    ...ALL_UNEXPECTED,
    'IKE_INTERMEDIATE request': refused,
    'IKE_AUTH request': refused,
    'IKE_AUTH response': answeredWhileDeleting,
    'CREATE_CHILD_SA request': refuseForNow,
    'CREATE_CHILD_SA response': answeredWhileDeleting,
    'IKE_FOLLOWUP_KE request': stateless,
    'IKE_FOLLOWUP_KE response': answeredWhileDeleting,
    'INFORMATIONAL request': informedWhileDeleting,
    'INFORMATIONAL response': answeredWhileDeleting,
    'other request': refused,
  },
  gone: ALL_UNEXPECTED,
};

/** Has a message handled by the phase of its SA. */
export function dispatch(world: World, sa: IkeSa, message: Inbound): void {
  const { exchangeType, response } = message.header;
  // The SA is in the phase that the row is for: this is the one place where the compiler cannot see it.
  const row = TRANSITIONS[sa.state] as Readonly<Record<MessageKind, AnyHandler>>;
  row[kindOf(exchangeType, response)](world, sa, message);
}
