import { readU32 } from '../../util/bytes.js';
import type { Millis } from '../../util/units.js';
import { V1Notify } from '../../wire/ike/v1/registry.js';
import type { Failure } from '../events.js';
import { spiBytes } from '../sa/esp-spi.js';
import { deathTime, maxWait, probeTime } from '../sa/liveness.js';
import { closeSa, endChildren } from './close.js';
import { type IsakmpSa, type IsakmpSaIn, isIn } from './isakmp-sa.js';
import { isakmpSpi, notify, sendInformational } from './send.js';
import { upSasOf, type World } from './world.js';

const MIN_WAIT: Millis = 500;

/** Whether the connection wants its peer watched and the peer can answer (RFC 3706 §5.1). */
function isWatched(sa: IsakmpSa): sa is IsakmpSaIn<'established'> {
  return isIn(sa, 'established') && sa.phase.terms.dpd && sa.connection.dpd.action !== 'none';
}

/** When to ask for a sign of life, or to ask again. */
function askAt({ connection, phase: { session } }: IsakmpSaIn<'established'>): Millis {
  return session.dpd.askAgainAt ?? probeTime(connection.dpd, session.lastInbound);
}

function deadAt({ connection, phase: { session } }: IsakmpSaIn<'established'>): Millis {
  const { askedAt } = session.dpd;
  if (askedAt === undefined) return Number.POSITIVE_INFINITY;
  return deathTime(connection.dpd, session.lastInbound, askedAt);
}

/** When `watch` has work next; infinity where the peer is not watched. */
export function livenessDeadline(sa: IsakmpSa): Millis {
  return isWatched(sa) ? Math.min(askAt(sa), deadAt(sa)) : Number.POSITIVE_INFINITY;
}

/** Asks, asks again, or gives the peer up. */
export function watch(world: World, sa: IsakmpSa): void {
  const { ctx } = world;
  if (!isWatched(sa)) return;
  const { connection } = sa;
  const { dpd, lastInbound } = sa.phase.session;
  if (dpd.askedAt !== undefined && lastInbound > dpd.askedAt) dpd.heard();
  if (ctx.now >= deadAt(sa)) {
    declareDead(world, sa);
    return;
  }
  if (ctx.now < askAt(sa)) return;
  const first = dpd.askedAt === undefined;
  const again = Math.max(MIN_WAIT, maxWait(connection.dpd));
  const start = readU32(ctx.random.bytes(4), 0);
  const number = dpd.ask(start, ctx.now, Math.min(again, ctx.limits.retransmit.ceiling));
  if (first) {
    ctx.event({
      kind: 'liveness-probe',
      connection: connection.id,
      ikeId: sa.id,
      idle: ctx.now - lastInbound,
    });
  }
  sendInformational(world, sa, [notify(V1Notify.R_U_THERE, { spi: isakmpSpi(sa), data: spiBytes(number) })]);
}

function declareDead(world: World, sa: IsakmpSaIn<'established'>): void {
  const { session } = sa.phase;
  const silence = Math.round((world.ctx.now - session.lastInbound) / 1000);
  const failure: Failure = {
    cause: 'dpd_timeout',
    message: `no sign of life from the peer for ${silence} s, and no answer to R-U-THERE`,
  };
  for (const other of upSasOf(world, sa.connection.id)) {
    if (other !== sa) closeSa(world, other, 'peer-dead');
  }
  endChildren(world, sa.connection.id, 'peer-dead');
  closeSa(world, sa, 'peer-dead', session.unsupported ?? failure);
}
