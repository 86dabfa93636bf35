import type { Millis } from '../../util/units.js';
import { type NetworkPair, networkPairs } from '../policy/carried-pairs.js';
import { isEverything } from '../policy/everything.js';
import { pairName, pairWait } from '../sa/pair-schedule.js';
import { isCarried } from './children.js';
import type { UpSa } from './isakmp-sa.js';
import type { World } from './world.js';

/**
 * A pair that the peer refused is asked for again with growing waits: where other pairs have their SAs, nothing
 * else would bring it back. Undefined for an end that does not initiate.
 */
export function askAgain(world: World, sa: UpSa, pair: NetworkPair): Millis | undefined {
  const { connection } = sa;
  const { session } = sa.phase;
  if (connection.establishMode === 'peer_only' || connection.initiateVersion !== 1) return undefined;
  const name = pairName(pair);
  const carriesOther = networkPairs(connection).some((one) => isCarried(world, connection.id, one));
  if (isEverything(connection) && carriesOther) {
    session.pairRetries.set(name, { tries: 1, notBefore: Number.POSITIVE_INFINITY });
    return undefined;
  }
  const tries = (session.pairRetries.get(name)?.tries ?? 0) + 1;
  const notBefore = world.ctx.now + pairWait(tries - 1);
  session.pairRetries.set(name, { tries, notBefore });
  session.completeAt = Math.min(session.completeAt ?? notBefore, notBefore);
  return notBefore;
}

/** Asks for all pairs without SAs whose wait is over, and notes when the next one is due. */
export function wantDue(world: World, sa: UpSa): void {
  const { connection } = sa;
  const { session } = sa.phase;
  const { now } = world.ctx;
  let next: Millis | undefined;
  for (const pair of networkPairs(connection)) {
    if (isCarried(world, connection.id, pair)) continue;
    const { notBefore } = session.pairRetries.get(pairName(pair)) ?? { notBefore: now };
    if (notBefore <= now) session.wanted.push(pair);
    else next = Math.min(next ?? notBefore, notBefore);
  }
  if (next !== undefined) session.completeAt = next;
}
