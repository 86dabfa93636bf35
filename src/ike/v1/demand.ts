import { type NetworkPair, networkPairs } from '../policy/carried-pairs.js';
import { containsAddress } from '../policy/selectors.js';
import { pairName, pairWait } from '../sa/pair-schedule.js';
import { isCarried } from './children.js';
import type { UpSa } from './isakmp-sa.js';
import type { World } from './world.js';

/**
 * Traffic to this address found no SA: what is not carried is asked for, the pair that it needs first. A pair that
 * the peer refuses is asked for ever more seldom, however much traffic there is.
 */
export function wantDestination(world: World, sa: UpSa, destination: Uint8Array): void {
  const { now, shuttingDown } = world.ctx;
  const { connection } = sa;
  const { session } = sa.phase;
  if (connection.establishMode === 'peer_only' || shuttingDown) return;
  const asked = new Set(session.wanted.map(pairName));
  const wanted: NetworkPair[] = [];
  for (const pair of networkPairs(connection)) {
    const name = pairName(pair);
    const { tries, notBefore } = session.demands.get(name) ?? { tries: 0, notBefore: 0 };
    if (isCarried(world, connection.id, pair)) session.demands.delete(name);
    else if (asked.has(name)) wanted.push(pair);
    else if (notBefore <= now) {
      session.demands.set(name, {
        tries: tries + 1,
        notBefore: now + pairWait(tries),
      });
      wanted.push(pair);
    }
  }
  const needs = ({ peer }: NetworkPair): boolean => containsAddress(peer, destination);
  session.wanted = [...wanted.filter(needs), ...wanted.filter((pair) => !needs(pair))];
}
