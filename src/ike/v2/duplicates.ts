import type { Millis } from '../../util/units.js';
import { failure } from '../sa/failures.js';
import { sasOf } from '../sa/world.js';
import { failSa } from './close.js';
import { type IkeSa, type IkeSaIn, isEstablished, type ServingSa } from './ike-sa.js';
import { losesTo } from './nonces.js';
import { isRedundant, makeRedundant } from './service.js';
import type { World } from './world.js';

/** How long a packet of an SA that is replaced may be on its way. */
const IN_FLIGHT: Millis = 2_000;

/**
 * One connection keeps one IKE SA. What to do with the others of the same connection, now that `sa` is
 * established with its child SA:
 *
 * - An attempt of ours that has not got an answer yet is given up: its peer is there already.
 * - An SA that was established before `sa` began is one that the peer replaces, or has lost: it is deleted when
 *   the peer is known to have the new one, so that no packet is sent to where it is no longer received.
 * - Otherwise both ends initiated at the same time, and both SAs are or will be established at both ends. Both judge
 *   alike, by the rule of RFC 7296 §2.8.1: the SA with the lowest of the four nonces is redundant, and the end
 *   that initiated it deletes it. It first makes sure, by a probe, that the other end has the surviving one.
 *
 * "Before `sa` began" means the same at both ends: an end that still has an unanswered first request when
 * the peer's SA is established gives it up, so its IKE_AUTH never comes.
 */
export function settleDuplicates(world: World, sa: IkeSaIn<'established'>): void {
  for (const other of sasOf(world, sa.connection.id)) {
    if (other === sa) continue;
    if (other.state === 'init-sent') {
      failSa(
        world,
        other,
        failure('terminated', 'given up: the IKE SA that the peer initiated was established first'),
      );
    } else if (isEstablished(other)) {
      settlePair(world, other, sa);
    }
  }
}

type EstablishedSa = IkeSaIn<'established'>;

function settlePair(world: World, older: EstablishedSa, newer: ServingSa): void {
  const { service } = older.phase;
  if (service.establishedOrder < newer.id || older.role === newer.role) {
    if (isRedundant(service)) return;
    makeRedundant(service, newer.id);
    newer.tasks.push({ kind: 'probe' });
    return;
  }
  const redundant = losesTo(older.phase.keyed.nonces, newer.phase.keyed.nonces) ? older : newer;
  const survivor = redundant === older ? newer : older;
  if (redundant.role === 'initiator') {
    makeRedundant(redundant.phase.service, survivor.id);
    survivor.tasks.push({ kind: 'probe' });
  } else {
    supersede(world, redundant);
  }
}

/**
 * Another IKE SA stays in place of this one, which the peer made and is to delete. It may never have had our
 * last answer, and then neither end would: so it is forgotten after a while.
 */
export function supersede(world: World, sa: ServingSa): void {
  takeOver(world, sa, true);
}

/** Another IKE SA took over from this one, whose DELETE is the peer's to send. @param superseded see `Rekeyed` */
export function takeOver(
  { ctx }: World,
  sa: IkeSaIn<'established' | 'rekeyed' | 'deleting'>,
  superseded: boolean,
): void {
  const { link, keyed, service } = sa.phase;
  if (service === undefined) return;
  const forgetAt = ctx.now + ctx.limits.halfOpenTimeout;
  sa.moveTo({ at: 'rekeyed', link, keyed, service, superseded, forgetAt });
}

/** Whether the peer is to delete it in favour of an IKE SA that is not of its own rekeying. */
export function isSuperseded({ phase }: IkeSa): boolean {
  return phase.at === 'rekeyed' && phase.superseded;
}

/**
 * The peer has an established SA and sends on its child SAs: what is redundant to it can go, once the packets
 * that were on their way have come.
 */
export function confirmSurvivor(world: World, sa: ServingSa): void {
  for (const { service } of sasOf(world, sa.connection.id)) {
    if (service?.standing.kind !== 'redundant' || service.standing.to !== sa.id) continue;
    const { to, retireAt = world.ctx.now + IN_FLIGHT } = service.standing;
    service.standing = { kind: 'redundant', to, retireAt };
  }
}
