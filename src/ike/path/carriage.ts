import type { Endpoint } from '../../util/ip.js';
import { NAT_TRAVERSAL_PORT } from '../../wire/ike/constants.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';

/** ESP in UDP, or as IP protocol 50. */
export type EspForm = 'udp' | 'esp';

/** What an IKE SA of either version knows of the way to its peer. */
export interface PeerPath {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** The peer can do UDP encapsulation. */
  readonly natTraversal: boolean;
  readonly nat: { readonly local: boolean; readonly peer: boolean };
  /** IKE uses port 4500. */
  readonly natTraversalPort: boolean;
}

/**
 * How this end sends the ESP of a child SA (RFC 7296 §2.23, RFC 3947 §5.1); it receives both forms. Undefined when
 * the peer cannot take what the configuration wants: no child SA may be agreed on then.
 */
export function espForm(
  { natTraversal, nat }: Pick<PeerPath, 'natTraversal' | 'nat'>,
  { encapsulation }: Pick<ConnectionConfig, 'encapsulation'>,
): EspForm | undefined {
  if (natTraversal && (nat.local || nat.peer)) return 'udp';
  if (encapsulation === 'auto') return 'esp';
  return natTraversal ? 'udp' : undefined;
}

/**
 * The ends of ESP in this form. ESP in UDP has port 4500 at both ends (RFC 3948 §2.1, RFC 7296 §2.23), also from an IKE
 * SA that stays on port 500, and never to that one, where it could not be distinguished from IKE.
 */
export function espEnds(
  { local, remote, natTraversalPort }: Pick<PeerPath, 'local' | 'remote' | 'natTraversalPort'>,
  form: EspForm,
): { readonly local: Endpoint; readonly peer: Endpoint } {
  if (form === 'esp' || natTraversalPort) return { local, peer: remote };
  const port = NAT_TRAVERSAL_PORT;
  return { local: { ...local, port }, peer: { ...remote, port } };
}

/** Why `espForm` has no answer. */
export function natTraversalUnsupported(exchange: string): Failure {
  return {
    cause: 'nat_traversal_unsupported',
    message:
      'the peer does not support NAT traversal, so it takes no ESP in UDP, which "encapsulation: always" sends',
    details: { exchange },
  };
}
