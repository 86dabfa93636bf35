import type { EspKeys } from '../crypto/types.js';
import type { ChildId, ConnectionId, Spi } from '../util/ids.js';
import type { Endpoint } from '../util/ip.js';
import type { IkeEvent } from './events.js';
import type { NegotiatedChild } from './sa/child.js';

/** All that the engine asks of its surroundings, in the order in which it is to be done. */
export type Output =
  | SendOutput
  /**
   * A request that gives this inbound SPI to the peer goes out: packets for it may come before the answer is read.
   * Until `install-child` or `forget-esp`.
   */
  | { readonly kind: 'expect-esp'; readonly spi: Spi }
  /** There will be no child SA of this SPI. */
  | { readonly kind: 'forget-esp'; readonly spi: Spi }
  | { readonly kind: 'install-child'; readonly child: ChildSa }
  /** Outbound traffic of the connection's selectors moves to this child SA (RFC 7296 §2.8). */
  | { readonly kind: 'activate-outbound'; readonly childId: ChildId }
  /**
   * Both directions go, keys are wiped. `rekeyed`: another child SA carries its traffic, and what the peer sent
   * before it took that one may still be on its way.
   */
  | { readonly kind: 'remove-child'; readonly childId: ChildId; readonly rekeyed: boolean }
  /**
   * As many outbound sequence numbers of the child SA are left out: a member of the peer, which is a cluster, has taken
   * over, and does not know how far the one before it had come (RFC 6311 §5.2).
   */
  | { readonly kind: 'skip-outbound'; readonly childId: ChildId; readonly packets: number }
  /** An authentic packet came from a new address or port (RFC 7296 §2.23). */
  | { readonly kind: 'update-peer'; readonly childId: ChildId; readonly peer: Endpoint }
  | { readonly kind: 'event'; readonly event: IkeEvent };

/** `natTraversalPort`: leave from the UDP 4500 socket, with the non-ESP marker in front (RFC 3948 §2.2). */
export interface SendOutput {
  readonly kind: 'send';
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly natTraversalPort: boolean;
  readonly bytes: Uint8Array;
}

/** A negotiated pair of ESP SAs. The receiver of the output owns the keys and wipes them. */
export interface ChildSa extends NegotiatedChild {
  readonly id: ChildId;
  readonly connection: ConnectionId;
  readonly keysIn: EspKeys;
  readonly keysOut: EspKeys;
  readonly local: Endpoint;
  readonly peer: Endpoint;
  /** Whether outbound traffic may use it at once; else after `activate-outbound`. */
  readonly outbound: boolean;
}
