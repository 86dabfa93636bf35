import type { Endpoint } from '../../util/ip.js';
import type { NatReport } from './nat-detection.js';

/** What of an SA decides whether its peer is followed. */
export interface PeerPath {
  readonly remote: Endpoint;
  readonly natTraversalPort: boolean;
  /** Absent until both ends are authenticated. */
  readonly natReport: NatReport | undefined;
}

/**
 * Whether an authentic packet that came from `to` moves the peer there, in either version: behind a NAT its mapping
 * may have changed (RFC 7296 §2.23, RFC 3947 §6). The caller vouches that the packet is no replay, or anyone who has
 * recorded one could send the tunnel's traffic wherever they like. A peer that only asks for ESP in UDP has no NAT
 * whose mapping could change: following it would serve nobody but someone on the path who delays a packet.
 */
export function movesPeer({ remote, natTraversalPort, natReport }: PeerPath, to: Endpoint): boolean {
  if (!natTraversalPort || natReport?.peer !== true || natReport.peerMayForce) return false;
  return remote.address !== to.address || remote.port !== to.port;
}
