import { initiatorSilent } from '../admission/silent-initiator.js';
import type { Failure } from '../events.js';
import { leaveTables } from '../sa/books.js';
import { enterRefused, isAnswered, leaveSilent } from './answers.js';
import { authSilent, refusePeer } from './auth-initiator.js';
import { closeSa, failSa, finishDelete } from './close.js';
import { type IkeSa, type IkeSaIn, type InitiatingSa, isAnsweredSa, isIn, isServing } from './ike-sa.js';
import { initSilent } from './init-initiator.js';
import { unanswered } from './unanswered.js';
import type { World } from './world.js';

/** All sendings of a request went without answer. */
export function silent(world: World, sa: IkeSa): void {
  if (isIn(sa, 'init-sent')) {
    // It was answered: by whom, IKE_AUTH is to show.
    if (isAnswered(sa) || sa.phase.negotiation.refusal?.sealed === true) sa.active = undefined;
    else initSilent(world, sa);
  } else if (isAnsweredSa(sa)) {
    if (leaveSilent(sa)) return;
    const { refusal } = sa.phase.negotiation;
    if (refusal === undefined) authSilent(world, sa);
    else failRefused(world, sa, refusal.failure);
  } else if (isIn(sa, 'deleting')) {
    finishDelete(world, sa);
  } else if (isServing(sa)) {
    peerDead(world, sa);
  }
}

/** The attempt ends for a refusal, since no sender has proved to be the peer in time. */
export function failRefused(world: World, sa: InitiatingSa, failure: Failure): void {
  if (enterRefused(sa)) refusePeer(world, sa, failure);
  else failSa(world, sa, failure);
}

/** Closes an SA whose peer gives no sign of life; the failure says whether a request stayed unanswered. */
export function peerDead(world: World, sa: IkeSaIn<'established' | 'rekeyed'>): void {
  closeSa(world, sa, 'peer-dead', unanswered(world, sa) ?? noSignOfLife(world, sa));
}

function noSignOfLife(world: World, sa: IkeSa): Failure {
  const idle = Math.round((world.ctx.now - sa.lastInbound) / 1000);
  const tries = sa.active?.retransmission.sent ?? 0;
  return {
    cause: 'dpd_timeout',
    message: `the peer gave no sign of life for ${idle} s`,
    details: { tries },
  };
}

/** A phase that only waited for something has waited long enough. */
export function expirePhase(world: World, sa: IkeSa): void {
  if (isIn(sa, 'init-answered')) {
    const { repeats } = sa.phase.negotiation;
    const movesPort = sa.nat.local || sa.nat.peer || wantsEncapsulation(sa);
    const { natTraversalPort } = sa;
    const exchange = sa.phase.left.length > 0 ? 'IKE_INTERMEDIATE' : 'IKE_AUTH';
    failSa(world, sa, initiatorSilent({ exchange, movesPort, natTraversalPort, repeats }));
  } else if (isIn(sa, 'rekeyed')) {
    closeSa(world, sa, sa.phase.superseded ? 'replaced' : 'rekeyed');
  } else if (isIn(sa, 'deleting')) {
    finishDelete(world, sa);
  } else {
    leaveTables(world, sa);
  }
}

/** Whether our answer pretended a NAT, so that the peer moves to port 4500. */
function wantsEncapsulation({ phase }: IkeSaIn<'init-answered'>): boolean {
  return phase.link.natTraversal && phase.negotiation.candidates.forcesEncapsulation;
}
