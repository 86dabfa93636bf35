import type { SaView } from '../../connection/ledger.js';
import type { EventConsumer } from '../../connection/projection.js';
import type { IkeEvent } from '../../ike/events.js';
import type { IkeId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';

/** RFC 3948 §4: a keepalive at least this often while we are behind a NAT. */
export const KEEPALIVE: Millis = 20_000;

/**
 * When to send NAT keepalives, and where to. Only the end behind the NAT has a mapping to keep alive, so only
 * it sends them (RFC 7296 §2.23, RFC 3948 §4).
 */
export class Keepalives implements EventConsumer {
  readonly #ledger: Pick<SaView, 'ike'>;
  /** When the next one is due. */
  readonly #due = new Map<IkeId, Millis>();

  constructor(ledger: Pick<SaView, 'ike'>) {
    this.#ledger = ledger;
  }

  on(event: IkeEvent, now: Millis): void {
    if (event.kind === 'ike-established' && event.ike.nat.local)
      this.#due.set(event.ike.ikeId, now + KEEPALIVE);
  }

  /** The endpoints that are to get one now; each counts as served. */
  take(now: Millis): Endpoint[] {
    const out: Endpoint[] = [];
    for (const [id, at] of this.#due) {
      const ike = this.#ledger.ike(id);
      if (ike === undefined) this.#due.delete(id);
      if (ike === undefined || now < at) continue;
      this.#due.set(id, now + KEEPALIVE);
      out.push(ike.peer);
    }
    return out;
  }
}
