import type { IkeSaInfo } from '../../ike/events.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';

/** RFC 3948 §4: a keepalive at least this often while we are behind a NAT. */
export const KEEPALIVE: Millis = 20_000;

/**
 * When to send NAT keepalives, and where to. Only the end behind the NAT has a mapping to keep alive, so only
 * it sends them (RFC 7296 §2.23, RFC 3948 §4).
 */
export class Keepalives {
  readonly #due = new Map<number, { peer: Endpoint; at: Millis }>();

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
