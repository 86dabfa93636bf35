import { readU32 } from '../../util/bytes.js';
import type { Millis, Seconds } from '../../util/units.js';
import type { Payload } from '../../wire/ike/payloads.js';
import { NotifyType } from '../../wire/ike/registry.js';
import { lifetime } from '../sa/lifetime.js';
import type { IkeSaIn, ServingSa } from './ike-sa.js';
import { findNotify } from './payloads.js';
import { isWorthRekeying, startOver } from './revival.js';
import type { World } from './world.js';

/** Less than this the peer may say, but we do not authenticate again every few seconds on its word. */
const MIN_LIFETIME: Seconds = 60;
/** Wait before the next try, where one could not be begun or did not take over. */
const NEXT_TRY: Millis = 30_000;

/**
 * The responder says how long our authentication lasts, in four octets of seconds (RFC 4478 §3): in its answer to
 * IKE_AUTH, or later in an INFORMATIONAL request. Only who was the initiator when both ends were authenticated can
 * authenticate again, whichever end has rekeyed the IKE SA since: from an initiator it means nothing.
 */
export function noteAuthLifetime(world: World, sa: ServingSa, payloads: readonly Payload[]): void {
  const data = findNotify(payloads, NotifyType.AUTH_LIFETIME)?.data;
  if (data?.length !== 4 || sa.phase.service.authenticatedAs !== 'initiator') return;
  const { ctx } = world;
  const told = Math.max(MIN_LIFETIME, readU32(data, 0));
  // As early as a rekey before the end of a lifetime, and for the same reasons.
  sa.phase.service.reauthenticateAt = lifetime(ctx.random, ctx.now, told).rekeyAt;
}

/**
 * Authenticates again in time: by a new IKE SA beside the old one, which it replaces (RFC 7296 §2.8.3). A rekey would
 * not do.
 */
export function reauthenticate(world: World, sa: IkeSaIn<'established'>): void {
  sa.phase.service.reauthenticateAt = world.ctx.now + NEXT_TRY;
  if (isWorthRekeying(world, sa)) startOver(world, sa);
}
