import type { Millis } from '../../util/units.js';
import type { NetworkPair } from '../policy/carried-pairs.js';
import { isEverything } from '../policy/everything.js';
import type { SelectorLists } from '../policy/selectors.js';
import { containsAddress, covers, haveCommon } from '../policy/selectors.js';
import { failure } from '../sa/failures.js';
import { MAX_PAIR_WAIT, pairName, pairWait } from '../sa/pair-schedule.js';
import type { ChildRecord } from './child-record.js';
import { type IkeSa, type IkeSaIn, isEstablished, type ServingSa } from './ike-sa.js';
import { type Gap, isRedundant } from './service.js';
import { createChildTask, purposeOf } from './tasks.js';
import type { World } from './world.js';

/** A peer that made a child SA, or deleted one, is given this long to ask for the rest by itself. */
export const PEER_FILLS_FIRST: Millis = 10_000;
/** Wait when the peer only put it off (RFC 7296 §2.25). */
const PUT_OFF: Millis = 2000;

/**
 * The configured pairs that no child SA of the IKE SA carries. Peers that take one pair per child SA narrow an offer
 * of all silently (RFC 7296 §2.9); what they leave out is found by this list.
 */
function uncovered(sa: ServingSa): NetworkPair[] {
  return sa.phase.service.children.coverage(sa.connection).open();
}

/** Whether the child SAs of the IKE SA carry every configured pair. */
export function isComplete(sa: ServingSa): boolean {
  return sa.phase.service.children.coverage(sa.connection).all;
}

/** Whether no child SA carries this pair. */
export function isUncovered(sa: ServingSa, { local, peer }: NetworkPair): boolean {
  const lists = { localTs: [local], peerTs: [peer] };
  return ![...sa.phase.service.children.values()].some(
    (child) => child.state !== 'deleting' && carries(child, lists),
  );
}

function carries(child: ChildRecord, pair: SelectorLists): boolean {
  return covers(child.localTs, pair.localTs) && covers(child.peerTs, pair.peerTs);
}

/** Another child SA that carries all that this one does. */
export function redundantTo(sa: ServingSa, made: ChildRecord): ChildRecord | undefined {
  for (const child of sa.phase.service.children.values()) {
    if (child !== made && child.state === 'installed' && carries(child, made)) return child;
  }
  return undefined;
}

/**
 * Whether the peer has narrowed the pair to what a child SA carries, for good. Asked again it would answer the same,
 * and peers whose newest child SA owns the policies do not survive the end of one of the two.
 */
function isNarrowed(sa: ServingSa, { local, peer }: NetworkPair): boolean {
  return [...sa.phase.service.children.values()].some(
    (child) =>
      child.final &&
      child.state !== 'deleting' &&
      haveCommon([local], child.localTs) &&
      haveCommon([peer], child.peerTs),
  );
}

function reportNarrowed(world: World, sa: ServingSa, pair: NetworkPair): void {
  const message =
    'the peer narrowed this pair of networks and does not indicate that more of it is available';
  world.ctx.event({
    kind: 'child-failed',
    connection: sa.connection.id,
    ikeId: sa.id,
    role: 'initiator',
    failure: failure('ts_mismatch', message, 'CREATE_CHILD_SA'),
    pair,
  });
}

/** A child SA came or went: what is not carried now is asked for after `patience`. */
export function noteCoverage(world: World, sa: IkeSa, patience: Millis): void {
  if (!isEstablished(sa)) return;
  const { service } = sa.phase;
  if (service.children.size === 0 || isComplete(sa)) service.gapsAt = Number.POSITIVE_INFINITY;
  else service.gapsAt = Math.min(service.gapsAt, world.ctx.now + patience);
}

/** One try is over, or the peer takes only one pair per child SA: on with what is not carried. */
export function nextPair(world: World, sa: ServingSa): void {
  if (isEstablished(sa) && !isComplete(sa)) sa.phase.service.gapsAt = world.ctx.now;
}

/** The networks of the connection may be others now. */
export function recheckCoverage(world: World, sa: IkeSa): void {
  sa.service?.gaps.clear();
  noteCoverage(world, sa, 0);
}

/**
 * Asks for the next pair that nothing carries: the one that traffic waits for first. One exchange at a time, so
 * that rekeys and DELETEs need not queue after many.
 */
export function fillGaps(world: World, sa: IkeSaIn<'established'>): void {
  const { now, shuttingDown } = world.ctx;
  const { service } = sa.phase;
  service.gapsAt = Number.POSITIVE_INFINITY;
  const passive = sa.connection.establishMode === 'peer_only' || !sa.connection.adminUp;
  if (passive || shuttingDown || isRedundant(service)) return;
  const missing = uncovered(sa);
  for (const [name, gap] of service.gaps) if (gap.notBefore + MAX_PAIR_WAIT < now) service.gaps.delete(name);
  if ([...sa.tasks, purposeOf(sa.active?.task)].some((task) => task?.kind === 'create-child')) {
    if (missing.length > 0) service.gapsAt = now + PUT_OFF;
    return;
  }
  const { wanted } = service;
  if (wanted !== undefined) missing.sort((a, b) => rank(a, wanted) - rank(b, wanted));
  let next = Number.POSITIVE_INFINITY;
  const oneFamilyWillDo = isEverything(sa.connection) && service.children.size > 0;
  for (const pair of missing) {
    const gap = gapOf(sa, pair);
    if (oneFamilyWillDo && gap.tries > 0) continue;
    if (isNarrowed(sa, pair)) {
      if (gap.notBefore !== Number.POSITIVE_INFINITY) reportNarrowed(world, sa, pair);
      gap.notBefore = Number.POSITIVE_INFINITY;
      continue;
    }
    // The child SA that carried a part of it is gone.
    if (gap.notBefore === Number.POSITIVE_INFINITY) gap.notBefore = now;
    if (gap.notBefore > now) {
      next = Math.min(next, gap.notBefore);
      continue;
    }
    gap.notBefore = now + pairWait(gap.tries);
    gap.tries++;
    service.wanted = undefined;
    sa.tasks.push(createChildTask({ pair }));
    return;
  }
  if (next !== Number.POSITIVE_INFINITY) service.gapsAt = next;
}

/** Traffic to this address found no child SA. An attempt that waits for its time continues to wait. */
export function wantDestination(world: World, sa: ServingSa, destination: Uint8Array): void {
  if (isComplete(sa)) return;
  sa.phase.service.wanted = destination;
  sa.phase.service.gapsAt = world.ctx.now;
}

/** The peer was only busy: this try does not count. */
export function putOffPair(world: World, sa: ServingSa, pair: NetworkPair, wait: Millis): void {
  const gap = gapOf(sa, pair);
  gap.tries = Math.max(0, gap.tries - 1);
  gap.notBefore = world.ctx.now + wait;
  sa.phase.service.gapsAt = gap.notBefore;
}

/** When the pair is asked for again, if nothing carries it until then. */
export function pairRetryAt(sa: ServingSa, pair: NetworkPair): Millis {
  return gapOf(sa, pair).notBefore;
}

function gapOf(sa: ServingSa, pair: NetworkPair): Gap {
  const name = pairName(pair);
  const gap = sa.phase.service.gaps.get(name) ?? { tries: 0, notBefore: 0 };
  sa.phase.service.gaps.set(name, gap);
  return gap;
}

function rank({ peer }: NetworkPair, destination: Uint8Array): number {
  return containsAddress(peer, destination) ? 0 : 1;
}
