import type { Endpoint } from '../../util/ip.js';
import type { ConnectionConfig } from '../config.js';
import type { RenewScope } from '../inputs.js';
import { movesPeer } from '../path/peer-path.js';
import { allowsPair } from '../policy/quick-identities-v1.js';
import { lifetime } from '../sa/lifetime.js';
import { deleteChild } from './children.js';
import { setLifetime, wantAll } from './established.js';
import { type IsakmpSa, isIn, isUp } from './isakmp-sa.js';
import { shorter } from './lifetimes.js';
import { initiate } from './main-initiator.js';
import { attemptOf, childrenOf, currentSa, mayRekey, type World } from './world.js';

/** Makes SAs anew by the present configuration, without a gap; see `RenewScope`. */
export function renew(world: World, connection: ConnectionConfig, scope: RenewScope): void {
  const { now } = world.ctx;
  const sa = currentSa(world, connection.id);
  if (sa === undefined && childrenOf(world, connection.id).length === 0) return;
  switch (scope) {
    case 'lifetimes':
      if (sa !== undefined)
        setLifetime(world, sa, shorter(connection.ikeLifetime, sa.phase.terms.lifetimes.seconds));
      for (const child of childrenOf(world, connection.id)) {
        const life = shorter(connection.childLifetime, child.negotiatedSeconds);
        Object.assign(child, lifetime(world.ctx.random, child.establishedAt, life));
      }
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

function begin(world: World, connection: ConnectionConfig, renewing: boolean): void {
  if (mayRekey(connection) && attemptOf(world, connection.id) === undefined)
    initiate(world, connection, { renewing });
}

/** The peer's address as ESP or a fresh message (a new R-U-THERE, an answer to ours) shows it, see `movesPeer`. */
export function followPeer(world: World, sa: IsakmpSa, to: Endpoint): void {
  if (!isUp(sa)) return;
  const { remote: from, natTraversalPort } = sa;
  const { natReport } = sa.phase.session;
  if (!movesPeer({ remote: from, natTraversalPort, natReport }, to)) return;
  sa.remote = to;
  const connection = sa.connection.id;
  world.ctx.event({ kind: 'peer-moved', connection, ikeId: sa.id, from, to });
  if (!isIn(sa, 'established')) return;
  for (const child of childrenOf(world, connection)) {
    world.ctx.emit({ kind: 'update-peer', childId: child.id, peer: to });
  }
}
