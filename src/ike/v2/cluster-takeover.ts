import { copyOf, equalBytes } from '../../util/bytes.js';
import { decodeMessageIdSync, encodeMessageIdSync, type MessageIdSync } from '../../wire/ike/cluster.js';
import type { NotifyPayload, Payload, SkPayload } from '../../wire/ike/payloads.js';
import { ExchangeType, NotifyType } from '../../wire/ike/registry.js';
import { drop } from '../sa/world.js';
import { skipOutbound } from './cluster.js';
import { answered, answeredWhileDeleting } from './exchanges.js';
import { type IkeSa, type IkeSaIn, isIn, isServing, type ServingSa } from './ike-sa.js';
import { findNotify, notify } from './payloads.js';
import { followSource } from './peer-path.js';
import { answerBeside, reply } from './send.js';
import type { Inbound, World } from './world.js';

// For peers that are hot-standby clusters (RFC 6311): the member that takes over does not know exactly where the one
// before was, and both ends agree on where to go on. This end is always the peer of the cluster, never a member.

/** An SA whose peer may ask for that: both ends are authenticated, or were. */
type ClusteredSa = ServingSa | IkeSaIn<'deleting'>;

/**
 * Message ids are not moved beyond this: who may rekey does so long before, and the others have as many left to go on
 * with.
 */
const LAST_MESSAGE_ID = 2 ** 31;

/**
 * Whether a request is one that synchronizes message ids, and was dealt with: it has message id 0, whatever the window
 * is, and anyone may have recorded it (RFC 6311 §5.1). False for what is to be received as usual. `report` is called
 * with what an authentic and new one says.
 */
export function synchronizes(
  world: World,
  sa: IkeSa,
  message: Inbound,
  report: (inner: Inbound) => void,
): boolean {
  const { header, datagram } = message;
  if (header.response || header.messageId !== 0 || header.exchangeType !== ExchangeType.INFORMATIONAL)
    return false;
  const sealed = message.payloads[message.payloads.length - 1];
  if (sealed?.kind !== 'sk' || !isClustered(sa) || sa.service?.cluster.messageIds !== true) return false;
  const { last } = sa.service.cluster;
  if (last?.nextReceived === sa.inbound.next && equalBytes(last.request, datagram.bytes)) {
    reply(world, datagram, last.answer);
    return true;
  }
  // Where it is the id of the next request, or of the last, this may be that.
  const place = sa.inbound.place(0);
  if (place === 'last' && sa.inbound.answerTo(datagram.bytes) !== undefined) return false;
  const asked = askedOf(sa, message, sealed);
  if (asked === undefined && place !== 'outside') return false;
  if (asked === undefined) {
    drop(
      world,
      datagram,
      'outside_window',
      `request 0 that synchronizes nothing, ${sa.inbound.next} is the next`,
    );
    return true;
  }
  const refusal = whyNot(world, sa, asked.sync);
  if (refusal !== undefined) {
    drop(world, datagram, 'outside_window', refusal);
    return true;
  }
  report({ header, datagram, payloads: asked.payloads });
  takeOver(world, sa, message, asked);
  return true;
}

function isClustered(sa: IkeSa): sa is ClusteredSa {
  return isServing(sa) || isIn(sa, 'deleting');
}

interface Asked {
  readonly payloads: readonly Payload[];
  readonly sync: MessageIdSync;
  readonly counters: NotifyPayload | undefined;
}

/** What an authentic request asks for: that and nothing else may be in it (RFC 6311 §5.1). */
function askedOf(sa: ClusteredSa, { datagram }: Inbound, sealed: SkPayload): Asked | undefined {
  const opened = sa.protection?.open(datagram.bytes, sealed);
  if (opened?.ok !== true) return undefined;
  const payloads = opened.value;
  const ids = findNotify(payloads, NotifyType.IKEV2_MESSAGE_ID_SYNC);
  const counters = findNotify(payloads, NotifyType.IPSEC_REPLAY_COUNTER_SYNC);
  const sync = ids && decodeMessageIdSync(ids.data);
  if (sync === undefined || payloads.some((one) => one !== ids && one !== counters)) return undefined;
  return { payloads, sync, counters };
}

/** Why nothing is moved. A recorded request asks for ids that were used since, or that were asked for before. */
function whyNot(
  { ctx }: World,
  sa: ClusteredSa,
  { nextSent, nextReceived }: MessageIdSync,
): string | undefined {
  const highest = Math.max(sa.inbound.next - 1, sa.service?.cluster.last?.nextSent ?? -1);
  if (nextSent <= highest)
    return `message ids to be synchronized from ${nextSent}, and ${highest} was used or asked for before`;
  if (Math.max(nextSent, nextReceived) > LAST_MESSAGE_ID)
    return `message ids to be synchronized from ${nextSent} and ${nextReceived}, beyond ${LAST_MESSAGE_ID}`;
  if (ctx.budget.request(sa.connection.id, ctx.now) !== 'serve')
    return 'message ids to be synchronized more often than the peer of one connection may ask';
  return undefined;
}

/** The member that takes over goes on where it says, and this end where both do (RFC 6311 §5.1). */
function takeOver(world: World, sa: ClusteredSa, message: Inbound, { sync, counters }: Asked): void {
  const { datagram } = message;
  sa.lastInbound = world.ctx.now;
  if (datagram.natTraversalPort) followSource(world, sa, datagram.remote);
  giveUpRequest(world, sa, message);
  // M2 and P2: the higher of what the member says and of what this end knows.
  sa.inbound.jumpTo(Math.max(sync.nextSent, sa.inbound.next));
  sa.nextMessageId = Math.max(sync.nextReceived, sa.nextMessageId);
  sa.link.reassembly = undefined;
  const data = encodeMessageIdSync({
    nonce: sync.nonce,
    nextSent: sa.nextMessageId,
    nextReceived: sa.inbound.next,
  });
  const answer = answerBeside(world, sa, message, [notify(NotifyType.IKEV2_MESSAGE_ID_SYNC, data)]);
  const skipped = counters === undefined || !isServing(sa) ? 0 : skipOutbound(world, sa, counters);
  const { service } = sa;
  if (service !== undefined) {
    const last = {
      nextSent: sync.nextSent,
      nextReceived: sa.inbound.next,
      request: copyOf(datagram.bytes),
      answer,
    };
    service.cluster = { ...service.cluster, last };
  }
  world.ctx.event({
    kind: 'peer-took-over',
    connection: sa.connection.id,
    ikeId: sa.id,
    nextReceived: sa.inbound.next,
    nextSent: sa.nextMessageId,
    skipped,
  });
}

/**
 * No member answers the request that is under way: that id is over at the cluster. What it was for is begun again, as
 * if the peer had asked for patience (RFC 7296 §2.25); a DELETE is said again at once, under another id.
 */
function giveUpRequest(world: World, sa: ClusteredSa, { header, datagram }: Inbound): void {
  const task = sa.active?.task;
  switch (task?.kind) {
    case undefined:
      return;
    case 'delete-children':
    case 'delete-ike':
      sa.tasks.unshift(task);
      break;
    case 'create-child':
    case 'rekey-ike':
    case 'followup-ke': {
      const payloads = [notify(NotifyType.TEMPORARY_FAILURE)];
      if (isIn(sa, 'deleting')) answeredWhileDeleting(world, sa, { header, datagram, payloads });
      else answered(world, sa, { header, datagram, payloads });
      return;
    }
  }
  sa.active = undefined;
  sa.nextMessageId++;
}
