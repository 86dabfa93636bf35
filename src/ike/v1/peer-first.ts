import type { Millis } from '../../util/units.js';
import type { ConnectionConfig } from '../config.js';
import { oldestBegin } from '../sa/deferred.js';
import { initiate, type Purpose } from './main-initiator.js';
import type { World } from './world.js';

/** Puts a main mode of ours off while one that the peer began has priority. Says whether it was put off. */
export function yieldsToPeer(world: World, connection: ConnectionConfig): boolean {
  return world.deferred.yields(connection.id, peerBegan(world, connection), world.ctx.now);
}

/** When a main mode of ours may begin; in the past where none of the peer's has priority. */
export function ourTurn(world: World, connection: ConnectionConfig): Millis {
  return world.deferred.turn(peerBegan(world, connection));
}

/** A main mode for what is established, unless one that the peer began may do. */
export function initiateUnlessPeerDid(world: World, connection: ConnectionConfig, purpose: Purpose): void {
  if (ourTurn(world, connection) <= world.ctx.now) initiate(world, connection, purpose);
}

/** When the peer began a main mode that may become this connection's. */
function peerBegan({ table }: World, { id }: ConnectionConfig): Millis | undefined {
  return oldestBegin(
    table,
    ['sa-answered', 'ke-answered'],
    // Rubbish in message 5 shows that one will fail.
    ({ phase }) =>
      'offer' in phase && !(phase.at === 'ke-answered' && phase.reported) && phase.offer.candidates.has(id),
  );
}
