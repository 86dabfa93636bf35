import { decodeReplayCounterSync } from '../../wire/ike/cluster.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { NotifyType } from '../../wire/ike/registry.js';
import type { ServingSa } from './ike-sa.js';
import { findNotify, notify } from './payloads.js';
import type { ClusterSupport } from './service.js';
import type { World } from './world.js';

/** The most that outbound counters are moved at once: it leaves room for three, and for what is sent in between. */
const MAX_SKIP = 2 ** 30;

/** What this end offers as initiator, and what of it the initiator may use: notifications in IKE_AUTH (RFC 6311 §5). */
export function clusterOffer(): Payload[] {
  return [
    notify(NotifyType.IKEV2_MESSAGE_ID_SYNC_SUPPORTED),
    notify(NotifyType.IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED),
  ];
}

/** The same for an answer: nothing that the initiator has not offered. */
export function clusterAnswer(offered: readonly Payload[]): Payload[] {
  return clusterOffer().filter((one) => one.kind === 'notify' && findNotify(offered, one.type) !== undefined);
}

/** What both ends support, by the peer's message of IKE_AUTH. */
export function clusterSupport(payloads: readonly Payload[]): ClusterSupport {
  return {
    messageIds: findNotify(payloads, NotifyType.IKEV2_MESSAGE_ID_SYNC_SUPPORTED) !== undefined,
    counters: findNotify(payloads, NotifyType.IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED) !== undefined,
    last: undefined,
  };
}

/** The same for an IKE SA that takes over: its message ids are its own. */
export function clusterAfter({ messageIds, counters }: ClusterSupport): ClusterSupport {
  return { messageIds, counters, last: undefined };
}

/** Moves outbound counters on, where an INFORMATIONAL request with a message id of its own asks for that (§5.2). */
export function noteCounterSync(world: World, sa: ServingSa, payloads: readonly Payload[]): void {
  const asked = findNotify(payloads, NotifyType.IPSEC_REPLAY_COUNTER_SYNC);
  if (asked !== undefined) skipOutbound(world, sa, asked);
}

/** Returns by how much the counters of its child SAs are moved on; 0 when they are left. */
export function skipOutbound(world: World, sa: ServingSa, { data }: NotifyPayload): number {
  const { service } = sa.phase;
  const packets = decodeReplayCounterSync(data);
  if (!service.cluster.counters || packets === undefined || packets === 0 || packets > MAX_SKIP) return 0;
  for (const { id: childId } of service.children.values())
    world.ctx.emit({ kind: 'skip-outbound', childId, packets });
  return packets;
}
