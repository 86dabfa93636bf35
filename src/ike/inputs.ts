import type { Endpoint } from '../util/ip.js';
import type { Millis } from '../util/units.js';
import type { EngineConfig } from './config.js';

/** All that can happen to the engine. Time is an argument of `Engine.handle`, never part of an input. */
export type Input =
  | DatagramInput
  | { readonly kind: 'timer' }
  /** Replaces the desired connections. Running SAs of connections that stay keep running. */
  | { readonly kind: 'configure'; readonly config: EngineConfig }
  /** Brings the connection up: IKE SA and child SA, unless they are there or on their way. */
  | { readonly kind: 'initiate'; readonly connection: string }
  /** Deletes the connection's SAs at the peer; a negotiation under way is given up. */
  | { readonly kind: 'terminate'; readonly connection: string }
  /** Deletes all SAs at their peers and takes no new ones: the daemon is going down. */
  | { readonly kind: 'shutdown' }
  /** The data plane saw authentic ESP traffic of this child SA, last at `at`: the peer lives (RFC 7296 §2.4). */
  | { readonly kind: 'inbound-traffic'; readonly childId: number; readonly at: Millis }
  /** A packet met a policy without an SA. */
  | { readonly kind: 'acquire'; readonly connection: string }
  /** The data plane could not install what it was told to: the child SA must go at the peer too. */
  | { readonly kind: 'install-failed'; readonly childId: number; readonly reason: string };

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
