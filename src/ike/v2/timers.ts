import type { Millis } from '../../util/units.js';
import { type Timer, TimerTable } from '../sa/timers.js';
import { mayRekey } from '../sa/world.js';
import { onDue, onFirst, refusalDue, repeatDue } from './answers.js';
import { removeChild } from './child.js';
import type { ChildRecord } from './child-record.js';
import { beginDelete } from './close.js';
import { fillGaps } from './coverage.js';
import { type IkeSa, type IkeSaIn, isEstablished, isInitiating } from './ike-sa.js';
import { revise } from './init-initiator.js';
import { deadAt, probeAt } from './liveness.js';
import { dropPending } from './pending.js';
import { LAST_SEALED } from './protect.js';
import { reauthenticate } from './reauthentication.js';
import { isWorthRekeying, renewalDue, renewExpiring } from './revival.js';
import { resend } from './send.js';
import { isRedundant } from './service.js';
import { expirePhase, failRefused, peerDead, silent } from './silence.js';
import { createChildTask, rekeyIkeTask } from './tasks.js';
import type { World } from './world.js';

type EstablishedSa = IkeSaIn<'established'>;

const NEVER: Millis = Number.POSITIVE_INFINITY;

/** A timer that only an established SA has. */
function ofEstablished(
  name: string,
  at: (sa: EstablishedSa) => Millis,
  fire: (world: World, sa: EstablishedSa) => void,
): Timer<World, IkeSa> {
  return {
    name,
    at: (sa) => (isEstablished(sa) ? at(sa) : NEVER),
    fire: (world, sa) => {
      if (isEstablished(sa)) fire(world, sa);
    },
  };
}

/** The same where this end may rekey: `peer_only` leaves that to the peer and lets its SAs expire. */
function ofRekeyer(
  name: string,
  at: (sa: EstablishedSa) => Millis,
  fire: (world: World, sa: EstablishedSa) => void,
): Timer<World, IkeSa> {
  return ofEstablished(name, (sa) => (mayRekey(sa.connection) ? at(sa) : NEVER), fire);
}

/** All that an IKE SA of version 2 does when a time has come, in the order in which it does it. */
export const TIMERS: readonly Timer<World, IkeSa>[] = [
  {
    name: 'forget',
    at: ({ phase }) => ('forgetAt' in phase ? (phase.forgetAt ?? NEVER) : NEVER),
    fire: expirePhase,
  },
  {
    name: 'refusal',
    at: (sa) => (isInitiating(sa) ? refusalDue(sa) : NEVER),
    fire: (world, sa) => {
      const refusal = isInitiating(sa) ? sa.phase.negotiation.refusal : undefined;
      if (isInitiating(sa) && refusal !== undefined) failRefused(world, sa, refusal.failure);
    },
  },
  {
    name: 'revision',
    at: (sa) => (isInitiating(sa) ? (sa.phase.negotiation.revision?.at ?? NEVER) : NEVER),
    fire: (world, sa) => onFirst(sa, (first) => revise(world, first)),
  },
  ofEstablished('dead', deadAt, peerDead),
  { name: 'repeat', at: repeatDue, fire: repeat },
  ofEstablished('retire', retireAt, (world, sa) => beginDelete(world, sa, 'replaced')),
  ofEstablished('probe', probeAt, probe),
  ofEstablished(
    'expire',
    ({ phase }) => phase.service.expiresAt,
    (world, sa) => beginDelete(world, sa, 'expired', sa.phase.service.rekeyRefused),
  ),
  ofRekeyer('rekey', ({ phase }) => phase.service.rekeyAt, rekey),
  ofRekeyer('renew', renewalDue, renewExpiring),
  ofRekeyer('reauthenticate', ({ phase }) => phase.service.reauthenticateAt, reauthenticate),
  ofEstablished('retry-child', ({ phase }) => phase.service.retryChildAt, retryChild),
  ofEstablished(
    'pending',
    ({ phase }) => phase.service.pending?.forgetAt ?? NEVER,
    (world, sa) => dropPending(world, sa.phase.service),
  ),
  ofEstablished('gaps', ({ phase }) => phase.service.gapsAt, fillGaps),
  ofEstablished('children', childrenDue, serveChildren),
];

const table = new TimerTable(TIMERS, isForgotten);

/** Whether the SA is out of the table. */
function isForgotten({ phase }: IkeSa): boolean {
  return phase.at === 'gone' && phase.forgetAt === undefined;
}

/** When the SA needs `tick` next. */
export function deadlineOf(sa: IkeSa): Millis {
  return table.next(sa);
}

/** Does what time has brought about. */
export function tick(world: World, sa: IkeSa): void {
  noteSpent(world, sa);
  table.serve(world, sa, world.ctx.now);
}

/** What is kept of message ids and IVs, to end an SA with, where neither end has rekeyed it. */
const LAST_RESORT = 2 ** 20;

/**
 * Before the message ids or the IVs of an IKE SA are used up, it is rekeyed (RFC 7296 §2.2, RFC 5282 §3.1); where that
 * does not work, it ends.
 */
function noteSpent(world: World, sa: IkeSa): void {
  if (!isEstablished(sa)) return;
  const { ctx } = world;
  const { service, keyed } = sa.phase;
  const messages = Math.max(sa.nextMessageId, sa.inbound.next);
  const { sealed } = keyed.protection;
  if (Math.max(messages, sealed) > LAST_SEALED - LAST_RESORT) {
    beginDelete(world, sa, 'expired', service.rekeyRefused);
    return;
  }
  if (service.spent || !mayRekey(sa.connection)) return;
  if (messages < ctx.limits.messagesPerIkeSa && sealed < LAST_SEALED / 2) return;
  service.spent = true;
  service.rekeyAt = ctx.now;
}

function repeat(world: World, sa: IkeSa): void {
  const { now } = world.ctx;
  onDue(sa, now, () => {
    const { active } = sa;
    if (active === undefined) return;
    if (active.retransmission.expire(now) === 'exhausted') silent(world, sa);
    else resend(world, sa, active);
  });
}

function retireAt({ phase }: EstablishedSa): Millis {
  const { standing } = phase.service;
  return standing.kind === 'redundant' ? (standing.retireAt ?? NEVER) : NEVER;
}

function probe({ ctx }: World, sa: EstablishedSa): void {
  const idle = ctx.now - sa.lastInbound;
  ctx.event({ kind: 'liveness-probe', connection: sa.connection.id, ikeId: sa.id, idle });
  sa.tasks.push({ kind: 'probe' });
}

function rekey(world: World, sa: EstablishedSa): void {
  const { service } = sa.phase;
  service.rekeyAt = NEVER;
  // A redundant SA is about to go: no successor for it (RFC 7296 §2.8.2).
  if (!isRedundant(service) && isWorthRekeying(world, sa)) sa.tasks.push(rekeyIkeTask());
}

function retryChild(_: World, sa: EstablishedSa): void {
  const { service } = sa.phase;
  service.retryChildAt = NEVER;
  if (service.children.size === 0) sa.tasks.push(createChildTask());
}

function childrenDue(sa: EstablishedSa): Millis {
  const rekeys = mayRekey(sa.connection);
  let at = NEVER;
  for (const child of sa.phase.service.children.values()) {
    at = Math.min(at, child.expiresAt);
    if (rekeys && child.state === 'installed') at = Math.min(at, child.rekeyAt, child.verifyPfsAt ?? NEVER);
  }
  return at;
}

function serveChildren(world: World, sa: EstablishedSa): void {
  const { now } = world.ctx;
  for (const child of [...sa.phase.service.children.values()]) {
    if (child.expiresAt <= now) {
      const replaced = child.state === 'rekeyed' || child.state === 'deleting';
      removeChild(world, sa, child, replaced ? 'rekeyed' : 'expired');
      sa.tasks.push({ kind: 'delete-children', spis: [child.spiIn] });
    } else if (mayRekey(sa.connection) && child.state === 'installed') {
      rekeyIfDue(sa, child, now);
    }
  }
}

function rekeyIfDue(sa: EstablishedSa, child: ChildRecord, now: Millis): void {
  const due = child.rekeyAt <= now;
  const verifies = !due && child.verifyPfsAt !== undefined && child.verifyPfsAt <= now;
  if (!due && !verifies) return;
  child.verifyPfsAt = undefined;
  if (due) child.rekeyAt = NEVER;
  // The peer has rekeyed one since: nothing is left to find out.
  if (due || sa.phase.service.pfsUnverified) sa.tasks.push(createChildTask({ rekeys: child.id, verifies }));
}
