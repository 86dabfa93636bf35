import type { Endpoint } from '../../util/ip.js';
import { followPeer } from '../path/peer-path.js';
import type { IkeSa } from './ike-sa.js';
import type { World } from './world.js';

/** The peer's address as a new IKE message or ESP packet shows it, see `followPeer`. */
export function followSource(world: World, sa: IkeSa, to: Endpoint): void {
  const { remote, natTraversalPort, connection, service } = sa;
  if (connection === undefined || service === undefined) return;
  const { natReport, children } = service;
  const path = { remote, natTraversalPort, natReport };
  const whose = { connection: connection.id, ikeId: sa.id };
  if (followPeer(world.ctx, path, to, whose, children.values())) sa.remote = to;
}
