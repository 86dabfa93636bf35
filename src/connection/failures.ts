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
    const telling = joined(this.#slots).sort(([, a], [, b]) => weight(b) - weight(a));
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

/** Both roles may meet the same failure: then it is one, in the role of the later attempt, counted together. */
function joined(slots: ReadonlyMap<Role, Slot>): [Role, Slot][] {
  const [a, b] = slots;
  if (a === undefined || b === undefined || !isEqual(a[1].failure, b[1].failure)) return [...slots];
  const [[, earlier], [role, later]] = b[1].lastAt >= a[1].lastAt ? [a, b] : [b, a];
  const firstAt = Math.min(earlier.firstAt, later.firstAt);
  return [[role, { ...later, firstAt, count: earlier.count + later.count }]];
}

/** One of the same cause with another message has other evidence: the more telling of them counts. */
function isEqual(one: StatusFailure, other: StatusFailure): boolean {
  return one.cause === other.cause && one.message === other.message;
}
