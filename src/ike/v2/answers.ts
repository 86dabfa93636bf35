import { equalBytes } from '../../util/bytes.js';
import type { Millis } from '../../util/units.js';
import type { SkfPayload, SkPayload } from '../../wire/ike/payloads.js';
import type { Failure } from '../events.js';
import { ANSWER_GRACE, againInDoubt, DOUBT, REFUSAL_GRACE, RIVAL_GRACE } from '../sa/branches.js';
import type { Branch, IkeSa } from './ike-sa.js';
import type { Inbound, World } from './world.js';

// An initiator goes on with several answers to IKE_SA_INIT (see `Branches`). While it does, one branch is IKE_SA_INIT
// itself, in state `init-sent`, and each answer is another one, in state `auth-sent`: with its request under way, or
// without one when it did not prove right and its sender may have to be told so.

/** Where IKE_SA_INIT was sent to; undefined when no answer to it is waited for any more. */
export function firstRemote(sa: IkeSa): Branch['remote'] | undefined {
  return firstOf(sa)?.remote;
}

function firstOf(sa: IkeSa): IkeSa | Branch | undefined {
  return sa.state === 'init-sent' ? sa : sa.branches.waiting.find(({ state }) => state === 'init-sent');
}

/** Does something on the branch of IKE_SA_INIT. An answer that is taken, or was before, is gone on with. */
export function onFirst(sa: IkeSa, act: () => void): void {
  const first = firstOf(sa);
  if (first !== undefined && first !== sa) sa.branches.enter(first as Branch);
  act();
  if (sa.state !== 'init-sent') return;
  const answer = sa.branches.waiting.findLast(isTried);
  if (answer !== undefined) sa.branches.enter(answer);
}

function isTried({ active }: Pick<Branch, 'active'>): boolean {
  return active?.task.kind === 'auth';
}

/** Whether an answer to IKE_SA_INIT is there that may prove to be the peer's. */
export function isAnswered(sa: IkeSa): boolean {
  return isTried(sa) || sa.tasks.some(({ kind }) => kind === 'auth') || sa.branches.waiting.some(isTried);
}

/** Whether the answer is one that is being gone on with already. */
export function isKnownAnswer(sa: IkeSa, bytes: Uint8Array): boolean {
  return sa.branches.waiting.some(({ init }) => init !== undefined && equalBytes(init.response, bytes));
}

/** The SA becomes another branch, for an answer that is taken; IKE_SA_INIT waits. */
export function forkAnswer({ ctx }: World, sa: IkeSa): void {
  const negotiation = sa.initiating!;
  const first = sa.active;
  if (first !== undefined)
    sa.active = { ...first, retransmission: againInDoubt(ctx.limits.retransmit, ctx.now) };
  sa.branches.fork();
  negotiation.answers++;
  negotiation.answeredAt ??= ctx.now;
  negotiation.refusal = undefined;
  // Whoever asked for it may not be the peer, which would take the other request for a second one.
  if (negotiation.revision !== undefined)
    negotiation.revision.at = Math.max(negotiation.revision.at, ctx.now + DOUBT);
  sa.active = undefined;
  sa.reassembly = undefined;
  sa.keys = undefined;
  sa.protection = undefined;
  sa.quirks = new Map(sa.quirks);
}

/** How long a cookie or another group that someone asks for waits for the answers that are being tried. */
export function doubtOf(sa: IkeSa): Millis {
  return isAnswered(sa) ? DOUBT : 0;
}

/** Enters the branch that a protected message is of: that of its SPI, or, where several have that, of its keys. */
export function enterAnswer(sa: IkeSa, { header, datagram }: Inbound, sealed: SkPayload | SkfPayload): void {
  const { waiting } = sa.branches;
  if (waiting.length === 0) return;
  const named = [sa, ...waiting].filter(
    (one) => one.protection !== undefined && equalBytes(one.responderSpi, header.responderSpi),
  );
  const meant =
    named.length < 2 ? named[0] : named.find((one) => one.protection!.openText(datagram.bytes, sealed).ok);
  if (meant !== undefined && meant !== sa) sa.branches.enter(meant as Branch);
}

/**
 * Under the keys of an answer the negotiation was refused, or its sender did not prove to be the peer. Anyone who can
 * answer IKE_SA_INIT can do that: it counts when no other answer proves right in time. `tells`: the sender believes
 * the SA to be up and is to hear that it is not.
 */
export function refuseAnswer({ ctx }: World, sa: IkeSa, failure: Failure, tells: boolean): void {
  const negotiation = sa.initiating!;
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

function isRefused({ state, active }: Pick<Branch, 'state' | 'active'>): boolean {
  return state === 'auth-sent' && active === undefined;
}

/** The refused answer whose sender is to be told becomes the present branch, if there is one. */
export function enterRefused(sa: IkeSa): boolean {
  if (isRefused(sa)) return true;
  const refused = sa.branches.waiting.find(isRefused);
  if (refused !== undefined) sa.branches.enter(refused);
  return refused !== undefined;
}

/** An answer that is being tried becomes the present branch, if there is one. */
export function enterTried(sa: IkeSa): void {
  const tried = isTried(sa) ? undefined : sa.branches.waiting.find(isTried);
  if (tried !== undefined) sa.branches.enter(tried);
}

/** No word to IKE_AUTH: another answer that is being tried is gone on with. False when there is none. */
export function leaveSilent(sa: IkeSa): boolean {
  const other = sa.branches.waiting.find(isTried);
  if (other !== undefined) sa.branches.leaveFor(other);
  return other !== undefined;
}

/** An error in the clear. It counts only if no real answer comes within a grace time. */
export function refuseInClear({ ctx }: World, sa: IkeSa, failure: Failure): void {
  sa.initiating!.refusal ??= { failure, effectiveAt: ctx.now + REFUSAL_GRACE, sealed: false };
}

/** When the refusal that came ends the attempt. */
export function refusalDue(sa: IkeSa): Millis {
  const refusal = sa.initiating?.refusal;
  if (refusal === undefined) return Number.POSITIVE_INFINITY;
  if (!isAnswered(sa)) return refusal.effectiveAt;
  return refusal.sealed ? refusal.effectiveAt + RIVAL_GRACE : Number.POSITIVE_INFINITY;
}

/** When a request of any branch is to be repeated. */
export function repeatDue(sa: IkeSa): Millis {
  return sa.branches.earliest(({ active }) => active?.retransmission.nextAt);
}

/** Does something on each branch whose request is to be repeated, as long as the SA is there. */
export function onDue(sa: IkeSa, now: Millis, act: () => void): void {
  sa.branches.onEach(({ active }) => active !== undefined && active.retransmission.nextAt <= now, act);
  onFirst(sa, () => {});
}
