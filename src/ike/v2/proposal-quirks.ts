import type { Payload } from '../../wire/ike/payloads.js';
import { find } from '../payloads.js';
import { proposalQuirks } from '../policy/proposals.js';
import { noteQuirk } from '../quirks.js';
import type { IkeSa } from './ike-sa.js';
import type { World } from './world.js';

/** Notes what was forgiven in the SA payload of a message that was agreed to. `first`: in IKE_SA_INIT. */
export function noteProposalQuirks(
  world: World,
  sa: IkeSa,
  payloads: readonly Payload[],
  first = false,
): void {
  const offered = find(payloads, 'sa')?.proposals ?? [];
  for (const code of proposalQuirks(offered, first)) noteQuirk(world.ctx, sa, code);
}
