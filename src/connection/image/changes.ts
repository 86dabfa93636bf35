import type { EspStart } from '../../esp/start.js';
import type { ChildSa } from '../../ike/outputs.js';
import type { SaRecord } from '../../ike/sa/record.js';
import type { ChildId, ConnectionId, Spi } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';

/** A child SA with its keys, and where its counters are. */
export interface PlacedChild extends ChildSa {
  readonly start: EspStart;
}

/** How far inbound traffic of a child SA has come. */
export interface Mark {
  readonly id: ChildId;
  /** The right edge of the anti-replay window. */
  readonly highest: number;
  /** Last authentic packet, on the clock of the active host; 0 when there was none. */
  readonly at: Millis;
}

/** Outbound sequence numbers of a child SA up to `limit` may be used. */
export interface Reservation {
  readonly id: ChildId;
  readonly limit: number;
}

/** One thing that is other than it was, for who holds an image. The keys in it belong to the receiver. */
export type ImageChange =
  /** All IKE SAs of the connection, none for one that has none any more. */
  | { readonly kind: 'connection'; readonly connection: ConnectionId; readonly records: readonly SaRecord[] }
  | { readonly kind: 'child'; readonly child: PlacedChild }
  /** Outbound traffic uses it from now on. */
  | { readonly kind: 'active'; readonly id: ChildId }
  | { readonly kind: 'child-gone'; readonly id: ChildId }
  | { readonly kind: 'moved'; readonly id: ChildId; readonly peer: Endpoint }
  /** Packets for an inbound SPI may come before its SA is agreed on. */
  | { readonly kind: 'expected'; readonly spi: Spi }
  | { readonly kind: 'not-expected'; readonly spi: Spi }
  | { readonly kind: 'reserved'; readonly reservations: readonly Reservation[] }
  | { readonly kind: 'marks'; readonly marks: readonly Mark[] };

/** What belongs together: an image has all of it or nothing. Numbered from 1, without gaps. */
export interface ImageUpdate {
  readonly n: number;
  readonly changes: readonly ImageChange[];
}
