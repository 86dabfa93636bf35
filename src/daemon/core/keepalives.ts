import type { IkeEvent, IkeSaInfo } from '../../ike/events.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';
import type { EventConsumer } from './event-bus.js';

/** RFC 3948 §4: a keepalive at least this often while we are behind a NAT. */
export const KEEPALIVE: Millis = 20_000;

/**
 * When to send NAT keepalives, and where to. Only the end behind the NAT has a mapping to keep alive, so only
 * it sends them (RFC 7296 §2.23, RFC 3948 §4).
 */
export class Keepalives implements EventConsumer {
  readonly #due = new Map<number, { peer: Endpoint; at: Millis }>();

  handle(event: IkeEvent, now: Millis): void {
    if (event.kind === 'ike-established') this.established(event.ike, now);
    else if (event.kind === 'ike-closed') this.closed(event.ikeId);
    else if (event.kind === 'peer-moved') this.moved(event.ikeId, event.to);
  }

  established(ike: IkeSaInfo, now: Millis): void {
    if (ike.nat.local) this.#due.set(ike.ikeId, { peer: ike.peer, at: now + KEEPALIVE });
  }

  moved(ikeId: number, peer: Endpoint): void {
    const entry = this.#due.get(ikeId);
    if (entry !== undefined) entry.peer = peer;
  }

  closed(ikeId: number): void {
    this.#due.delete(ikeId);
  }

  /** The endpoints that are to get one now; each counts as served. */
  take(now: Millis): Endpoint[] {
    const out: Endpoint[] = [];
    for (const entry of this.#due.values()) {
      if (now < entry.at) continue;
      entry.at = now + KEEPALIVE;
      out.push(entry.peer);
    }
    return out;
  }
}
