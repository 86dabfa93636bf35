import { equalBytes } from '../../util/bytes.js';
import type { Millis } from '../../util/units.js';
import type { SkfPayload, SkPayload } from '../../wire/ike/payloads.js';
import type { Failure } from '../events.js';
import { ANSWER_GRACE, againInDoubt, DOUBT, REFUSAL_GRACE, RIVAL_GRACE } from '../sa/branches.js';
import { type AnsweredSa, type IkeSa, type IkeSaIn, type InitiatingSa, isIn } from './ike-sa.js';
import type { AuthSent, IkePhase, InitSent, IntermediateSent, Link } from './phases.js';
import type { Exchange, Task } from './tasks.js';
import type { Inbound, World } from './world.js';

// An initiator continues with several answers to IKE_SA_INIT (see `Branches`). While it does, one branch is IKE_SA_INIT
// itself, in phase `init-sent`, and each answer is another one, in phase `intermediate-sent` or `auth-sent`: with its
// request under way, or without one when it did not prove right and its sender may have to be answered so. They share one negotiation.

/** The branch of IKE_SA_INIT; undefined when no answer to it is waited for any more. */
export function firstOf(sa: IkeSa): InitSent | undefined {
  const { phase } = sa;
  if (phase.at === 'init-sent') return phase;
  return sa.branches.waiting.find((branch): branch is InitSent => branch.at === 'init-sent');
}

/** Does something on the branch of IKE_SA_INIT. An answer that is taken, or was before, is gone on with. */
export function onFirst(sa: IkeSa, act: (sa: IkeSaIn<'init-sent'>) => void): void {
  const first = firstOf(sa);
  if (first !== undefined && first !== sa.phase) sa.branches.enter(first);
  if (isIn(sa, 'init-sent')) act(sa);
  enterLastTried(sa);
}

/** While IKE_SA_INIT is the present branch, the last answer that is being tried becomes it, if there is one. */
function enterLastTried(sa: IkeSa): void {
  if (sa.state !== 'init-sent') return;
  const answer = sa.branches.waiting.findLast(isTried);
  if (answer !== undefined) sa.branches.enter(answer);
}

function isTried({ link }: IkePhase): boolean {
  return link.active !== undefined && tries(link.active.task);
}

/** Whether the exchange continues with an answer to IKE_SA_INIT. */
function tries({ kind }: Task | Exchange): boolean {
  return kind === 'intermediate' || kind === 'auth';
}

function isAnswer(branch: IkePhase): branch is IntermediateSent | AuthSent {
  return branch.at === 'intermediate-sent' || branch.at === 'auth-sent';
}

/** Whether an answer to IKE_SA_INIT is there that may prove to be the peer's. */
export function isAnswered(sa: IkeSa): boolean {
  return isTried(sa.phase) || sa.tasks.some(tries) || sa.branches.waiting.some(isTried);
}

/** Whether the answer is one that is being gone on with already. */
export function isKnownAnswer(sa: IkeSa, bytes: Uint8Array): boolean {
  return sa.branches.waiting.some((branch) => isAnswer(branch) && equalBytes(branch.init.response, bytes));
}

/**
 * An answer is taken, for which the SA is about to become another branch; IKE_SA_INIT waits. Returns what that branch
 * has its link from.
 */
export function forkAnswer({ ctx }: World, sa: IkeSaIn<'init-sent'>): Link {
  const { link, negotiation } = sa.phase;
  if (link.active !== undefined)
    link.active = { ...link.active, retransmission: againInDoubt(ctx.limits.retransmit, ctx.now) };
  sa.branches.fork();
  negotiation.answers++;
  negotiation.answeredAt ??= ctx.now;
  negotiation.refusal = undefined;
  // The sender that asked for it may not be the peer, which would take the other request for a second one.
  if (negotiation.revision !== undefined)
    negotiation.revision.at = Math.max(negotiation.revision.at, ctx.now + DOUBT);
  return { ...link, active: undefined, reassembly: undefined, quirks: new Map(link.quirks) };
}

/** How long a cookie or another group that someone asks for waits for the answers that are being tried. */
export function doubtOf(sa: IkeSa): Millis {
  return isAnswered(sa) ? DOUBT : 0;
}

/** Enters the branch that a protected message is of: that of its SPI, or, where several have that, of its keys. */
export function enterAnswer(sa: IkeSa, { header, datagram }: Inbound, sealed: SkPayload | SkfPayload): void {
  const { waiting } = sa.branches;
  if (waiting.length === 0) return;
  const named = [sa.phase, ...waiting].filter(
    (one): one is IntermediateSent | AuthSent =>
      isAnswer(one) && equalBytes(one.link.responderSpi, header.responderSpi),
  );
  const meant =
    named.length < 2
      ? named[0]
      : named.find((one) => one.keyed.protection.openText(datagram.bytes, sealed).ok);
  if (meant !== undefined && meant !== sa.phase) sa.branches.enter(meant);
}

/**
 * Under the keys of an answer the negotiation was refused, or its sender did not prove to be the peer. Anyone who can
 * answer IKE_SA_INIT can do that: it counts when no other answer proves right in time. `tells`: the sender believes
 * the SA to be up and is to hear that it is not.
 */
export function refuseAnswer({ ctx }: World, sa: AnsweredSa, failure: Failure, tells: boolean): void {
  const { negotiation } = sa.phase;
  const since = negotiation.answeredAt ?? ctx.now;
  const effectiveAt = Math.max(ctx.now, since + ANSWER_GRACE);
  negotiation.refusal = { failure, effectiveAt, sealed: true };
  // At most one is notified: the one whose failure is reported.
  const before = sa.branches.waiting.find(isRefused);
  if (before !== undefined) sa.branches.end(before);
  const next = sa.branches.waiting.find(isTried) ?? sa.branches.waiting[0];
  if (next === undefined) return;
  if (tells) sa.branches.enter(next);
  else sa.branches.leaveFor(next);
  if (negotiation.revision !== undefined && !isAnswered(sa)) negotiation.revision.at = ctx.now;
}

function isRefused({ at, link }: IkePhase): boolean {
  return at === 'auth-sent' && link.active === undefined;
}

/** The refused answer whose sender is owed a notify becomes the present branch, if there is one. */
export function enterRefused(sa: IkeSa): sa is IkeSaIn<'auth-sent'> {
  if (isRefused(sa.phase)) return true;
  const refused = sa.branches.waiting.find(isRefused);
  if (refused !== undefined) sa.branches.enter(refused);
  return refused !== undefined;
}

/** An answer whose sender may have the SA, since IKE_AUTH is on its way, becomes the present branch, if there is one. */
export function enterAuthSent(sa: IkeSa): void {
  const sent = ({ link }: IkePhase): boolean => link.active?.task.kind === 'auth';
  const other = sent(sa.phase) ? undefined : sa.branches.waiting.find(sent);
  if (other !== undefined) sa.branches.enter(other);
}

/** No word to IKE_AUTH: another answer that is being tried is gone on with. False when there is none. */
export function leaveSilent(sa: IkeSa): boolean {
  const other = sa.branches.waiting.find(isTried);
  if (other !== undefined) sa.branches.leaveFor(other);
  return other !== undefined;
}

/** An error in the clear. It counts only if no real answer comes within a grace time. */
export function refuseInClear({ ctx }: World, sa: InitiatingSa, failure: Failure): void {
  sa.phase.negotiation.refusal ??= { failure, effectiveAt: ctx.now + REFUSAL_GRACE, sealed: false };
}

/** When the refusal that came ends the attempt. */
export function refusalDue(sa: InitiatingSa): Millis {
  const { refusal } = sa.phase.negotiation;
  if (refusal === undefined) return Number.POSITIVE_INFINITY;
  if (!isAnswered(sa)) return refusal.effectiveAt;
  return refusal.sealed ? refusal.effectiveAt + RIVAL_GRACE : Number.POSITIVE_INFINITY;
}

/** When a request of any branch is to be repeated. */
export function repeatDue(sa: IkeSa): Millis {
  return sa.branches.earliest(({ link }) => link.active?.retransmission.nextAt);
}

/** Does something on each branch whose request is to be repeated, as long as the SA is there. */
export function onDue(sa: IkeSa, now: Millis, act: () => void): void {
  sa.branches.onEach(
    ({ link }) => link.active !== undefined && link.active.retransmission.nextAt <= now,
    act,
  );
  const first = firstOf(sa);
  if (first !== undefined && first !== sa.phase) sa.branches.enter(first);
  enterLastTried(sa);
}
