import { toHex } from '../../util/bytes.js';
import { encodeV1Message } from '../../wire/ike/v1/message.js';
import { V1Exchange } from '../../wire/ike/v1/registry.js';
import { ikeOfferV1 } from '../policy/proposals-v1.js';
import { type IsakmpSa, isStarting, type StartingSa } from './isakmp-sa.js';
import { headerOf } from './send.js';
import { offeredVendorIds } from './vendor-ids.js';
import { freshCookie, type Inbound, type World } from './world.js';

/**
 * Message 5 stays unanswered on port 4500, to which it is the first to go: is the port closed, or does the peer have
 * another key and keep silent? It repeats message 4 in both cases. A message 1 needs no key, and may come on that port
 * (RFC 3947 §4): its answer shows that the port is open.
 */
export function probePort(world: World, sa: StartingSa): void {
  const { local, remote, natTraversalPort } = sa;
  const { attempt } = sa.phase;
  const { ikeProposals, ikeLifetime } = sa.connection;
  if (attempt.portProbe === undefined) {
    const initiatorCookie = freshCookie(world);
    const header = {
      ...headerOf(sa, V1Exchange.MAIN_MODE, 0),
      initiatorCookie,
      responderCookie: new Uint8Array(8),
    };
    const bytes = encodeV1Message(header, [
      { kind: 'sa', proposals: ikeOfferV1(ikeProposals, ikeLifetime) },
      ...offeredVendorIds(),
    ]);
    attempt.portProbe = { cookie: toHex(initiatorCookie), bytes };
    world.portProbes.set(attempt.portProbe.cookie, sa);
  }
  world.ctx.emit({ kind: 'send', local, remote, natTraversalPort, bytes: attempt.portProbe.bytes });
}

/** Whether a message answers `probePort`, whatever it says. It goes no further. */
export function provesPort(world: World, { header, datagram }: Inbound): boolean {
  const sa = world.portProbes.get(toHex(header.initiatorCookie));
  if (sa === undefined || !datagram.natTraversalPort || datagram.remote.address !== sa.remote.address)
    return false;
  if ('portProven' in sa.phase) sa.phase.portProven = true;
  return true;
}

/** Main mode is over in one way or the other. */
export function endProbe(world: World, sa: IsakmpSa): void {
  const probe = isStarting(sa) ? sa.phase.attempt.portProbe : undefined;
  if (probe !== undefined) world.portProbes.delete(probe.cookie);
}
