import { IKE_PORT, NAT_TRAVERSAL_PORT } from '../../wire/ike/constants.js';
import { V1Exchange } from '../../wire/ike/v1/registry.js';
import type { Failure } from '../events.js';
import { firstPath, takePath } from '../path/first-path.js';
import { nextInTurn } from '../sa/world.js';
import { leaveSilent, onDue } from './answers.js';
import { failSa } from './close.js';
import { pskLikely } from './failures.js';
import { type IsakmpSa, isStarting, type StartingSa } from './isakmp-sa.js';
import { reportInitiating } from './main-initiator.js';
import { probePort } from './port-probe.js';
import { reportRetransmission, sendPending, transmit } from './send.js';
import type { World } from './world.js';

/** Repeats our messages, continues with the peer's next address, or gives up. */
export function mainOverdue(world: World, sa: IsakmpSa): void {
  onDue(sa, world.ctx.now, () => {
    if (isStarting(sa)) repeat(world, sa);
  });
}

function repeat(world: World, sa: StartingSa): void {
  const { connection, phase } = sa;
  const { pending } = phase;
  if (pending === undefined) return;
  if (pending.retransmission.expire(world.ctx.now) === 'send') {
    reportRetransmission(world, sa, V1Exchange.MAIN_MODE, pending.retransmission.sent);
    transmit(world, sa, pending.bytes);
    if (phase.at === 'id-sent' && sa.natTraversalPort && !phase.portProven) probePort(world, sa);
    return;
  }
  if (leaveSilent(sa)) return;
  const tries = pending.retransmission.sent;
  const next = nextInTurn(world, connection);
  if (phase.at === 'sa-sent' && phase.addressesLeft > 0 && next !== undefined) {
    phase.addressesLeft--;
    takePath(sa, firstPath(connection, next));
    reportInitiating(world, sa);
    sendPending(world, sa, pending.bytes);
    return;
  }
  failSa(world, sa, silent(sa, tries));
}

function silent(sa: StartingSa, tries: number): Failure {
  const { connection, phase } = sa;
  const details = { exchange: 'MAIN_MODE', tries };
  if (phase.at === 'sa-sent') {
    const addresses = connection.peer.addresses.join(', ');
    return {
      cause: 'peer_silent',
      message: `${addresses} did not answer on UDP port ${sa.remote.port}: check the address, that the peer is running and accepts IKEv1, and that no firewall is in between`,
      details: { ...details, unanswered: 'message 1' },
    };
  }
  if (phase.at === 'ke-sent') {
    return {
      cause: 'peer_silent',
      message:
        'the peer answered message 1 of main mode but not message 3: larger packets may be lost on the way',
      details,
    };
  }
  if (sa.natTraversalPort && !phase.portProven) {
    return {
      cause: 'port_4500_blocked',
      message: `the peer answered on UDP port ${IKE_PORT} but not on ${NAT_TRAVERSAL_PORT}: let both through every firewall on the way; or its pre-shared key differs, or the identity it expects, at which IKEv1 peers stay silent`,
      details,
    };
  }
  const evidence = sa.natTraversalPort
    ? `the peer answers on UDP port ${NAT_TRAVERSAL_PORT}, but not our authentication`
    : 'the peer does not answer our authentication';
  return { ...pskLikely(evidence, connection), details };
}
