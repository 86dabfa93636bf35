import type { EspSuite } from '../../crypto/types.js';
import type { TrafficSelector } from '../../wire/ike/payloads.js';

/**
 * What both ends agreed on for a pair of ESP SAs in tunnel mode, by either version of IKE: the base of all that speaks
 * of a child SA. SPIs are unsigned 32-bit numbers.
 */
export interface NegotiatedChild {
  readonly spiIn: number;
  readonly spiOut: number;
  readonly suite: EspSuite;
  readonly localTs: readonly TrafficSelector[];
  readonly peerTs: readonly TrafficSelector[];
  readonly encapsulation: 'udp' | 'esp';
}
