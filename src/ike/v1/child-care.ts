import type { Millis } from '../../util/units.js';
import type { ConnectionConfig } from '../config.js';
import { samePair } from '../policy/quick-identities-v1.js';
import { mayRekey } from '../sa/world.js';
import type { V1Child } from './child-record.js';
import { deleteChild, switchTo } from './children.js';
import { askForSign, askTime } from './orphans.js';
import { isOpen } from './quick.js';
import { RETRY_REKEY, startQuick } from './quick-initiator.js';
import { attemptOf, currentSa, upSasOf, type World } from './world.js';

/** Begins a main mode for a connection whose ESP SAs need one. */
type Begin = (connection: ConnectionConfig, renewing: boolean) => void;

/** When an ESP SA needs attention next. */
export function childDeadline(world: World, child: V1Child): Millis {
  if (child.state === 'pending') return Number.POSITIVE_INFINITY;
  return Math.min(endOf(child), rekeyTime(world, child), askTime(world, child.connection));
}

/** Does what time has brought about for ESP SAs. */
export function tickChildren(world: World, begin: Begin): void {
  const { ctx, children } = world;
  for (const child of children.maybeDue(ctx.now, (child) => childDeadline(world, child))) {
    if (!children.has(child.id) || child.state === 'pending') continue;
    if ((child.switchAt ?? Number.POSITIVE_INFINITY) <= ctx.now) switchTo(world, child);
    if (Math.min(child.deleteAt ?? Number.POSITIVE_INFINITY, child.expiresAt) <= ctx.now) {
      deleteChild(world, child, child.state === 'superseded' ? 'rekeyed' : 'expired');
      continue;
    }
    // After a suspension both may be due at once.
    if (rekeyTime(world, child) <= ctx.now) rekeyChild(world, child, begin);
    if (askTime(world, child.connection) <= ctx.now) askForSign(world, child.connection, begin);
  }
}

function rekeyChild(world: World, child: V1Child, begin: Begin): void {
  child.rekeyAt = world.ctx.now + RETRY_REKEY;
  if (world.ctx.shuttingDown) return;
  const sa = currentSa(world, child.connection);
  if (sa === undefined) {
    child.awaitsIsakmp = true;
    const connection = world.ctx.connection(child.connection);
    if (connection !== undefined && attemptOf(world, child.connection) === undefined)
      begin(connection, false);
    return;
  }
  const underWay = upSasOf(world, child.connection).some((one) =>
    [...one.phase.session.quicks.values()].some((quick) => isOpen(quick) && samePair(quick.pair, child.pair)),
  );
  if (!underWay) startQuick(world, sa, child.pair, child);
}

/** When we rekey an ESP SA. `peer_only` leaves it to the peer, and lets its SAs expire. */
function rekeyTime(world: World, { state, rekeyAt, connection }: V1Child): Millis {
  const config = world.ctx.connection(connection);
  return state === 'current' && config !== undefined && mayRekey(config) ? rekeyAt : Number.POSITIVE_INFINITY;
}

/** When an ESP SA ends or is switched to. */
function endOf({ state, expiresAt, deleteAt, switchAt }: V1Child): Millis {
  const end = Math.min(expiresAt, deleteAt ?? Number.POSITIVE_INFINITY);
  return state === 'current' ? Math.min(end, switchAt ?? Number.POSITIVE_INFINITY) : end;
}
