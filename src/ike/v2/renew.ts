import type { ConnectionConfig } from '../config.js';
import type { RenewScope } from '../inputs.js';
import { covers, haveCommon } from '../policy/selectors.js';
import { recountedLifetime } from '../sa/lifetime.js';
import { reportRescheduled } from '../sa/report.js';
import { mayRekey, sasOf } from '../sa/world.js';
import { removeChild } from './child.js';
import type { ChildRecord } from './child-record.js';
import { type IkeSaIn, isEstablished, isInitiating } from './ike-sa.js';
import { initiate } from './init-initiator.js';
import { isRedundant } from './service.js';
import { createChildTask, purposeOf, rekeyIkeTask } from './tasks.js';
import type { World } from './world.js';

/** Re-establishes what a connection has with its present configuration, see `RenewScope`. */
export function renew(world: World, connection: ConnectionConfig, scope: RenewScope): void {
  const standing = sasOf(world, connection.id)
    .filter(isEstablished)
    .filter((sa) => !isRedundant(sa.phase.service));
  switch (scope) {
    case 'lifetimes':
      for (const sa of standing) reschedule(world, sa, connection);
      return;
    case 'networks':
      for (const sa of standing) fitNetworks(world, sa, connection);
      return;
    case 'children':
      for (const sa of standing) rekeyChildren(sa);
      return;
    case 'ike':
      for (const sa of standing) rekeyIke(sa);
      return;
    case 'connection': {
      const negotiating = sasOf(world, connection.id).some(isInitiating);
      if (negotiating || !mayRekey(connection)) return;
      // Did the peer have its own IKE SA before it saw ours? Else both end another one of the two.
      const unconfirmed = standing.filter((sa) => sa.phase.service.unconfirmed);
      if (unconfirmed.length > 0) {
        world.renewals.add(connection.id);
        for (const sa of unconfirmed)
          if (sa.active === undefined && sa.tasks.length === 0) sa.tasks.push({ kind: 'probe' });
        return;
      }
      // The old IKE SA is closed when the new one is established (`settleDuplicates`).
      initiate(world, connection);
    }
  }
}

/** Does the renewals that waited for an IKE SA of the peer, when it is confirmed or gone. */
export function renewWaiting(world: World): void {
  for (const name of [...world.renewals]) {
    if (sasOf(world, name).some((sa) => isEstablished(sa) && sa.phase.service.unconfirmed)) continue;
    world.renewals.delete(name);
    const connection = world.ctx.connection(name);
    if (connection?.adminUp === true && !world.ctx.shuttingDown) renew(world, connection, 'connection');
  }
}

type EstablishedSa = IkeSaIn<'established'>;

function rekeyChildren(sa: EstablishedSa): void {
  for (const child of sa.phase.service.children.values()) rekeyChild(sa, child);
}

function rekeyChild(sa: EstablishedSa, child: ChildRecord): void {
  if (child.state !== 'installed') return;
  const waits = sa.tasks.some((task) => task.kind === 'create-child' && task.rekeys === child.id);
  if (!waits) sa.tasks.push(createChildTask({ rekeys: child.id }));
}

function rekeyIke(sa: EstablishedSa): void {
  const under = [...sa.tasks, purposeOf(sa.active?.task)].some((task) => task?.kind === 'rekey-ike');
  if (!under) sa.tasks.push(rekeyIkeTask());
}

/**
 * A child SA outside the configured networks is deleted; one that is partly inside is rekeyed, which leaves the rest.
 */
function fitNetworks(world: World, sa: EstablishedSa, { local, peer }: ConnectionConfig): void {
  for (const child of [...sa.phase.service.children.values()]) {
    if (child.state !== 'installed') continue;
    const fits = covers(local.selectors, child.localTs) && covers(peer.selectors, child.peerTs);
    if (fits) continue;
    const useful = touches(local.selectors, child.localTs) && touches(peer.selectors, child.peerTs);
    if (useful) {
      rekeyChild(sa, child);
    } else {
      removeChild(world, sa, child, 'configuration-changed');
      sa.tasks.push({ kind: 'delete-children', spis: [child.spiIn] });
    }
  }
}

function touches(configured: ConnectionConfig['local']['selectors'], held: ChildRecord['localTs']): boolean {
  return haveCommon(configured, held);
}

/** The present lifetimes count, from the age of each SA. */
function reschedule(world: World, sa: EstablishedSa, connection: ConnectionConfig): void {
  const { ctx } = world;
  const { id: name, ikeLifetime, childLifetime } = connection;
  const { service } = sa.phase;
  Object.assign(service, recountedLifetime(ctx.random, service.establishedAt, ikeLifetime, ctx.now));
  service.reportedRekeyAt = service.rekeyAt;
  reportRescheduled(ctx, name, sa.id, service);
  for (const child of service.children.values()) {
    if (child.state !== 'installed') continue;
    Object.assign(child, recountedLifetime(ctx.random, child.establishedAt, childLifetime, ctx.now));
    child.reported = { ...child.reported, rekeyAt: child.rekeyAt };
    reportRescheduled(ctx, name, sa.id, child, child.id);
  }
}
