import { compareBytes } from '../../util/bytes.js';
import { removeChild } from './child.js';
import type { ChildRecord } from './child-record.js';
import type { ServingSa } from './ike-sa.js';
import { losesTo, lowest } from './nonces.js';
import type { World } from './world.js';

/**
 * Our rekey of `old` is done and made `made`. When the peer rekeyed the same SA at the same time, its `rival`
 * is established too: of the two, the one with the lowest of the four nonces is redundant and is deleted by
 * the end that asked for it, and the other end deletes the old SA (RFC 7296 §2.8.1).
 */
export function settleChildRekey(
  world: World,
  sa: ServingSa,
  made: ChildRecord,
  old: ChildRecord | undefined,
  rivalId: number | undefined,
): void {
  const rival = rivalId === undefined ? undefined : sa.phase.service.children.get(rivalId);
  if (rival !== undefined && losesTo(made.nonces, rival.nonces)) {
    if (old !== undefined) old.state = 'rekeyed';
    removeChild(world, sa, made, 'replaced');
    sa.tasks.push({ kind: 'delete-children', spis: [made.spiIn] });
    return;
  }
  if (rival !== undefined) rival.state = 'rekeyed';
  // The old SA receives until the peer has confirmed that it sends on the new one.
  if (old === undefined) return;
  sa.phase.service.children.beginDelete(old);
  sa.tasks.push({ kind: 'delete-children', spis: [old.spiIn] });
}

/**
 * Both ends asked for the same networks at the same time. Of the two child SAs ours is deleted when it has the lowest
 * nonce, else the peer does so; until then, and if it does not, both are in use (RFC 7296 §2.8.1, §2.8).
 */
export function settleCrossing(world: World, sa: ServingSa, made: ChildRecord, rivalId: number): void {
  const rival = sa.phase.service.children.get(rivalId);
  if (rival === undefined || compareBytes(lowest(made.nonces), lowest(rival.nonces)) > 0) return;
  removeChild(world, sa, made, 'replaced');
  sa.tasks.push({ kind: 'delete-children', spis: [made.spiIn] });
}
