import { IKE_PORT, NAT_TRAVERSAL_PORT } from '../../wire/ike/constants.js';
import type { Failure } from '../events.js';

/** What a responder knows of an initiator that did not go on after its first request. */
export interface SilentInitiator {
  /** The exchange that never came. */
  readonly exchange: string;
  /** A NAT was found, or pretended: the initiator continues on port 4500 (RFC 7296 §2.23, RFC 3947 §4). */
  readonly movesPort: boolean;
  /** It began on port 4500, where it then stays. */
  readonly natTraversalPort: boolean;
  /** Times it sent a request again that had been answered. */
  readonly repeats: number;
}

/**
 * Repetitions that show nothing: of an answer that was lost, and of an initiator that continues with our answer and
 * asks again meanwhile, in case a stranger has given it.
 */
const STRAY_REPEATS = 2;

/**
 * Which way is closed, as far as the responder can see. An initiator that repeats its request has not got the
 * answer; one that does not has got it, and what it sends next does not arrive, or it does not want to go on.
 */
export function initiatorSilent(initiator: SilentInitiator): Failure {
  const { exchange, movesPort, natTraversalPort, repeats } = initiator;
  const details = { exchange, tries: repeats + 1 };
  if (repeats > STRAY_REPEATS) {
    return {
      cause: natTraversalPort ? 'port_4500_blocked' : 'port_500_blocked',
      message: `the peer sent its request ${repeats + 1} times although each was answered: what we send from UDP port ${natTraversalPort ? NAT_TRAVERSAL_PORT : IKE_PORT} does not reach it`,
      details,
    };
  }
  if (movesPort && !natTraversalPort) {
    return {
      cause: 'port_4500_blocked',
      message:
        'the peer has our answer on UDP port 500 and was to go on on port 4500, where nothing came: that port is blocked towards us, or the peer gave up',
      details,
    };
  }
  return { cause: 'peer_silent', message: 'the initiator did not continue after its first request', details };
}
