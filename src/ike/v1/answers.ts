import { equalBytes } from '../../util/bytes.js';
import type { Millis } from '../../util/units.js';
import type { V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Exchange } from '../../wire/ike/v1/registry.js';
import { againInDoubt } from '../sa/branches.js';
import type { IsakmpSa, IsakmpState, V1Branch } from './isakmp-sa.js';
import { find, type Inbound, type World } from './world.js';

// Messages 2 and 4 of main mode are in the clear. An initiator goes on with several of each (see `Branches`): one
// branch is that of message 1, each message 2 makes one in state `ke-sent`, and each message 4 to it one in `id-sent`.
// What is said of the peer's key is said under that key, and shows in the branch that is the peer's alone.

const ORDER: readonly IsakmpState[] = ['sa-sent', 'ke-sent', 'id-sent'];

/** Whether the SA may be meant by a message with this cookie of the responder. */
export function knowsResponder(sa: IsakmpSa, cookie: Uint8Array): boolean {
  return [sa, ...sa.branches.waiting].some(
    ({ state, responderCookie }) => state === 'sa-sent' || equalBytes(responderCookie, cookie),
  );
}

/** Whether the message was gone on with before. */
export function isKnownAnswer(sa: IsakmpSa, bytes: Uint8Array): boolean {
  return [sa, ...sa.branches.waiting].some(({ lastIn }) => lastIn !== undefined && equalBytes(lastIn, bytes));
}

/** Enters the branch whose next message this is by its payloads and cookies. False when there is none. */
export function enterFor(sa: IsakmpSa, message: Inbound, sealed: V1Sealed | undefined): boolean {
  const { waiting } = sa.branches;
  if (!sa.isStarting || waiting.length === 0) return true;
  const { header, payloads } = message;
  const named = [sa, ...waiting].filter(({ responderCookie }) =>
    equalBytes(responderCookie, header.responderCookie),
  );
  let meant: IsakmpSa | V1Branch | undefined;
  if (sealed !== undefined) {
    const keyed = named.filter(({ protection }) => protection !== undefined);
    meant = keyed.length < 2 ? keyed[0] : (keyed.find((one) => opens(one, message, sealed)) ?? keyed[0]);
  } else if (header.exchangeType !== V1Exchange.MAIN_MODE) {
    return true;
  } else if (find(payloads, 'sa') !== undefined) {
    meant = [sa, ...waiting].find(({ state }) => state === 'sa-sent');
  } else {
    meant = named.find(({ state }) => state === 'ke-sent');
  }
  if (meant === undefined) return false;
  if (meant !== sa) sa.branches.enter(meant as V1Branch);
  return true;
}

/** Whether a message decrypts to what it should be. Its HASH is looked at when it is handled. */
function opens({ protection }: Pick<V1Branch, 'protection'>, { header }: Inbound, sealed: V1Sealed): boolean {
  const phase1 = header.exchangeType === V1Exchange.MAIN_MODE;
  const opened = protection!.open(
    phase1 ? protection!.phase1 : protection!.exchange(header.messageId),
    sealed,
  );
  return opened.ok && find(opened.value.payloads, 'hash') !== undefined;
}

/** Whether a branch with this responder cookie is there already: one message 2 each is gone on with. */
export function isKnownResponder(sa: IsakmpSa, cookie: Uint8Array): boolean {
  return sa.branches.waiting.some(
    ({ state, responderCookie }) => state === 'ke-sent' && equalBytes(responderCookie, cookie),
  );
}

/** The SA becomes another branch, for an answer that is taken; what it was answers waits for others. */
export function forkAnswer({ ctx }: World, sa: IsakmpSa): void {
  const { pending } = sa;
  if (pending !== undefined)
    sa.pending = { ...pending, retransmission: againInDoubt(ctx.limits.retransmit, ctx.now) };
  sa.branches.fork();
  // The Diffie-Hellman exchange stays with the branch that may use it again.
  sa.negotiation = { ...sa.negotiation!, dh: undefined, agreements: 0 };
  sa.negotiation.attempt.refusal = undefined;
}

/** The branch that has come farthest becomes the present one: what is asked of the SA is asked of that. */
export function enterFarthest(sa: IsakmpSa): void {
  if (!sa.isStarting) return;
  const rank = ({ state, pending }: Pick<V1Branch, 'state' | 'pending'>): number =>
    pending === undefined ? -1 : ORDER.indexOf(state);
  let farthest: V1Branch | undefined;
  for (const one of sa.branches.waiting) if (rank(one) > rank(farthest ?? sa)) farthest = one;
  if (farthest !== undefined) sa.branches.enter(farthest);
}

/** Whether message 1 or 3 was repeated although it had an answer: what the peer says about that is no news of its key. */
export function askedAgain({ branches }: IsakmpSa): boolean {
  return branches.waiting.some(({ pending }) => pending === undefined || pending.retransmission.sent > 1);
}

/** When a message of any branch is to be repeated. */
export function repeatDue(sa: IsakmpSa): Millis {
  return sa.branches.earliest(({ pending }) => pending?.retransmission.nextAt);
}

/** Does something on each branch whose message is to be repeated, as long as the SA is there. */
export function onDue(sa: IsakmpSa, now: Millis, act: () => void): void {
  sa.branches.onEach(({ pending }) => pending !== undefined && pending.retransmission.nextAt <= now, act);
  enterFarthest(sa);
}

/**
 * The last repetition of the present branch has stayed unanswered. False when the attempt has nothing else to go on
 * with; an answer that was taken in the meantime shows that nothing is to be repeated any more.
 */
export function leaveSilent(sa: IsakmpSa): boolean {
  const other = sa.branches.waiting.find(({ pending }) => pending !== undefined);
  if (other === undefined) return false;
  if (sa.state === 'sa-sent' || (sa.state === 'ke-sent' && sa.negotiation!.agreements > 0))
    sa.pending = undefined;
  else sa.branches.leaveFor(other);
  return true;
}
