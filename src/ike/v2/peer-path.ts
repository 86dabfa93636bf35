import type { Endpoint } from '../../util/ip.js';
import { movesPeer } from '../path/peer-path.js';
import type { IkeSa } from './ike-sa.js';
import type { World } from './world.js';

/** The peer's address as a new IKE message or ESP packet shows it, see `movesPeer`. */
export function followPeer(world: World, sa: IkeSa, to: Endpoint): void {
  const { remote: from, natTraversalPort, connection, service } = sa;
  if (connection === undefined || service === undefined) return;
  if (!movesPeer({ remote: from, natTraversalPort, natReport: service.natReport }, to)) return;
  sa.remote = to;
  world.ctx.event({ kind: 'peer-moved', connection: connection.id, ikeId: sa.id, from, to });
  for (const child of service.children.values()) {
    world.ctx.emit({ kind: 'update-peer', childId: child.id, peer: to });
  }
}
