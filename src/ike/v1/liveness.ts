import { readU32 } from '../../util/bytes.js';
import { type Millis, seconds } from '../../util/units.js';
import { V1Notify } from '../../wire/ike/v1/registry.js';
import type { Failure } from '../events.js';
import { spiBytes } from '../sa/esp-spi.js';
import { closeSa, endChildren } from './close.js';
import type { IsakmpSa } from './isakmp-sa.js';
import { isakmpSpi, notify, sendInformational } from './send.js';
import { sasOf, type World } from './world.js';

/** However short the timeout, a question gets this long for its answer before the peer counts as dead. */
const MIN_PATIENCE: Millis = 3000;
/** Questions before the timeout, about. */
const TRIES_WITHIN_TIMEOUT = 4;
const MIN_WAIT: Millis = 500;

/** Whether the connection wants its peer watched and the peer can answer (RFC 3706 §5.1). */
function isWatched(sa: IsakmpSa): boolean {
  return sa.state === 'established' && sa.peerDpd && sa.connection!.dpd.action !== 'none';
}

/** When to ask for a sign of life, if none comes by itself: IKE or ESP, any authentic packet counts. */
function askAt(sa: IsakmpSa): Millis {
  return sa.dpd.askAgainAt ?? sa.lastInbound + seconds(sa.connection!.dpd.interval);
}

/** When the peer counts as dead: silence alone is no proof, only an unanswered question is. */
function deadAt(sa: IsakmpSa): Millis {
  const { askedAt } = sa.dpd;
  if (askedAt === undefined) return Number.POSITIVE_INFINITY;
  const timeout = seconds(sa.connection!.dpd.timeout);
  return Math.max(sa.lastInbound + timeout, askedAt + Math.min(timeout, MIN_PATIENCE));
}

export function livenessDeadline(sa: IsakmpSa): Millis {
  return isWatched(sa) ? Math.min(askAt(sa), deadAt(sa)) : Number.POSITIVE_INFINITY;
}

/** Asks, asks again, or gives the peer up. */
export function watch(world: World, sa: IsakmpSa): void {
  const { ctx } = world;
  if (!isWatched(sa)) return;
  if (sa.dpd.askedAt !== undefined && sa.lastInbound > sa.dpd.askedAt) sa.dpd.heard();
  if (ctx.now >= deadAt(sa)) {
    declareDead(world, sa);
    return;
  }
  if (ctx.now < askAt(sa)) return;
  const first = sa.dpd.askedAt === undefined;
  const { timeout } = sa.connection!.dpd;
  const again = Math.max(MIN_WAIT, seconds(timeout) / TRIES_WITHIN_TIMEOUT);
  const start = readU32(ctx.random.bytes(4), 0);
  const number = sa.dpd.ask(start, ctx.now, Math.min(again, ctx.limits.retransmit.ceiling));
  if (first) {
    ctx.event({
      kind: 'liveness-probe',
      connection: sa.connection!.id,
      ikeId: sa.id,
      idle: ctx.now - sa.lastInbound,
    });
  }
  sendInformational(world, sa, [notify(V1Notify.R_U_THERE, { spi: isakmpSpi(sa), data: spiBytes(number) })]);
}

function declareDead(world: World, sa: IsakmpSa): void {
  const silence = Math.round((world.ctx.now - sa.lastInbound) / 1000);
  const failure: Failure = {
    cause: 'dpd_timeout',
    message: `no sign of life from the peer for ${silence} s, and no answer to R-U-THERE`,
  };
  for (const other of sasOf(world, sa.connection!.id)) {
    if (other !== sa && other.isUp) closeSa(world, other, 'peer-dead');
  }
  endChildren(world, sa.connection!.id, 'peer-dead');
  closeSa(world, sa, 'peer-dead', sa.unsupported ?? failure);
}
