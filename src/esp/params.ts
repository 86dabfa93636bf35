import type { EspKeys, EspSuite } from '../crypto/types.js';
import type { DeviceNumber, Spi } from '../util/ids.js';
import type { Endpoint } from '../util/ip.js';
import type { TrafficSelector } from '../wire/ike/payloads.js';
import type { EspStart } from './start.js';

/** Packets the anti-replay window spans by default (RFC 6479). */
export const DEFAULT_REPLAY_WINDOW = 1024;

/** How an ESP packet comes or is sent: in UDP (RFC 3948), or as IP protocol 50. */
export type EspForm = 'udp' | 'esp';

/**
 * A pair of ESP SAs in tunnel mode as the packet path installs it. SPIs are unsigned 32-bit numbers.
 * `outbound: false` receives only, until outbound traffic is switched over to it.
 */
export interface EspPair {
  readonly id: number;
  readonly spiIn: Spi;
  readonly spiOut: Spi;
  readonly suite: EspSuite;
  readonly keysIn: EspKeys;
  readonly keysOut: EspKeys;
  readonly localTs: readonly TrafficSelector[];
  readonly peerTs: readonly TrafficSelector[];
  /** How its packets are sent; both forms are received (RFC 7296 §2.23). */
  readonly encapsulation: EspForm;
  readonly local: Endpoint;
  readonly peer: Endpoint;
  readonly outbound: boolean;
  /** Packets the anti-replay window spans; `DEFAULT_REPLAY_WINDOW` when left out. */
  readonly replayWindow?: number;
  /** Where its counters begin, when its keys were used elsewhere; `FRESH_START` when left out. */
  readonly start?: EspStart;
  /** The packet device it belongs to, by its number in the data plane; 0, the first one, when left out. */
  readonly device?: DeviceNumber;
}
