import { equalBytes } from '../../util/bytes.js';
import type { Millis } from '../../util/units.js';
import type { V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Exchange } from '../../wire/ike/v1/registry.js';
import { find } from '../payloads.js';
import { againInDoubt } from '../sa/branches.js';
import { type IsakmpSa, isStarting, type StartingSa } from './isakmp-sa.js';
import type { IsakmpState, Phase } from './phases.js';
import type { V1Protection } from './protect.js';
import type { Inbound, World } from './world.js';

// Messages 2 and 4 of main mode are in the clear. An initiator continues with several of each (see `Branches`): one
// branch is that of message 1, each message 2 makes one in phase `ke-sent`, and each message 4 to it one in `id-sent`.
// What is said of the peer's key is said under that key, and shows in the branch that is the peer's alone.

const ORDER: readonly IsakmpState[] = ['sa-sent', 'ke-sent', 'id-sent'];

function branchesOf({ phase, branches }: IsakmpSa): readonly Phase[] {
  return branches.waiting.length === 0 ? [phase] : [phase, ...branches.waiting];
}

/** What is repeated on a branch until it is answered. */
function pendingOf(branch: Phase) {
  return 'pending' in branch ? branch.pending : undefined;
}

/** Whether the SA may be meant by a message with this cookie of the responder. */
export function knowsResponder(sa: IsakmpSa, cookie: Uint8Array): boolean {
  return branchesOf(sa).some(({ at, link }) => at === 'sa-sent' || equalBytes(link.responderCookie, cookie));
}

/** Whether the message was gone on with before. */
export function isKnownAnswer(sa: IsakmpSa, bytes: Uint8Array): boolean {
  return branchesOf(sa).some(
    (one) => 'last' in one && one.last !== undefined && equalBytes(one.last.message, bytes),
  );
}

/** Enters the branch whose next message this is by its payloads and cookies. False when there is none. */
export function enterFor(sa: IsakmpSa, message: Inbound, sealed: V1Sealed | undefined): boolean {
  if (!isStarting(sa) || sa.branches.waiting.length === 0) return true;
  const { header, payloads } = message;
  const named = branchesOf(sa).filter(({ link }) => equalBytes(link.responderCookie, header.responderCookie));
  let meant: Phase | undefined;
  if (sealed !== undefined) {
    const keyed = named.filter((one) => one.at === 'id-sent');
    const opening =
      keyed.length < 2 ? undefined : keyed.find((one) => opens(one.protection, message, sealed));
    meant = opening ?? keyed[0];
  } else if (header.exchangeType !== V1Exchange.MAIN_MODE) {
    return true;
  } else if (find(payloads, 'sa') !== undefined) {
    meant = branchesOf(sa).find(({ at }) => at === 'sa-sent');
  } else {
    meant = named.find(({ at }) => at === 'ke-sent');
  }
  if (meant === undefined) return false;
  if (meant !== sa.phase) sa.branches.enter(meant);
  return true;
}

/** Whether a message decrypts to what it should be. Its HASH is looked at when it is handled. */
function opens(protection: V1Protection, { header }: Inbound, sealed: V1Sealed): boolean {
  const phase1 = header.exchangeType === V1Exchange.MAIN_MODE;
  const opened = protection.open(phase1 ? protection.phase1 : protection.exchange(header.messageId), sealed);
  return opened.ok && find(opened.value.payloads, 'hash') !== undefined;
}

/** Whether a branch with this responder cookie is there already: one message 2 each is gone on with. */
export function isKnownResponder(sa: IsakmpSa, cookie: Uint8Array): boolean {
  return sa.branches.waiting.some(
    ({ at, link }) => at === 'ke-sent' && equalBytes(link.responderCookie, cookie),
  );
}

/**
 * What an answer that is taken was sent for waits for others, and is repeated in doubt; the SA enters the answer's
 * branch next.
 */
export function forkAnswer({ ctx }: World, sa: StartingSa): void {
  const { phase } = sa;
  if (phase.pending !== undefined)
    phase.pending = { ...phase.pending, retransmission: againInDoubt(ctx.limits.retransmit, ctx.now) };
  sa.branches.fork();
  phase.attempt.refusal = undefined;
}

/** The branch that has come farthest becomes the present one: what is asked of the SA is asked of that. */
export function enterFarthest(sa: IsakmpSa): void {
  if (!isStarting(sa)) return;
  const rank = (one: Phase): number => (pendingOf(one) === undefined ? -1 : ORDER.indexOf(one.at));
  let farthest: Phase | undefined;
  for (const one of sa.branches.waiting) if (rank(one) > rank(farthest ?? sa.phase)) farthest = one;
  if (farthest !== undefined) sa.branches.enter(farthest);
}

/**
 * Whether message 1 or 3 was repeated although it had an answer: what the peer says about that is no news of its key.
 */
export function askedAgain({ branches }: IsakmpSa): boolean {
  return branches.waiting.some((one) => (pendingOf(one)?.retransmission.sent ?? 2) > 1);
}

/** When a message of any branch is to be repeated. */
export function repeatDue(sa: IsakmpSa): Millis {
  return sa.branches.earliest((one) => pendingOf(one)?.retransmission.nextAt);
}

/** Does something on each branch whose message is to be repeated, as long as the SA is there. */
export function onDue(sa: IsakmpSa, now: Millis, act: () => void): void {
  sa.branches.onEach(
    (one) => (pendingOf(one)?.retransmission.nextAt ?? Number.POSITIVE_INFINITY) <= now,
    act,
  );
  enterFarthest(sa);
}

/**
 * The last repetition of the present branch has stayed unanswered. False when the attempt has nothing else to go on
 * with; an answer that was taken in the meantime shows that nothing is to be repeated any more.
 */
export function leaveSilent({ phase, branches }: StartingSa): boolean {
  const other = branches.waiting.find((one) => pendingOf(one) !== undefined);
  if (other === undefined) return false;
  if (phase.at === 'sa-sent' || (phase.at === 'ke-sent' && phase.agreements > 0)) phase.pending = undefined;
  else branches.leaveFor(other);
  return true;
}
