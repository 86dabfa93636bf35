import type { Millis } from '../../util/units.js';
import { type NetworkPair, networkPairs } from '../policy/carried-pairs.js';
import { isEverything } from '../policy/everything.js';
import { pairName, pairWait } from '../sa/pair-schedule.js';
import { isCarried } from './children.js';
import type { IsakmpSa } from './isakmp-sa.js';
import type { World } from './world.js';

/**
 * A pair that the peer refused is asked for again with growing waits: where other pairs have their SAs, nothing
 * else would bring it back. Undefined for an end that does not initiate.
 */
export function askAgain(world: World, sa: IsakmpSa, pair: NetworkPair): Millis | undefined {
  const connection = sa.connection!;
  if (connection.establishMode === 'peer_only' || connection.initiateVersion !== 1) return undefined;
  const name = pairName(pair);
  const carriesOther = networkPairs(connection).some((one) => isCarried(world, connection.id, one));
  if (isEverything(connection) && carriesOther) {
    sa.pairRetries.set(name, { tries: 1, notBefore: Number.POSITIVE_INFINITY });
    return undefined;
  }
  const tries = (sa.pairRetries.get(name)?.tries ?? 0) + 1;
  const notBefore = world.ctx.now + pairWait(tries - 1);
  sa.pairRetries.set(name, { tries, notBefore });
  sa.completeAt = Math.min(sa.completeAt ?? notBefore, notBefore);
  return notBefore;
}

/** Asks for all pairs without SAs whose wait is over, and notes when the next one is due. */
export function wantDue(world: World, sa: IsakmpSa): void {
  const connection = sa.connection!;
  const { now } = world.ctx;
  let next: Millis | undefined;
  for (const pair of networkPairs(connection)) {
    if (isCarried(world, connection.id, pair)) continue;
    const { notBefore } = sa.pairRetries.get(pairName(pair)) ?? { notBefore: now };
    if (notBefore <= now) sa.wanted.push(pair);
    else next = Math.min(next ?? notBefore, notBefore);
  }
  if (next !== undefined) sa.completeAt = next;
}
