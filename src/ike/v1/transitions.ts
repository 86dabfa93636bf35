import { equalBytes } from '../../util/bytes.js';
import type { V1Message, V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Exchange, v1NameOf } from '../../wire/ike/v1/registry.js';
import { drop } from '../sa/world.js';
import { waitLonger } from './children.js';
import { informational, informationalInClear, unprotected } from './informational.js';
import type { IsakmpSa, IsakmpSaIn, UpSa } from './isakmp-sa.js';
import { idAnswered, keAnswered, saAnswered } from './main-initiator.js';
import { repeatAnswer } from './main-offered.js';
import { idOffered, keOffered } from './main-responder.js';
import type { IsakmpState } from './phases.js';
import { quickAnswered } from './quick-initiator.js';
import { quickConfirmed, quickOffered } from './quick-responder.js';
import { routeOf, transmit } from './send.js';
import { transaction, UNSPOKEN } from './transaction.js';
import type { Inbound, World } from './world.js';

/** What happens to a message of one exchange: in the clear, and when it is encrypted. */
interface Handlers<Sa extends IsakmpSa> {
  readonly clear: (world: World, sa: Sa, message: Inbound) => void;
  readonly sealed: (world: World, sa: Sa, message: Inbound, sealed: V1Sealed) => void;
}

/** Exchanges that Culvert speaks (RFC 2408 §3.1, RFC 2409 §5). */
type Exchange = 'MAIN_MODE' | 'QUICK_MODE' | 'INFORMATIONAL' | 'TRANSACTION' | 'other';

type Row<Sa extends IsakmpSa> = Readonly<Record<Exchange, Handlers<Sa>>>;

const unexpectedMain = (world: World, sa: IsakmpSa, { datagram }: Inbound): void =>
  drop(world, datagram, 'unexpected', `a main mode message in state ${sa.state}`);

const unexpectedQuick = (world: World, sa: IsakmpSa, { datagram }: Inbound): void =>
  drop(world, datagram, 'unexpected', `quick mode in state ${sa.state}`);

const bareQuick = (world: World, _sa: IsakmpSa, { datagram }: Inbound): void =>
  drop(world, datagram, 'unexpected', 'quick mode without encryption');

const keyless = (world: World, _sa: IsakmpSa, { datagram }: Inbound): void =>
  drop(world, datagram, 'unexpected', 'an encrypted informational exchange before there are keys');

const unspokenTransaction = (world: World, _sa: IsakmpSa, { datagram }: Inbound): void =>
  drop(world, datagram, 'unexpected', UNSPOKEN);

const unspoken = (world: World, _sa: IsakmpSa, { header, datagram }: Inbound): void => {
  const name = v1NameOf('exchange', header.exchangeType);
  drop(world, datagram, 'unexpected', `an exchange of type ${name}, which is not spoken here`);
};

const NOTHING_EXPECTED: Row<IsakmpSa> = {
  MAIN_MODE: { clear: unexpectedMain, sealed: unexpectedMain },
  QUICK_MODE: { clear: bareQuick, sealed: unexpectedQuick },
  INFORMATIONAL: { clear: unprotected, sealed: keyless },
  TRANSACTION: { clear: unspokenTransaction, sealed: unspokenTransaction },
  other: { clear: unspoken, sealed: unspoken },
};

const UP: Row<UpSa> = {
  ...NOTHING_EXPECTED,
  QUICK_MODE: { clear: bareQuick, sealed: quickMode },
  INFORMATIONAL: { clear: unprotected, sealed: informational },
  TRANSACTION: { clear: unspokenTransaction, sealed: transaction },
};

/**
 * What happens to a message, by the phase of its SA: a handler is offered the phases that it names, and no others.
 * Message 1 of main mode makes an SA and is not in the table (`saOffered`), nor is what the last message was repeated
 * for.
 */
export const TRANSITIONS: { readonly [At in IsakmpState]: Row<IsakmpSaIn<At>> } = {
  'sa-sent': {
    ...NOTHING_EXPECTED,
    MAIN_MODE: { clear: saAnswered, sealed: unexpectedMain },
    INFORMATIONAL: { clear: informationalInClear, sealed: keyless },
  },
  'ke-sent': {
    ...NOTHING_EXPECTED,
    MAIN_MODE: { clear: keAnswered, sealed: unexpectedMain },
    INFORMATIONAL: { clear: informationalInClear, sealed: keyless },
  },
  'id-sent': {
    ...NOTHING_EXPECTED,
    MAIN_MODE: { clear: unexpectedMain, sealed: idAnswered },
    INFORMATIONAL: { clear: informationalInClear, sealed: informational },
  },
  'sa-answered': { ...NOTHING_EXPECTED, MAIN_MODE: { clear: keOffered, sealed: unexpectedMain } },
  'ke-answered': { ...NOTHING_EXPECTED, MAIN_MODE: { clear: unexpectedMain, sealed: idOffered } },
  established: UP,
  superseded: UP,
  closing: { ...NOTHING_EXPECTED, INFORMATIONAL: { clear: unprotected, sealed: informational } },
  gone: NOTHING_EXPECTED,
};

/** Hands a message of an SA to what its phase has for it. */
export function dispatch(world: World, sa: IsakmpSa, message: Inbound & V1Message): void {
  const { header, datagram, sealed } = message;
  const exchange = exchangeOf(header.exchangeType);
  if (exchange === 'MAIN_MODE') {
    if (repeatAnswer(world, sa, datagram)) return;
    if (header.messageId !== 0) {
      drop(world, datagram, 'malformed', 'main mode with a message id');
      return;
    }
  }
  // The row is that of the phase which the SA is in.
  const handlers: Handlers<never> = TRANSITIONS[sa.state][exchange];
  if (sealed === undefined) handlers.clear(world, sa as never, message);
  else handlers.sealed(world, sa as never, message, sealed);
}

function exchangeOf(type: number): Exchange {
  switch (type) {
    case V1Exchange.MAIN_MODE:
      return 'MAIN_MODE';
    case V1Exchange.QUICK_MODE:
      return 'QUICK_MODE';
    case V1Exchange.INFORMATIONAL:
      return 'INFORMATIONAL';
    case V1Exchange.TRANSACTION:
      return 'TRANSACTION';
    default:
      return 'other';
  }
}

/** By the quick mode that it belongs to, each of which is a state machine of its own. */
function quickMode(world: World, sa: UpSa, message: Inbound, sealed: V1Sealed): void {
  const { datagram, header } = message;
  const quick = sa.phase.session.quicks.get(header.messageId);
  if (quick === undefined) {
    if (sa.messageIds.has(header.messageId))
      drop(world, datagram, 'outside_window', 'an exchange with this message id came before');
    else quickOffered(world, sa, message, sealed);
    return;
  }
  if ('lastIn' in quick && equalBytes(quick.lastIn, datagram.bytes)) {
    if (quick.state === 'done' && quick.spiIn !== undefined) waitLonger(world, sa.connection.id, quick.spiIn);
    transmit(world, sa, quick.lastOut, routeOf(datagram));
    return;
  }
  switch (quick.state) {
    case 'sent':
    case 'abandoned':
      quickAnswered(world, sa, quick, message, sealed);
      return;
    case 'answered':
      quickConfirmed(world, sa, quick, message, sealed);
      return;
    case 'done':
      drop(world, datagram, 'unexpected', 'a message of a quick mode that is done');
  }
}
