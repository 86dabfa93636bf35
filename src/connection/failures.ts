import type { Role } from '../ike/events.js';
import type { Millis } from '../util/units.js';
import { codeOf, rankOf, type StatusFailure, statusReason } from './reasons.js';
import type { StatusReason } from './status.js';

/** A failure this much older than the newest one counts less than it: the peer may have been mended since. */
const OUTDATED: Millis = 600_000;

/** The last failure in one role, with how often it came in a row. */
interface Slot {
  readonly failure: StatusFailure;
  readonly version: 1 | 2;
  readonly firstAt: Millis;
  readonly lastAt: Millis;
  readonly count: number;
}

/**
 * Why a connection is not up. There is one slot for our own attempts and one for the peer's: an initiator
 * learns little from NO_PROPOSAL_CHOSEN or AUTHENTICATION_FAILED, the responder of the same mistake sees both
 * sides, so the two are joined when they speak of the same thing.
 */
export class FailureMemory {
  readonly #slots = new Map<Role, Slot>();

  record(role: Role, failure: StatusFailure, version: 1 | 2, now: Millis): void {
    const before = this.#slots.get(role);
    const repeated = before !== undefined && before.failure.cause === failure.cause;
    this.#slots.set(role, {
      failure,
      version,
      firstAt: repeated ? before.firstAt : now,
      lastAt: now,
      // One loss may be told twice in one step: by the child SA and by its IKE SA.
      count: !repeated ? 1 : before.lastAt === now ? before.count : before.count + 1,
    });
  }

  clear(): void {
    this.#slots.clear();
  }

  get empty(): boolean {
    return this.#slots.size === 0;
  }

  /**
   * Status reasons, the most telling first; failures with one public code are one reason.
   * @param toUtc gives the RFC 3339 form of a point on the clock
   */
  reasons(peer: string, toUtc: (at: Millis) => string): StatusReason[] {
    const newest = Math.max(...[...this.#slots.values()].map(({ lastAt }) => lastAt));
    const weight = ({ failure, lastAt }: Slot): number => (newest - lastAt > OUTDATED ? -1 : rankOf(failure));
    const telling = [...this.#slots].sort(([, a], [, b]) => weight(b) - weight(a));
    const out: StatusReason[] = [];
    const seen = new Set<string>();
    for (const [role, slot] of telling) {
      const code = codeOf(slot.failure.cause, slot.version);
      if (seen.has(code)) continue;
      seen.add(code);
      out.push(
        statusReason(slot.failure, {
          role,
          version: slot.version,
          peer,
          count: slot.count,
          firstAt: toUtc(slot.firstAt),
          lastAt: toUtc(slot.lastAt),
        }),
      );
    }
    return out;
  }
}
