import type { Millis } from '../../util/units.js';
import { describeSelector } from '../../wire/ike/describe.js';
import { type NetworkPair, networkPairs } from '../policy/carried-pairs.js';
import { containsAddress } from '../policy/selectors.js';
import { isCarried } from './children.js';
import type { IsakmpSa } from './isakmp-sa.js';
import type { World } from './world.js';

/** Wait after the first try for a pair that traffic wants, and the longest one; each is four times the one before. */
const FIRST_WAIT: Millis = 30_000;
const MAX_WAIT: Millis = 3_600_000;

/**
 * Traffic to this address found no SA: what is not carried is asked for, the pair that it needs first. A pair that
 * the peer refuses is asked for ever more seldom, however much traffic there is.
 */
export function wantDestination(world: World, sa: IsakmpSa, destination: Uint8Array): void {
  const { now, shuttingDown } = world.ctx;
  const connection = sa.connection!;
  if (connection.establishMode === 'peer_only' || shuttingDown) return;
  const asked = new Set(sa.wanted.map(nameOf));
  const wanted: NetworkPair[] = [];
  for (const pair of networkPairs(connection)) {
    const name = nameOf(pair);
    const { tries, notBefore } = sa.demands.get(name) ?? { tries: 0, notBefore: 0 };
    if (isCarried(world, connection.id, pair)) sa.demands.delete(name);
    else if (asked.has(name)) wanted.push(pair);
    else if (notBefore <= now) {
      sa.demands.set(name, {
        tries: tries + 1,
        notBefore: now + Math.min(MAX_WAIT, FIRST_WAIT * 4 ** tries),
      });
      wanted.push(pair);
    }
  }
  const needs = ({ peer }: NetworkPair): boolean => containsAddress(peer, destination);
  sa.wanted = [...wanted.filter(needs), ...wanted.filter((pair) => !needs(pair))];
}

function nameOf({ local, peer }: NetworkPair): string {
  return `${describeSelector(local)} ${describeSelector(peer)}`;
}
