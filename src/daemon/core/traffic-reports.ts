import type { SaView } from '../../connection/ledger.js';
import type { ChildCounters } from '../../dataplane/dataplane.js';
import type { Input } from '../../ike/inputs.js';
import type { ChildId } from '../../util/ids.js';
import type { Millis } from '../../util/units.js';

/** The engine learns the volume of a child SA after about this much more of it. */
const VOLUME_STEP_BYTES = 2 ** 20;
const VOLUME_STEP_PACKETS = 2 ** 16;
/** Tolerance between the clocks of the packet path and of the engine: less than this is the same packet. */
const CLOCK_NOISE: Millis = 5;

interface Reported {
  /** Of the last inbound packet that the engine knows. */
  at: Millis;
  /** Steps of volume that it knows. */
  steps: number;
}

/**
 * What of the packet path's counters the engine has to know: that the peer sends (RFC 7296 §2.4), and how much has
 * passed under a key. It need not hear of every packet.
 */
export class TrafficReports {
  readonly #ledger: Pick<SaView, 'child'>;
  /** Of the child SAs that were there at the last look. */
  #reported: ReadonlyMap<ChildId, Reported> = new Map();

  constructor(ledger: Pick<SaView, 'child'>) {
    this.#ledger = ledger;
  }

  /** Reports what is new in the counters. `input` may close child SAs of which counters are still to come. */
  report(counters: readonly ChildCounters[], input: (input: Input) => void): void {
    const before = this.#reported;
    const seen = new Map<ChildId, Reported>();
    this.#reported = seen;
    for (const one of counters) {
      if (this.#ledger.child(one.id) === undefined) continue;
      const reported = before.get(one.id) ?? { at: 0, steps: 0 };
      seen.set(one.id, reported);
      this.#volume(one, reported, input);
      if (one.lastInbound <= reported.at + CLOCK_NOISE) continue;
      reported.at = one.lastInbound;
      input({ kind: 'inbound-traffic', childId: one.id, at: one.lastInbound });
    }
  }

  #volume(counters: ChildCounters, reported: Reported, input: (input: Input) => void): void {
    const { id, packetsIn, sequenceOut, bytesIn, bytesOut } = counters;
    const bytes = Math.max(bytesIn, bytesOut);
    const packets = Math.max(packetsIn, sequenceOut);
    const steps = Math.floor(bytes / VOLUME_STEP_BYTES) + Math.floor(packets / VOLUME_STEP_PACKETS);
    if (steps <= reported.steps) return;
    reported.steps = steps;
    input({ kind: 'traffic-volume', childId: id, bytes, packets });
  }
}
