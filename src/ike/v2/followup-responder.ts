import { equalBytes } from '../../util/bytes.js';
import { wipeSecrets } from '../../util/secret.js';
import type { KePayload, NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { NotifyType } from '../../wire/ike/registry.js';
import { exactlyOne } from '../payloads.js';
import { isPeerSpiInUse } from './child.js';
import { enterGranted } from './create-child-responder.js';
import type { IkeSaIn } from './ike-sa.js';
import { findNotify, notify } from './payloads.js';
import { advance, dropPending } from './pending.js';
import { enterRekeyed } from './rekey-ike.js';
import { respond } from './send.js';
import type { Pending } from './service.js';
import { successor } from './succession.js';
import type { Inbound, World } from './world.js';

/** HDR, SK {KEi(n), N(ADDITIONAL_KEY_EXCHANGE)(link)}: one more key exchange of what was granted (RFC 9370 §2.2.4). */
export function followupRequested(world: World, sa: IkeSaIn<'established'>, message: Inbound): void {
  const { crypto, random } = world.ctx;
  const { service } = sa.phase;
  const { pending } = service;
  const link = findNotify(message.payloads, NotifyType.ADDITIONAL_KEY_EXCHANGE)?.data;
  if (pending === undefined || link === undefined || !equalBytes(link, pending.link)) {
    respond(world, sa, message, [notify(NotifyType.STATE_NOT_FOUND)]);
    return;
  }
  const ke = exactlyOne(message.payloads, 'ke')?.ke;
  const answered = isDue(pending, ke) ? crypto.keyExchange(ke.group).answer(random, ke.data) : undefined;
  if (ke === undefined || answered === undefined || !answered.ok) {
    dropPending(world, service);
    respond(world, sa, message, [notify(NotifyType.INVALID_SYNTAX)]);
    return;
  }
  const { publicValue, shared } = answered.value;
  const secrets = [...pending.secrets, shared];
  const payload: Payload = { kind: 'ke', group: ke.group, data: publicValue };
  if (pending.left.length > 1) {
    const next = advance(world, service, pending, secrets);
    respond(world, sa, message, [payload, notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, next)]);
    return;
  }
  const gone = whyGone(world, sa, pending);
  if (gone !== undefined) {
    wipeSecrets(secrets);
    dropPending(world, service);
    respond(world, sa, message, [gone]);
    return;
  }
  service.pending = undefined;
  finish(world, sa, message, { pending: { ...pending, secrets }, payload });
}

function isDue({ left }: Pending, ke: KePayload | undefined): ke is KePayload {
  return ke !== undefined && ke.group === left[0];
}

/** Why what was granted cannot be made any more: other exchanges went on meanwhile. */
function whyGone(world: World, sa: IkeSaIn<'established'>, { of }: Pending): NotifyPayload | undefined {
  if (of.kind === 'ike') return undefined;
  const { children } = sa.phase.service;
  if (of.rekeys !== undefined && children.get(of.rekeys) === undefined)
    return notify(NotifyType.CHILD_SA_NOT_FOUND);
  const { id } = sa.connection;
  if (!world.ctx.budget.hasPlace(id)) return notify(NotifyType.NO_ADDITIONAL_SAS);
  return isPeerSpiInUse(world, id, of.child.spiOut) ? notify(NotifyType.INVALID_SYNTAX) : undefined;
}

/** All key exchanges are made: the SA goes into service, and its initiator hears of it. */
function finish(
  world: World,
  sa: IkeSaIn<'established'>,
  message: Inbound,
  { pending, payload }: { readonly pending: Pending; readonly payload: Payload },
): void {
  const { of, secrets } = pending;
  if (of.kind === 'child') {
    const old = of.rekeys === undefined ? undefined : sa.phase.service.children.get(of.rekeys);
    enterGranted(world, sa, { ...of.child, additional: secrets }, old);
    respond(world, sa, message, [payload]);
    return;
  }
  const made = successor(world, sa, of.ike, secrets);
  respond(world, sa, message, [payload]);
  enterRekeyed(world, sa, made);
}
