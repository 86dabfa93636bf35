import type { DropReason } from '../esp/drops.js';
import type { EspForm } from '../esp/params.js';
import type { Endpoint } from '../util/ip.js';
import type { Millis } from '../util/units.js';

/** What of the packet path is copied. */
export interface TapOptions {
  /** Octets that are kept of a packet: its first ones. */
  readonly snap: number;
  /** Inner packets too, which are in the clear. */
  readonly inner: boolean;
  /** Dropped packets too, with the reason; those that belong to no SA as well. */
  readonly dropped: boolean;
  /** The clock of `TappedPacket.at`. */
  readonly now: () => Millis;
}

/** What both kinds of copies have. */
interface Tapped {
  readonly at: Millis;
  /** `in`: from the peer to the host. */
  readonly direction: 'in' | 'out';
  /** Undefined for a packet that no SA of this worker takes. */
  readonly childId: number | undefined;
  /** Why it went no further; undefined for one that passed. */
  readonly drop: DropReason | undefined;
  /** Octets of the whole packet. */
  readonly length: number;
  /** Its first octets. The receiver's own. */
  readonly bytes: Uint8Array;
}

/** A packet as it passed through the packet path, or as it was dropped there. */
export type TappedPacket =
  /** Between the host and the tunnel: `bytes` from the IP header on. */
  | (Tapped & { readonly layer: 'inner' })
  /**
   * Between the gateways: `bytes` from the SPI on. `remote` has port 0 where it came or left as IP protocol 50, and is
   * undefined where that is not known.
   */
  | (Tapped & { readonly layer: 'outer'; readonly form: EspForm; readonly remote: Endpoint | undefined });

/**
 * Copies of packets, from the packet path to a capture. The packet path never waits for its reader: what
 * finds no room is counted and passes uncopied.
 */
export interface PacketTap {
  /** Packets of this child SA are copied, from its installation on when that is still to come. */
  watch(childId: number): void;
  /** Takes out the oldest copies, up to about so many octets; none when there are none. */
  take(octets: number): TappedPacket[];
  /** Copies that found no room, since the beginning. */
  readonly lost: number;
  /** Ends it. What was not taken is forgotten. Safe to call twice. */
  close(): void;
}

/** Octets of copies that wait for their reader, for each worker. */
export const TAP_ROOM = 4 * 1024 * 1024;
