import type { ChildId, ConnectionId } from '../util/ids.js';
import type { Endpoint } from '../util/ip.js';
import type { ByteCount, Millis } from '../util/units.js';
import type { EngineConfig } from './config.js';

/** All that can happen to the engine. Time is an argument of `Engine.handle`, never part of an input. */
export type Input =
  | DatagramInput
  | { readonly kind: 'timer' }
  /** Replaces the desired connections. Running SAs of connections that stay keep running. */
  | { readonly kind: 'configure'; readonly config: EngineConfig }
  /** Brings the connection up: IKE SA and child SA, unless they are there or on their way. */
  | { readonly kind: 'initiate'; readonly connection: ConnectionId }
  /** Deletes the connection's SAs at the peer; a negotiation under way is given up. */
  | { readonly kind: 'terminate'; readonly connection: ConnectionId }
  /** Deletes all SAs at their peers and takes no new ones: the daemon is going down. */
  | { readonly kind: 'shutdown' }
  /** The data plane saw authentic ESP traffic of this child SA, last at `at`: the peer lives (RFC 7296 §2.4). */
  | { readonly kind: 'inbound-traffic'; readonly childId: ChildId; readonly at: Millis }
  /**
   * What has passed on this child SA since it was installed, in the direction with more of it. `packets` counts
   * sequence numbers.
   */
  | {
      readonly kind: 'traffic-volume';
      readonly childId: ChildId;
      readonly bytes: ByteCount;
      readonly packets: number;
    }
  /** A packet, to `destination` when that is known, met a policy without an SA. */
  | { readonly kind: 'acquire'; readonly connection: ConnectionId; readonly destination?: Uint8Array }
  /** The data plane could not install a child SA: it must be deleted at the peer too. */
  | { readonly kind: 'install-failed'; readonly childId: ChildId; readonly reason: string }
  /** Puts SAs with the present configuration in the place of those that are established, without a gap in between. */
  | { readonly kind: 'renew'; readonly connection: ConnectionId; readonly scope: RenewScope }
  /** An authentic, newest ESP packet of this child SA came from another address or port (RFC 7296 §2.23). */
  | { readonly kind: 'esp-moved'; readonly childId: ChildId; readonly from: Endpoint };

/**
 * What of a connection is re-established after its configuration changed:
 * - `lifetimes`: nothing; rekeying and expiry are put where the present lifetimes want them
 * - `networks`: child SAs that carry networks which are not configured any more, and no others
 * - `children`: all child SAs, by rekeying them
 * - `ike`: the IKE SA, by rekeying it; child SAs are kept
 * - `connection`: all of it, by a negotiation from the start, after which the old IKE SA is deleted
 */
export type RenewScope = 'lifetimes' | 'networks' | 'children' | 'ike' | 'connection';

/**
 * One IKE datagram. The non-ESP marker is already removed; `natTraversalPort` says that it was there, that is,
 * that the datagram came to (and answers leave from) the UDP 4500 socket.
 */
export interface DatagramInput {
  readonly kind: 'datagram';
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly natTraversalPort: boolean;
  readonly bytes: Uint8Array;
}
