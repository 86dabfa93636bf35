import { wipeSecrets } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import type { Payload } from '../../wire/ike/payloads.js';
import { NotifyType } from '../../wire/ike/registry.js';
import { sameLists } from '../policy/selectors.js';
import { type EspSpiPool, releaseSpi } from '../sa/esp-spi.js';
import type { IkeSaIn, ServingSa } from './ike-sa.js';
import { listOf } from './nonces.js';
import { notify } from './payloads.js';
import { respond } from './send.js';
import type { Pending, Service } from './service.js';
import type { AgreedCreate, AgreedRekey } from './tasks.js';
import type { Inbound, World } from './world.js';

/** How long the next IKE_FOLLOWUP_KE is waited for (RFC 9370 §2.2.4: 5 to 20 seconds). */
const PENDING_LIFE: Millis = 20_000;
/** Wait for what the peer was granted in place of ours, whose additional key exchanges are still to be made. */
export const GIVE_WAY: Millis = 25_000;
/** Octets by which a request names what it continues with: the peer's requests come one by one, so a guess is no risk. */
const LINK_LENGTH = 8;

/**
 * Answers CREATE_CHILD_SA with what is granted and keeps that until its additional key exchanges are made. Another one
 * that is not over keeps its place, unless this one is for the same: then the peer has begun it again.
 */
export function hold(
  world: World,
  sa: IkeSaIn<'established'>,
  message: Inbound,
  of: Pending['of'],
  payloads: readonly Payload[],
): void {
  const { ctx } = world;
  const { service } = sa.phase;
  const suite = of.kind === 'ike' ? of.ike.suite : of.child.suite;
  const link = ctx.random.bytes(LINK_LENGTH);
  const next: Pending = {
    of,
    left: suite.additional ?? [],
    secrets: [],
    link,
    forgetAt: ctx.now + PENDING_LIFE,
  };
  if (service.pending !== undefined && !isSamePurpose(service.pending.of, of)) {
    forget(world, next);
    respond(world, sa, message, [notify(NotifyType.TEMPORARY_FAILURE)]);
    return;
  }
  dropPending(world, service);
  service.pending = next;
  respond(world, sa, message, [...payloads, notify(NotifyType.ADDITIONAL_KEY_EXCHANGE, link)]);
}

/** One more of the additional key exchanges is made: returns by what the next one names it. */
export function advance(
  world: World,
  service: Service,
  before: Pending,
  secrets: Pending['secrets'],
): Uint8Array {
  const { ctx } = world;
  const link = ctx.random.bytes(LINK_LENGTH);
  const left = before.left.slice(1);
  service.pending = { ...before, left, secrets, link, forgetAt: ctx.now + PENDING_LIFE };
  return link;
}

/** The peer does not go on with what it was granted, or is not to. */
export function dropPending(world: EspSpiPool, service: Service): void {
  const { pending } = service;
  service.pending = undefined;
  if (pending !== undefined) forget(world, pending);
}

function forget(world: EspSpiPool, pending: Pending): void {
  if (pending.of.kind === 'child') releaseSpi(world, pending.of.child.spiIn);
  wipeSecrets(pending);
}

function isSamePurpose(a: Pending['of'], b: Pending['of']): boolean {
  if (a.kind === 'ike' || b.kind === 'ike') return a.kind === b.kind;
  return a.rekeys === b.rekeys && (a.rekeys !== undefined || sameLists(a.child, b.child));
}

/** What the peer was granted for the same purpose as our exchange has: both ends began it at the same time. */
export function pendingRival(
  { phase }: ServingSa,
  task: AgreedCreate['task'] | AgreedRekey['task'],
): Pending | undefined {
  const { pending } = phase.service;
  if (pending === undefined) return undefined;
  const { of } = pending;
  if (task.kind === 'rekey-ike' || of.kind === 'ike')
    return task.kind === 'rekey-ike' && of.kind === 'ike' ? pending : undefined;
  const same = of.rekeys === task.rekeys && (of.rekeys !== undefined || sameLists(task.proposed, of.child));
  return same ? pending : undefined;
}

/** The nonces of the exchange that it began with. */
export function noncesOf({ of }: Pending): readonly Uint8Array[] {
  return listOf(of.kind === 'ike' ? of.ike.nonces : of.child.nonces);
}
