import type { Endpoint } from '../../util/ip.js';
import type { ConnectionConfig } from '../config.js';
import type { RenewScope } from '../inputs.js';
import { followPeer } from '../path/peer-path.js';
import { allowsPair } from '../policy/quick-identities-v1.js';
import { recountedLifetime } from '../sa/lifetime.js';
import { mayRekey } from '../sa/world.js';
import { deleteChild, reportMovedChild } from './children.js';
import { reportMoved, setLifetime, wantAll } from './established.js';
import { type IsakmpSa, isIn, isUp, type UpSa } from './isakmp-sa.js';
import { shorter } from './lifetimes.js';
import { initiate } from './main-initiator.js';
import { attemptOf, childrenOf, currentSa, type World } from './world.js';

/** Re-establishes SAs with the present configuration, without a gap; see `RenewScope`. */
export function renew(world: World, connection: ConnectionConfig, scope: RenewScope): void {
  const { now } = world.ctx;
  const sa = currentSa(world, connection.id);
  if (sa === undefined && childrenOf(world, connection.id).length === 0) return;
  switch (scope) {
    case 'lifetimes':
      reschedule(world, connection, sa);
      return;
    case 'networks':
      for (const child of childrenOf(world, connection.id)) {
        if (child.state !== 'pending' && !allowsPair(connection, child.pair)) {
          deleteChild(world, child, 'configuration-changed');
        }
      }
      if (mayRekey(connection) && sa !== undefined) wantAll(world, sa);
      else begin(world, connection, false);
      return;
    case 'children':
      for (const child of childrenOf(world, connection.id)) {
        if (child.state === 'current') child.rekeyAt = now;
      }
      return;
    case 'ike':
      if (sa !== undefined) sa.phase.session.rekeyAt = now;
      else begin(world, connection, false);
      return;
    case 'connection':
      begin(world, connection, true);
      return;
  }
}

/** The present lifetimes count, from the age of each SA, and those that the peer has told. */
function reschedule(world: World, connection: ConnectionConfig, sa: UpSa | undefined): void {
  const { ctx } = world;
  const { id, ikeLifetime, childLifetime } = connection;
  if (sa !== undefined) {
    const { session, terms } = sa.phase;
    const life = shorter(ikeLifetime, terms.lifetimes.seconds);
    setLifetime(sa, life, recountedLifetime(ctx.random, session.establishedAt, life, ctx.now));
    reportMoved(world, sa);
  }
  for (const child of childrenOf(world, id)) {
    const life = shorter(childLifetime, child.negotiatedSeconds);
    const { rekeyAt, expiresAt } = recountedLifetime(ctx.random, child.establishedAt, life, ctx.now);
    Object.assign(child, { rekeyAt, expiresAt });
    reportMovedChild(world, child, sa?.id ?? child.reported.ikeId);
  }
}

function begin(world: World, connection: ConnectionConfig, renewing: boolean): void {
  if (mayRekey(connection) && attemptOf(world, connection.id) === undefined)
    initiate(world, connection, { renewing });
}

/** The peer's address as ESP or a fresh message (a new R-U-THERE, an answer to ours) shows it, see `followPeer`. */
export function followSource(world: World, sa: IsakmpSa, to: Endpoint): void {
  if (!isUp(sa)) return;
  const { remote, natTraversalPort, id: ikeId } = sa;
  const { natReport } = sa.phase.session;
  const connection = sa.connection.id;
  const children = isIn(sa, 'established') ? childrenOf(world, connection) : [];
  const path = { remote, natTraversalPort, natReport };
  if (followPeer(world.ctx, path, to, { connection, ikeId }, children)) sa.remote = to;
}
