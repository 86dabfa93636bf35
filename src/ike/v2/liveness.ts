import { type Millis, seconds } from '../../util/units.js';
import type { RetransmitPolicy } from '../limits.js';
import { deathTime, maxWait, probeTime } from '../sa/liveness.js';
import { type IkeSa, type IkeSaIn, isEstablished } from './ike-sa.js';
import type { World } from './world.js';

/**
 * A request that a living peer does not answer for so long never will be: its messages are too large for the
 * path, or the peer is at fault. As nothing else can be asked meanwhile (window size 1), and the child SAs run out,
 * the IKE SA has failed (RFC 7296 §2.1, §2.4).
 */
const MAX_PATIENCE = 60_000;

/** Whether the connection wants its peer watched. */
function isWatched(sa: IkeSa): sa is IkeSaIn<'established'> {
  return isEstablished(sa) && sa.connection.dpd.action !== 'none';
}

/**
 * How requests of an established SA are repeated. Under dead peer detection the timeout decides when to give
 * up, not the number of tries, and the waits are squeezed so that several tries fit into it.
 */
export function exchangePolicy(world: World, sa: IkeSa): RetransmitPolicy {
  const policy = world.ctx.limits.retransmit;
  if (!isWatched(sa)) return policy;
  const ceiling = Math.min(policy.ceiling, maxWait(sa.connection.dpd));
  return { ...policy, ceiling, tries: Number.POSITIVE_INFINITY };
}

/**
 * When the peer counts as dead: `timeout` after its last sign of life, provided a request is waiting for an
 * answer. Silence alone is no proof (RFC 7296 §2.4). A request that waits too long is, whatever else is heard.
 */
export function deadAt(sa: IkeSa): Millis {
  if (!isWatched(sa) || sa.active === undefined) return Number.POSITIVE_INFINITY;
  const { dpd } = sa.connection;
  const { sentAt } = sa.active;
  const silent = deathTime(dpd, sa.lastInbound, sentAt);
  return Math.min(silent, sentAt + Math.max(seconds(dpd.timeout), MAX_PATIENCE));
}

/** Whether the peer was heard within the timeout of dead peer detection, where there is one. */
export function isAlive(world: World, sa: IkeSa): boolean {
  return !isWatched(sa) || world.ctx.now < sa.lastInbound + seconds(sa.connection.dpd.timeout);
}

/** When to ask for a sign of life. */
export function probeAt(sa: IkeSa): Millis {
  if (!isWatched(sa) || sa.active !== undefined || sa.tasks.length > 0) return Number.POSITIVE_INFINITY;
  return probeTime(sa.connection.dpd, sa.lastInbound);
}
