import type { EspSuite } from '../../crypto/types.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Millis } from '../../util/units.js';
import type { TrafficSelector } from '../../wire/ike/payloads.js';
import type { VolumeLimit } from '../sa/volume.js';

/** A child SA as its IKE SA remembers it; the keys went to the data plane. */
export interface ChildRecord {
  readonly id: number;
  readonly connection: ConnectionId;
  readonly spiIn: number;
  readonly spiOut: number;
  readonly suite: EspSuite;
  readonly localTs: readonly TrafficSelector[];
  readonly peerTs: readonly TrafficSelector[];
  readonly encapsulation: 'udp' | 'esp';
  readonly madeAt: Millis;
  rekeyAt: Millis;
  /** When a new IKE SA is begun because it was not rekeyed. */
  renewAt: Millis;
  expiresAt: Millis;
  readonly volume: VolumeLimit;
  /** As much has passed as one key is to carry: the rekey was asked for. */
  spent: boolean;
  /** When it is rekeyed early, to find out whether both ends agree on PFS. */
  verifyPfsAt: Millis | undefined;
  /** Nonces of the exchange that made it: they decide which of two redundant SAs goes (RFC 7296 §2.8.1). */
  readonly nonces: readonly Uint8Array[];
  /** This end sent the request that made it. */
  readonly initiated: boolean;
  /** The peer narrowed it and did not say that there is more: it is not asked again for the same networks. */
  readonly final: boolean;
  /**
   * `pending-outbound`: it receives; sending starts with the first packet on it or the old one's DELETE.
   * `rekeyed`: another one is in its place, and the peer is to delete it.
   */
  state: 'installed' | 'pending-outbound' | 'rekeying' | 'rekeyed' | 'deleting';
  /** The child SA that this one replaces, until that one is gone. */
  replaces: number | undefined;
}
