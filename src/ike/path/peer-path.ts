import type { ChildId, ConnectionId, IkeId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { Context } from '../context.js';
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
 * whose mapping could change: following it would serve only an attacker on the path who delays a packet.
 */
function movesPeer({ remote, natTraversalPort, natReport }: PeerPath, to: Endpoint): boolean {
  if (!natTraversalPort || natReport?.peer !== true || natReport.peerMayForce) return false;
  return remote.address !== to.address || remote.port !== to.port;
}

/**
 * An authentic packet came from `to`: where that moves the peer, what is sent to it goes there from now on, ESP of its
 * `children` too. Says whether the peer has moved.
 */
export function followPeer(
  ctx: Context,
  path: PeerPath,
  to: Endpoint,
  whose: { readonly connection: ConnectionId; readonly ikeId: IkeId },
  children: Iterable<{ readonly id: ChildId }>,
): boolean {
  if (!movesPeer(path, to)) return false;
  ctx.event({ kind: 'peer-moved', ...whose, from: path.remote, to });
  for (const { id: childId } of children) ctx.emit({ kind: 'update-peer', childId, peer: to });
  return true;
}
