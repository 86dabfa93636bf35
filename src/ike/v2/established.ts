import type { ConnectionConfig } from '../config.js';
import { natReport } from '../path/nat-detection.js';
import { formatIdentity, identityKey } from '../policy/identity.js';
import { reportQuirks } from '../quirks.js';
import { leaveTables } from '../sa/books.js';
import { lifetime } from '../sa/lifetime.js';
import { MAX_IKE_SAS } from '../sa/peer-budget.js';
import { adviseWeakIke, type ReportedIke, reportIke } from '../sa/report.js';
import { sasOf } from '../sa/world.js';
import { closeSa, finishDelete, settleHalfOpen } from './close.js';
import { type IkeSa, type IkeSaIn, isEstablished, isIn } from './ike-sa.js';
import type { IkeSaState, Keyed } from './phases.js';
import { createService } from './service.js';
import type { World } from './world.js';

/** Both ends are authenticated. Returns the SA, established. */
export function establish(
  world: World,
  sa: IkeSaIn<'auth-sent' | 'init-answered'>,
  keyed: Keyed,
  peer: { idType: number; data: Uint8Array },
): IkeSaIn<'established'> {
  const { ctx } = world;
  const { connection } = sa;
  if (connection === undefined) throw new Error('an IKE SA without a connection cannot be established');
  settleHalfOpen(world, sa);
  sa.identities = contactKey(connection);
  endAbandoned(world, connection);
  const { rekeyAt, renewAt, expiresAt } = lifetime(ctx.random, ctx.now, connection.ikeLifetime);
  const service = createService({
    peerIdentity: formatIdentity(peer),
    natReport: natReport(sa.nat, sa.remote, connection.peer.addresses),
    establishedAt: ctx.now,
    establishedOrder: ctx.nextId(),
    authenticatedAs: sa.role,
    reauthenticateAt: Number.POSITIVE_INFINITY,
    rekeyAt,
    renewAt,
    expiresAt,
  });
  sa.moveTo({ at: 'established', link: sa.link, keyed, service });
  const established = enterService(world, sa);
  adviseWeakIke(world.ctx, 2, connection.id, keyed.suite);
  return established;
}

/** The SA, new or made by a rekey of `replaces`, goes into service. */
export function enterService(world: World, sa: IkeSa, replaces?: IkeSa): IkeSaIn<'established'> {
  if (!isEstablished(sa)) throw new Error(`an IKE SA in phase ${sa.state} does not go into service`);
  sa.lastInbound = world.ctx.now;
  reportIke(world.ctx, 2, sa.connection.id, described(sa), { replaces: replaces?.id });
  reportQuirks(world.ctx, sa);
  makeRoom(world, sa);
  return sa;
}

/** What is known of an SA in service, as the events report it. */
function described({ id, role, initiatorSpi, phase }: IkeSaIn<'established'>): ReportedIke {
  const { keyed, link, service } = phase;
  const { responderSpi, local, remote, peerVendors } = link;
  const { natReport, peerIdentity, establishedAt, rekeyAt } = service;
  return {
    id,
    role,
    initiatorSpi,
    responderSpi,
    local,
    remote,
    natReport,
    suite: keyed.suite,
    peerIdentity,
    establishedAt,
    rekeyAt,
    peerVendors,
  };
}

/** Ends what a connection has too much of for one more, the oldest first, and of those what is to end anyway. */
function makeRoom(world: World, sa: IkeSaIn<'established'>): void {
  const others = sasOf(world, sa.connection.id).filter((one) => one !== sa);
  const deleting = others.filter((one) => isIn(one, 'deleting'));
  const rekeyed = others.filter((one) => isIn(one, 'rekeyed'));
  const inTurn = [...deleting, ...rekeyed, ...others.filter(isEstablished)];
  for (const one of inTurn.slice(0, Math.max(0, inTurn.length + 1 - MAX_IKE_SAS))) {
    if (isIn(one, 'deleting')) finishDelete(world, one);
    else closeSa(world, one, 'replaced');
  }
}

/**
 * Whether INITIAL_CONTACT applies: this SA is the only one with its pair of identities (RFC 7296 §2.4). So it is at
 * the start, and also after the peer was declared dead: it may have lived on beyond a broken path and then
 * keeps SAs that the other end has lost. One whose IKE_AUTH is on its way counts, for the peer may have it already.
 */
export function isOnlyContact(world: World, sa: IkeSaIn<'auth-sent'>): boolean {
  return !world.table
    .ofIdentities(contactKey(sa.connection))
    .some((other) => other !== sa && CONTACTS.includes(other.state));
}

/** States of IKE SAs that the peer has, or may have. */
const CONTACTS: readonly IkeSaState[] = ['auth-sent', 'established', 'rekeyed'];

/**
 * Ends the IKE_AUTH exchanges that were given up but are still repeated, now that an SA with the same identities is
 * begun or established: their INITIAL_CONTACT would take it down at the peer (RFC 7296 §2.4).
 */
export function endAbandoned(world: World, connection: ConnectionConfig): void {
  for (const other of world.table.ofIdentities(contactKey(connection))) {
    if (other.state !== 'deleting' || other.active?.task.kind !== 'auth') continue;
    other.end();
    leaveTables(world, other);
  }
}

/** The pair of identities to which INITIAL_CONTACT refers (RFC 7296 §2.4). */
export function contactKey({ local, peer }: ConnectionConfig): string {
  return [local.identity, peer.identity].map(identityKey).join(' ');
}
