import type { ConnectionConfig, IkeProposalSpec } from '../config.js';
import type { Failure, FailureCause } from '../events.js';
import { plainProposals } from '../policy/matrix.js';
import type { IkeSaIn, InitiatingSa } from './ike-sa.js';
import type { World } from './world.js';

/** Causes that a peer may have given because it could not read what it was offered. */
const STUMBLES: readonly FailureCause[] = ['ike_proposal_mismatch', 'invalid_syntax', 'unsupported'];

/** What this end offers of IKE proposals: to a peer that stumbled over all of them, those that any peer can read. */
export function offerOf(world: World, connection: ConnectionConfig): readonly IkeProposalSpec[] {
  const { ikeProposals } = connection;
  return world.plain.has(connection.id) ? (plainProposals(ikeProposals) ?? ikeProposals) : ikeProposals;
}

/**
 * A negotiation of ours has failed: what the next one offers. The plain list comes after the whole one when the peer
 * refused that or fell silent in IKE_INTERMEDIATE, and the whole one after the plain one. Silence to IKE_SA_INIT shows
 * nothing: a peer that is down would get the plain list when it is back.
 */
export function chooseNextOffer(world: World, sa: InitiatingSa, { cause }: Failure): void {
  const { connection } = sa;
  if (world.plain.delete(connection.id) || plainProposals(connection.ikeProposals) === undefined) return;
  const stumbled = STUMBLES.includes(cause) || (cause === 'peer_silent' && sa.state === 'intermediate-sent');
  if (stumbled) world.plain.set(connection.id, cause);
}

/** The peer was offered the plain list only, and took it: the status says so. */
export function advisePlain(world: World, { connection }: IkeSaIn<'established'>): void {
  const cause = world.plain.get(connection.id);
  if (cause === undefined) return;
  world.ctx.event({
    kind: 'advisory',
    connection: connection.id,
    code: 'plain_proposals',
    message: `the peer did not take the proposals of today (${cause}) and was offered those for old peers only: update it, or name policies`,
  });
}
