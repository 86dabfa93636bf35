import type { Millis } from '../../util/units.js';
import type { LiveChild } from '../sa/child.js';

/** A child SA as its IKE SA remembers it; the keys went to the data plane. */
export interface ChildRecord extends LiveChild {
  /** When a new IKE SA is begun because it was not rekeyed. */
  renewAt: Millis;
  /** When it is rekeyed early, to find out whether both ends agree on PFS. */
  verifyPfsAt: Millis | undefined;
  /** Nonces of the exchange that made it: they decide which of two redundant SAs is deleted (RFC 7296 §2.8.1). */
  readonly nonces: readonly Uint8Array[];
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
