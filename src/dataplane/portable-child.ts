import type { CryptoBackend } from '../crypto/types.js';
import { DropCounter } from '../esp/drop-counter.js';
import { InboundSa } from '../esp/open.js';
import { DEFAULT_REPLAY_WINDOW, type EspForm, type EspPair } from '../esp/params.js';
import { OutboundSa } from '../esp/seal.js';
import { SelectorSet } from '../esp/selectors.js';
import { FRESH_START } from '../esp/start.js';
import type { DeviceNumber, Spi } from '../util/ids.js';
import type { Endpoint } from '../util/ip.js';
import type { Random } from '../util/random.js';
import type { Term } from '../util/term.js';
import type { Millis } from '../util/units.js';
import type { ChildCounters } from './dataplane.js';
import { PeerReports } from './peer-watch.js';

/** A pair of ESP SAs with its counters, as the portable data plane keeps it. */
export class PortableChild {
  readonly id: number;
  readonly spiIn: Spi;
  /** Number of its packet device. */
  readonly device: DeviceNumber;
  readonly local: Endpoint;
  /** How its packets are sent; both forms are received. */
  readonly encapsulation: EspForm;
  readonly inbound: InboundSa;
  readonly outbound: OutboundSa;
  readonly drops = new DropCounter();
  /** Where outbound packets go. */
  peer: Endpoint;
  /** The last new address of the peer that was reported; the peer's before the first. */
  reportedPeer: Endpoint;
  readonly reports = new PeerReports();
  packetsIn = 0;
  bytesIn = 0;
  packetsOut = 0;
  bytesOut = 0;
  lastInbound: Millis = 0;

  /** Takes over and wipes the keys in `pair`. @throws RangeError for a suite or keys that do not fit */
  constructor(pair: EspPair, crypto: CryptoBackend, random: Random, term: Term) {
    this.id = pair.id;
    this.spiIn = pair.spiIn;
    this.device = pair.device ?? 0;
    this.local = pair.local;
    this.encapsulation = pair.encapsulation;
    this.peer = pair.peer;
    this.reportedPeer = pair.peer;
    const { suite, start = FRESH_START } = pair;
    this.outbound = new OutboundSa({
      ...{ spi: pair.spiOut, suite, keys: pair.keysOut, crypto, random },
      ...{ start, term },
    });
    this.inbound = new InboundSa({
      spi: pair.spiIn,
      suite,
      keys: pair.keysIn,
      crypto,
      selectors: new SelectorSet(pair.localTs, pair.peerTs),
      replayWindow: pair.replayWindow ?? DEFAULT_REPLAY_WINDOW,
      highest: start.highest,
    });
  }

  counters(): ChildCounters {
    return {
      id: this.id,
      packetsIn: this.packetsIn,
      bytesIn: this.bytesIn,
      packetsOut: this.packetsOut,
      bytesOut: this.bytesOut,
      lastInbound: this.lastInbound,
      sequenceOut: this.outbound.sequence,
      reservedOut: this.outbound.limit,
      highestIn: this.inbound.highestSequence,
      drops: this.drops.snapshot(),
    };
  }

  wipe(): void {
    this.inbound.wipe();
    this.outbound.wipe();
  }
}
