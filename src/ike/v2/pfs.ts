import { readU32 } from '../../util/bytes.js';
import type { Millis } from '../../util/units.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import type { ChildRecord } from './child-record.js';
import type { ServingSa } from './ike-sa.js';
import type { World } from './world.js';

/**
 * IKE_AUTH makes the first child SA without a group of its own, so a difference in PFS would show when its
 * lifetime is over. The early rekey that shows it sooner comes after about this long.
 */
const VERIFY_AFTER: Millis = 30_000;
/** Part by which chance moves it to either side. */
const JITTER = 0.2;

/** Whether the IPsec policy asks for a group. */
function wantsPfs({ espProposals }: ConnectionConfig): boolean {
  return espProposals.some((spec) => spec.dh.some((group) => group !== 0));
}

/** The first child SA of an IKE SA is established: that its rekeying will work is not known yet. */
export function notePfsUnverified(world: World, sa: ServingSa, child: ChildRecord): void {
  const { ctx } = world;
  const { connection } = sa;
  if (!wantsPfs(connection)) return;
  sa.phase.service.pfsUnverified = true;
  ctx.event({
    kind: 'advisory',
    connection: connection.id,
    code: 'pfs_unverified',
    message: 'whether the peer agrees on PFS will only show at the first rekeying of a child SA',
  });
  if (sa.role !== 'initiator' || connection.establishMode === 'peer_only') return;
  const chance = readU32(ctx.random.bytes(4), 0) / 2 ** 32;
  const at = ctx.now + VERIFY_AFTER * (1 - JITTER + 2 * JITTER * chance);
  if (at < child.rekeyAt) child.verifyPfsAt = at;
}

/** A CREATE_CHILD_SA exchange made a child SA: the policies agree. */
export function notePfsAgreed(world: World, sa: ServingSa): void {
  if (!sa.phase.service.pfsUnverified) return;
  sa.phase.service.pfsUnverified = false;
  const connection = sa.connection.id;
  for (const code of ['pfs_unverified', 'pfs_mismatch'] as const) {
    world.ctx.event({ kind: 'advisory-withdrawn', connection, code });
  }
}

/** Each child SA lives for one lifetime only: the next one comes with a new IKE SA. */
export function notePfsRefused(world: World, sa: ServingSa, reason: Failure): void {
  const connection = sa.connection.id;
  sa.phase.service.pfsUnverified = true;
  world.ctx.event({ kind: 'advisory-withdrawn', connection, code: 'pfs_unverified' });
  world.ctx.event({
    kind: 'advisory',
    connection,
    code: 'pfs_mismatch',
    message: `${reason.message}: a new IKE SA has to be negotiated before the lifetime of the child SA is over`,
  });
}
