import { nameOf } from '../../wire/ike/registry.js';
import type { Failure } from '../events.js';
import type { IkeSa } from './ike-sa.js';
import { isAlive } from './liveness.js';
import { purposeOf } from './tasks.js';
import type { World } from './world.js';

/**
 * No answer from a peer that was heard meanwhile: it is there, and the exchange is what does not get through,
 * usually since its messages are the only large ones.
 */
export function unanswered(world: World, sa: IkeSa): Failure | undefined {
  const { active } = sa;
  if (active === undefined || sa.lastInbound <= active.sentAt || !isAlive(world, sa)) return undefined;
  const task = purposeOf(active.task);
  const exchange = nameOf('exchange', active.exchangeType);
  const rekeys = task?.kind === 'rekey-ike' || (task?.kind === 'create-child' && task.rekeys !== undefined);
  const what = task?.kind === 'rekey-ike' ? ' to rekey the IKE SA' : rekeys ? ' to rekey the child SA' : '';
  const waited = Math.round((world.ctx.now - active.sentAt) / 1000);
  return {
    cause: rekeys ? 'rekey_failed' : 'dpd_timeout',
    message: `the peer was heard, but did not answer ${exchange}${what} for ${waited} s: large messages may be lost on the way`,
    details: { exchange, tries: active.retransmission.sent },
  };
}
