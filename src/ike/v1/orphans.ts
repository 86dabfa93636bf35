import type { ConnectionId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import { type Millis, seconds } from '../../util/units.js';
import type { ConnectionConfig } from '../config.js';
import { followPeer } from '../path/peer-path.js';
import { mayRekey } from '../sa/world.js';
import { removeChild } from './children.js';
import type { UpSa } from './isakmp-sa.js';
import { attemptOf, childrenOf, type World } from './world.js';

/** The longest wait between two main modes that only ask whether the peer of silent ESP SAs lives. */
const MAX_WAIT: Millis = 600_000;

/** The last ISAKMP SA of a connection is gone and ESP SAs are left. */
export function orphan(world: World, sa: UpSa): void {
  const { connection } = sa;
  const name = connection.id;
  if (childrenOf(world, name).length === 0) return;
  const wait = seconds(connection.dpd.timeout);
  const { id: ikeId, remote, natTraversalPort } = sa;
  const { natReport, lastInbound } = sa.phase.session;
  const path = { ikeId, remote, natTraversalPort, natReport };
  const before = world.askedOrphans.get(name) ?? 0;
  const notBefore = world.ctx.now + before;
  world.orphans.set(name, { path, lastInbound, notBefore, wait: Math.max(wait, before) });
}

/** An ISAKMP SA of the connection is established again and takes charge of its ESP SAs. */
export function adopt(world: World, connection: ConnectionId): void {
  world.orphans.delete(connection);
  for (const child of childrenOf(world, connection)) {
    if (!child.awaitsIsakmp) continue;
    child.awaitsIsakmp = false;
    child.rekeyAt = Math.min(child.rekeyAt, world.ctx.now);
  }
}

/** ESP came in: the peer lives. */
export function heardEsp(world: World, connection: ConnectionId, at: Millis): void {
  const orphans = world.orphans.get(connection);
  if (orphans === undefined || at <= orphans.lastInbound) return;
  orphans.lastInbound = at;
  world.askedOrphans.delete(connection);
}

/** Their peer sends ESP from elsewhere. */
export function followOrphans(world: World, connection: ConnectionId, to: Endpoint): void {
  const path = world.orphans.get(connection)?.path;
  if (path === undefined) return;
  const { ikeId } = path;
  if (followPeer(world.ctx, path, to, { connection, ikeId }, childrenOf(world, connection))) path.remote = to;
}

/** When the peer of silent ESP SAs is asked for a sign of life; infinite where this end does not ask. */
export function askTime(world: World, connection: ConnectionId): Millis {
  const orphans = world.orphans.get(connection);
  const config = world.ctx.connection(connection);
  if (orphans === undefined || config === undefined || world.ctx.shuttingDown)
    return Number.POSITIVE_INFINITY;
  if (config.dpd.action === 'none' || !mayRekey(config)) return Number.POSITIVE_INFINITY;
  return Math.max(orphans.lastInbound + seconds(config.dpd.timeout), orphans.notBefore);
}

/**
 * Begins a main mode with the peer of ESP SAs that have been silent as long as dead peer detection allows. It renews
 * them all: the peer may have ended them together with its ISAKMP SA.
 */
export function askForSign(
  world: World,
  connection: ConnectionId,
  begin: (connection: ConnectionConfig, renewing: boolean) => void,
): void {
  const orphans = world.orphans.get(connection);
  const config = world.ctx.connection(connection);
  if (orphans === undefined || config === undefined) return;
  orphans.notBefore = world.ctx.now + orphans.wait;
  world.askedOrphans.set(connection, Math.min(MAX_WAIT, orphans.wait * 2));
  if (attemptOf(world, connection) === undefined) begin(config, true);
}

/** A main mode was not answered: the peer whose ESP SAs are silent too is gone. */
export function buryOrphans(world: World, connection: ConnectionId): void {
  const orphans = world.orphans.get(connection);
  const config = world.ctx.connection(connection);
  if (orphans === undefined || config === undefined || config.dpd.action === 'none') return;
  if (orphans.lastInbound + seconds(config.dpd.timeout) > world.ctx.now) return;
  for (const child of childrenOf(world, connection)) removeChild(world, child, 'peer-dead');
  world.orphans.delete(connection);
}
