import type { Millis } from '../../util/units.js';
import { V1Exchange } from '../../wire/ike/v1/registry.js';
import { initiatorSilent } from '../admission/silent-initiator.js';
import type { Failure } from '../events.js';
import { TimerTable } from '../sa/timers.js';
import { mayRekey } from '../sa/world.js';
import { repeatDue } from './answers.js';
import { deleteSa, dropQuick, failSa, forgetSa, isFarewell, isLost, loseSa } from './close.js';
import { quickFailure, quickSilent, rekeyRefused, rekeySilent } from './failures.js';
import {
  type HalfOpenSa,
  type IsakmpSa,
  type IsakmpSaIn,
  isHalfOpen,
  isIn,
  isStarting,
  isUp,
  type StartingSa,
  type UpSa,
} from './isakmp-sa.js';
import { livenessDeadline, watch } from './liveness.js';
import { initiate } from './main-initiator.js';
import { mainOverdue } from './main-overdue.js';
import { goOnTrying } from './main-responder.js';
import { buryOrphans } from './orphans.js';
import { wantDue } from './pair-retries.js';
import { initiateUnlessPeerDid, ourTurn } from './peer-first.js';
import { isOpen, type QuickExchange, quickDeadline } from './quick.js';
import { failQuick, RETRY_REKEY } from './quick-initiator.js';
import { reportRetransmission, transmit } from './send.js';
import { attemptOf, type World } from './world.js';

const NEVER: Millis = Number.POSITIVE_INFINITY;

/** Whatever time does to an ISAKMP SA. Main mode comes to its end first, then the SA to its own, then what it is for. */
export const TIMERS = new TimerTable<World, IsakmpSa>(
  [
    {
      name: 'half-open',
      at: (sa) => (isHalfOpen(sa) ? sa.phase.halfOpen.forgetAt : NEVER),
      fire: (world, sa) => {
        if (isHalfOpen(sa)) halfOpenOver(world, sa);
      },
    },
    {
      name: 'closed',
      at: ({ phase }) => (phase.at === 'closing' ? phase.forgetAt : NEVER),
      fire: forgetSa,
    },
    {
      name: 'refused',
      at: ({ phase }) => ('attempt' in phase ? (phase.attempt.refusal?.effectiveAt ?? NEVER) : NEVER),
      fire: refusalCounts,
    },
    {
      name: 'key-trial',
      at: ({ phase }) => (phase.at === 'ke-answered' ? (phase.trial?.nextAt ?? NEVER) : NEVER),
      fire: (world, sa) => {
        if (isIn(sa, 'ke-answered')) goOnTrying(world, sa);
      },
    },
    {
      name: 'main-mode-repetition',
      at: repeatDue,
      fire: (world, sa) => {
        if (isStarting(sa)) attemptOver(world, sa, () => mainOverdue(world, sa));
      },
    },
    {
      name: 'expiry',
      at: (sa) => (isUp(sa) ? sa.phase.session.expiresAt : NEVER),
      fire: (world, sa) => {
        if (isIn(sa, 'superseded')) deleteSa(world, sa, 'rekeyed');
        else if (isUp(sa)) deleteSa(world, sa, 'expired', sa.phase.session.rekeyRefused);
      },
    },
    {
      name: 'deletion',
      at: ({ phase }) => (phase.at === 'superseded' ? (phase.deleteAt ?? NEVER) : NEVER),
      fire: (world, sa) => {
        if (isUp(sa)) deleteSa(world, sa, 'rekeyed');
      },
    },
    { name: 'quick-modes', at: quicksDeadline, fire: tickQuicks },
    {
      name: 'missing-pairs',
      at: (sa) => (isUp(sa) ? (sa.phase.session.completeAt ?? NEVER) : NEVER),
      fire: complete,
    },
    {
      name: 'rekey',
      at: (sa) => (isIn(sa, 'established') && mayRekey(sa.connection) ? sa.phase.session.rekeyAt : NEVER),
      fire: (world, sa) => {
        if (isIn(sa, 'established')) rekey(world, sa);
      },
    },
    { name: 'liveness', at: livenessDeadline, fire: watch },
  ],
  (sa) => sa.state === 'gone',
);

/** A half-open SA is forgotten. Where message 5 came and was rubbish, that was reported then. */
function halfOpenOver(world: World, sa: HalfOpenSa): void {
  const { phase, natTraversalPort } = sa;
  const { repeats } = phase.halfOpen;
  const keyed = phase.at === 'ke-answered';
  const proven = keyed || repeats > 0;
  if ((keyed && phase.reported) || !proven || !world.unauthenticated.take(world.ctx.now)) {
    forgetSa(world, sa);
    return;
  }
  const forced = phase.offer.candidates.forcesEncapsulation;
  const movesPort = keyed && phase.natTraversal && (forced || phase.nat.local || phase.nat.peer);
  failSa(world, sa, initiatorSilent({ exchange: 'MAIN_MODE', movesPort, natTraversalPort, repeats }));
}

/** No real answer has overtaken the refusal. */
function refusalCounts(world: World, sa: IsakmpSa): void {
  const refusal = isStarting(sa) ? sa.phase.attempt.refusal : undefined;
  if (!isStarting(sa) || refusal === undefined) return;
  attemptOver(world, sa, () => failSa(world, sa, refusal.failure), refusal.failure);
}

/** When an attempt to replace an SA fails, the next one follows while the old one lasts. */
function attemptOver(world: World, sa: StartingSa, act: () => void, refusal?: Failure): void {
  const why = refusal ?? rekeySilent();
  const { replaces } = sa.phase.attempt;
  const { connection } = sa;
  const farewell = isFarewell(sa);
  act();
  if (sa.state !== 'gone') return;
  if (refusal === undefined && !farewell) buryOrphans(world, connection.id);
  if (replaces === undefined) return;
  const { ctx, table } = world;
  for (const old of table.select((one) => one.id === replaces)) {
    if (!isIn(old, 'established')) continue;
    const { session } = old.phase;
    session.rekeyAt = ctx.now + RETRY_REKEY;
    session.rekeyRefused = rekeyRefused(why);
    ctx.event({
      kind: 'advisory',
      connection: old.connection.id,
      code: 'rekey_refused',
      message: `the ISAKMP SA could not be rekeyed, and will end when its lifetime is over: ${why.message}`,
    });
  }
}

function complete(world: World, sa: IsakmpSa): void {
  if (!isUp(sa)) return;
  sa.phase.session.completeAt = undefined;
  const { initiateVersion, establishMode } = sa.connection;
  if (initiateVersion === 1 && establishMode === 'bidirectional') wantDue(world, sa);
}

function rekey(world: World, sa: IsakmpSaIn<'established'>): void {
  const { connection } = sa;
  const { session } = sa.phase;
  session.rekeyAt = world.ctx.now + RETRY_REKEY;
  if (attemptOf(world, connection.id) !== undefined || world.ctx.shuttingDown) return;
  const turn = ourTurn(world, connection);
  if (turn > world.ctx.now) session.rekeyAt = turn;
  else initiate(world, connection, { replaces: sa });
}

function quicksDeadline(sa: IsakmpSa): Millis {
  let at = NEVER;
  if (isUp(sa)) for (const quick of sa.phase.session.quicks.values()) at = Math.min(at, quickDeadline(quick));
  return at;
}

/** All that are due; those of an SA that one of them has shown to be lost went with it. */
function tickQuicks(world: World, sa: IsakmpSa): void {
  if (!isUp(sa)) return;
  for (const quick of [...sa.phase.session.quicks.values()]) {
    if (!isUp(sa)) return;
    if (quickDeadline(quick) <= world.ctx.now) quickDue(world, sa, quick);
  }
}

function quickDue(world: World, sa: UpSa, quick: QuickExchange): void {
  if (!isOpen(quick)) {
    dropQuick(world, sa, quick);
    return;
  }
  const { retransmission } = quick;
  if (retransmission.expire(world.ctx.now) === 'send') {
    reportRetransmission(world, sa, V1Exchange.QUICK_MODE, retransmission.sent);
    transmit(world, sa, quick.lastOut);
    return;
  }
  const { connection } = sa;
  const failure =
    quick.state === 'sent'
      ? quickSilent(connection, retransmission.sent)
      : quickFailure('peer_silent', 'the peer did not finish the quick mode that it began');
  const lost = isLost(world, sa, quick);
  failQuick(world, sa, quick, failure);
  if (lost && loseSa(world, sa, failure)) initiateUnlessPeerDid(world, connection, { renewing: true });
}
