import type { ConnectionConfig } from '../../ike/config.js';
import type { CloseReason, Failure, IkeEvent, Role } from '../../ike/events.js';
import type { Millis } from '../../util/units.js';
import type { EventOf } from '../event-catalogue.js';
import { CLOSES, isIntended } from '../losses.js';
import type { Moment, Projection } from '../projection.js';
import { codeOf, rankOf, type StatusCause, type StatusFailure, statusReason } from '../reasons.js';
import type { StatusReason } from '../status.js';
import { expiredUnrekeyed, type LifetimeWatch } from './lifetimes.js';
import type { RekeyRefusal, RekeyRefusals } from './refusals.js';
import type { PeerContact } from './silence.js';

/** A failure this much older than the newest one counts less: the peer may have been fixed since. */
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
 * sides, so the two are joined when they are about the same thing.
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
      // One loss raises two events: that of the child SA and that of its IKE SA.
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

/** What is known beyond the event that reports a failure. All are read; `refusals` as they are before the event. */
export interface FailureEvidence {
  readonly contact: Pick<PeerContact, 'explain'>;
  readonly lifetimes: Pick<LifetimeWatch, 'ofLoss'>;
  readonly refusals: Pick<RekeyRefusals, 'of' | 'ofPeer'>;
  /** The RFC 3339 form, in UTC, of a point on the clock. */
  readonly toUtc: (at: Millis) => string;
}

/** Why the connection is not up, of all that its events say. */
export class Failures extends FailureMemory implements Projection {
  readonly #evidence: FailureEvidence;
  #latest: StatusCause | undefined;

  constructor(evidence: FailureEvidence) {
    super();
    this.#evidence = evidence;
  }

  /** The cause that the last event gave, also where the connection is up all the same; undefined when it gave none. */
  get latest(): StatusCause | undefined {
    return this.#latest;
  }

  on(event: IkeEvent, moment: Moment): void {
    this.#latest = undefined;
    switch (event.kind) {
      case 'ike-established':
      case 'child-established':
        if (moment.after !== 'down') this.clear();
        return;
      case 'ike-closed':
        this.#ikeClosed(event, moment);
        return;
      case 'child-closed':
        this.#childClosed(event, moment);
        return;
      case 'ike-failed':
        this.#ikeFailed(event, moment);
        return;
      case 'child-failed':
        this.#note(event.role, event.failure, moment.change.ike?.version ?? 2, moment);
        return;
      default:
    }
  }

  onPeer(event: IkeEvent, moment: Moment): void {
    if (event.kind === 'ike-failed') this.#ikeFailed(event, moment);
    else if (event.kind === 'datagram-dropped') this.#turnedAway(event, moment);
  }

  #ikeFailed({ role, failure }: EventOf<'ike-failed'>, moment: Moment): void {
    const { contact, toUtc } = this.#evidence;
    const version = moment.change.attempt?.version ?? 2;
    this.#note(role, contact.explain(failure, moment.peer, toUtc), version, moment);
  }

  #ikeClosed({ reason, failure }: EventOf<'ike-closed'>, moment: Moment): void {
    const { config, change } = moment;
    const refused = reason === 'peer-deleted' ? this.#evidence.refusals.ofPeer : undefined;
    const unrekeyed =
      reason === 'expired' && config.establishMode === 'peer_only'
        ? expiredUnrekeyed('ike', config.ikeLifetime)
        : expiredAfter(refused?.failure);
    this.#lost(reason, failure ?? unrekeyed, change.ike?.version ?? 2, moment);
  }

  #childClosed({ reason, childId }: EventOf<'child-closed'>, moment: Moment): void {
    const { change, config, after } = moment;
    if (change.child === undefined || after !== 'down') return;
    const refused = change.superseded ? undefined : this.#evidence.refusals.of(childId);
    this.#lost(reason, unrekeyedChild(reason, refused, config), change.ike?.version ?? 2, moment);
  }

  /** Our own limits keep the peer out, or an attacker that uses its address. */
  #turnedAway({ peer, detail }: EventOf<'datagram-dropped'>, moment: Moment): void {
    const message = `Requests from ${peer.address} are dropped here: ${detail}`;
    this.#note('responder', { cause: 'half_open_limit', message }, 2, moment);
  }

  /** Why a connection was lost: by a lifetime or a clock, for the reason the engine names, or as the SA ended. */
  #lost(reason: CloseReason, named: StatusFailure | undefined, version: 1 | 2, moment: Moment): void {
    if (isIntended(reason)) return;
    const { lifetimes, toUtc } = this.#evidence;
    const failure = lifetimes.ofLoss(reason, moment.now, toUtc) ?? named ?? CLOSES[reason].failure;
    if (failure !== undefined) this.#note('initiator', failure, version, moment);
  }

  #note(role: Role, failure: StatusFailure, version: 1 | 2, { after, now }: Moment): void {
    this.#latest = failure.cause;
    // An attempt given up by us is no failure, and a stray attempt beside a working tunnel is none of the tunnel's.
    if (failure.cause === 'terminated' || after === 'up') return;
    this.record(role, failure, version, now);
  }
}

/** A child SA ended with its lifetime because rekeying it was refused: that refusal is the cause. */
function expiredAfter(refused: Failure | undefined): StatusFailure | undefined {
  if (refused === undefined) return undefined;
  const known = refused.cause.endsWith('_mismatch');
  return {
    ...refused,
    cause: known ? refused.cause : 'rekey_failed',
    message: `the child SA reached the end of its lifetime, since it could not be rekeyed: ${refused.message}`,
  };
}

/** Why a child SA came to the end of a lifetime, ours or the peer's; undefined when it ended otherwise. */
function unrekeyedChild(
  reason: CloseReason,
  refused: RekeyRefusal | undefined,
  { establishMode, childLifetime }: ConnectionConfig,
): StatusFailure | undefined {
  const byPeer = refused?.byPeer === true;
  if (reason !== 'expired' && !(reason === 'peer-deleted' && byPeer)) return undefined;
  if (establishMode === 'peer_only' && !byPeer) return expiredUnrekeyed('child', childLifetime);
  return expiredAfter(refused?.failure);
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
