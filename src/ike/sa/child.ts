import type { EspSuite } from '../../crypto/types.js';
import type { ChildId, ConnectionId, IkeId } from '../../util/ids.js';
import type { Millis } from '../../util/units.js';
import type { SelectorLists } from '../policy/selectors.js';
import { isReached, type Volume, type VolumeLimit } from './volume.js';

/**
 * What both ends agreed on for a pair of ESP SAs in tunnel mode, by either version of IKE: the base of all that speaks
 * of a child SA. SPIs are unsigned 32-bit numbers.
 */
export interface NegotiatedChild extends SelectorLists {
  readonly spiIn: number;
  readonly spiOut: number;
  readonly suite: EspSuite;
  readonly encapsulation: 'udp' | 'esp';
}

/** A child SA as the engine remembers it, by either version of IKE; the keys went to the data plane. */
export interface LiveChild extends NegotiatedChild {
  readonly id: ChildId;
  readonly connection: ConnectionId;
  /** This end sent the first message of the exchange that made it. */
  readonly initiated: boolean;
  readonly establishedAt: Millis;
  rekeyAt: Millis;
  /** What was reported of it last. `rekeyAt` itself is used up when the rekey begins. */
  reported: { readonly ikeId: IkeId; readonly rekeyAt: Millis; readonly narrowed: boolean };
  expiresAt: Millis;
  /** What may pass before it is rekeyed, and before it ends. */
  volume: VolumeLimit;
  /** As much has passed as one key is to carry: the rekey was asked for. */
  spent: boolean;
}

/** So much has passed on a child SA: it is rekeyed, once, or ends where that has not worked. */
export function noteVolume(child: LiveChild, passed: Volume, now: Millis): void {
  if (isReached(child.volume.expiresAt, passed)) child.expiresAt = Math.min(child.expiresAt, now);
  else if (isReached(child.volume.rekeyAt, passed) && !child.spent) {
    child.spent = true;
    child.rekeyAt = Math.min(child.rekeyAt, now);
  }
}
