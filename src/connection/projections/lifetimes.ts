import type { ConnectionConfig } from '../../ike/config.js';
import type { ChildSaInfo, CloseReason, IkeEvent, IkeSaInfo } from '../../ike/events.js';
import { type Millis, type Seconds, seconds } from '../../util/units.js';
import type { Moment, Projection } from '../projection.js';
import { type StatusFailure, statusReason } from '../reasons.js';
import type { Advisory } from '../status.js';
import type { RekeyRefusals } from './refusals.js';

/** This many SAs in a row that ended early, at about the same age, are neither coincidence nor an operator. */
const ENOUGH = 3;
/** Endings that are kept of each kind of SA. */
const MAX_ENDINGS = 8;
/** An SA that reached this part of the age at which we rekey did not end early. */
const EARLY = 0.9;
/** Ages count as alike when the highest is at most this much above the lowest. */
const ALIKE = 1.3;
const ALIKE_AT_LEAST: Millis = 3000;
/** Endings this close together are one. */
const ONE_EVENT: Millis = 1000;
/** How long the verdict applies after the last ending: a few lifetimes, and ten minutes at least. */
const HOLDS_AT_LEAST: Millis = 600_000;
const HOLDS_LIFETIMES = 3;
/** A machine that paused for less than this is only busy. */
export const STANDSTILL: Millis = 10_000;
/** A loss this soon after a standstill is attributed to it: dead peer detection at the default pace, and a margin. */
const AFTER_STANDSTILL: Millis = 60_000;
/** A lifetime the peer asks for (IKEv1) that leaves this little time to rekey deserves an advisory. */
const HARDLY_TIME: Millis = 30_000;

/** Which of the two kinds of SA an ending was of: they have different lifetimes. */
export type SaKind = 'ike' | 'child';

interface Ending {
  readonly age: Millis;
  readonly planned: Millis;
  readonly at: Millis;
}

/** An SA as far as its age matters. `establishedAt` and `rekeyAt` are on the engine's clock. */
export interface Aging {
  readonly establishedAt: Millis;
  readonly rekeyAt: Millis;
}

const NAMES: Readonly<Record<SaKind, string>> = { ike: 'IKE SA', child: 'child SA' };

/**
 * Watches how SAs end, for lifetimes that do not fit together and for a clock that others do not share. IKEv2
 * does not negotiate lifetimes (RFC 7296 §2.8): a peer whose lifetime is shorter than ours, and that does not
 * rekey, ends the connection again and again, each time at the same age. A machine that was suspended comes back
 * with SAs that the peer has given up.
 */
export class LifetimeWatch implements Projection {
  readonly #refusals: Pick<RekeyRefusals, 'of' | 'ofPeer'>;
  readonly #endings: Record<SaKind, Ending[]> = { ike: [], child: [] };
  #standstill: { readonly length: Millis; readonly until: Millis } | undefined;

  /** @param refusals read as they are before the event that is looked at */
  constructor(refusals: Pick<RekeyRefusals, 'of' | 'ofPeer'>) {
    this.#refusals = refusals;
  }

  on(event: IkeEvent, { change, sas, now }: Moment): void {
    switch (event.kind) {
      case 'ike-established':
        if (event.ike.replaces !== undefined) this.rekeyed('ike');
        return;
      case 'child-established':
        if (event.child.replaces !== undefined) this.rekeyed('child');
        return;
      case 'child-failed':
        // The peer does rekey, so its lifetime is not what ends child SAs early.
        if (event.rekeys !== undefined && event.role === 'responder') this.rekeyed('child');
        return;
      case 'ike-closed': {
        const refused = event.reason === 'peer-deleted' && this.#refusals.ofPeer !== undefined;
        if (sas.ikes.size === 0 && change.ike !== undefined && !refused)
          this.lost('ike', change.ike, event.reason, now);
        return;
      }
      case 'child-closed':
        // One that the peer wanted to rekey, and we refused to, ends with the peer's lifetime: no conflict of lifetimes.
        if (change.child === undefined || change.superseded || this.#refusals.of(event.childId)?.byPeer)
          return;
        this.lost('child', change.child, event.reason, now);
        return;
      default:
    }
  }

  /** The SA was rekeyed: its kind outlives its lifetime. */
  rekeyed(kind: SaKind): void {
    this.#endings[kind].length = 0;
  }

  /** The connection lost this SA, and with it its traffic. */
  lost(kind: SaKind, { establishedAt, rekeyAt }: Aging, reason: CloseReason, now: Millis): void {
    const age = now - establishedAt;
    const planned = rekeyAt - establishedAt;
    const endings = this.#endings[kind];
    if (reason !== 'peer-deleted' || this.#afterStandstill(now)) return;
    if (age >= planned * EARLY) {
      endings.length = 0;
      return;
    }
    // Child SAs that end together with their IKE SA, or with one another, are one ending.
    if (now - (endings.at(-1)?.at ?? Number.NEGATIVE_INFINITY) < ONE_EVENT) return;
    endings.push({ age, planned, at: now });
    if (endings.length > MAX_ENDINGS) endings.shift();
  }

  /** The process, or the whole machine, did not run for this long. */
  stoodStill(length: Millis, now: Millis): void {
    this.#standstill = { length, until: now };
  }

  #afterStandstill(now: Millis): boolean {
    return this.#standstill !== undefined && now - this.#standstill.until <= AFTER_STANDSTILL;
  }

  /** Why the connection was lost just now, when time itself is the reason. */
  ofLoss(reason: CloseReason, now: Millis, toUtc: (at: Millis) => string): StatusFailure | undefined {
    const still = this.#standstill;
    const byTime = reason === 'peer-dead' || reason === 'peer-deleted' || reason === 'expired';
    if (still === undefined || !byTime || !this.#afterStandstill(now)) return this.repeated(now);
    const length = Math.round(still.length / 1000);
    return {
      cause: 'clock_or_lifetime',
      message: `this machine, or this process, was paused for ${length} s until ${toUtc(still.until)}: the peer deleted the SAs in the meantime`,
      details: { stoodStill: length, wentOn: toUtc(still.until) },
    };
  }

  /** SAs that the peer ends again and again before we would rekey them. */
  repeated(now: Millis): StatusFailure | undefined {
    for (const kind of ['ike', 'child'] as const) {
      const endings = this.#endings[kind].slice(-ENOUGH);
      const last = endings.at(-1);
      if (last === undefined || endings.length < ENOUGH) continue;
      const ages = endings.map(({ age }) => age);
      const lowest = Math.min(...ages);
      if (Math.max(...ages) > Math.max(lowest * ALIKE, lowest + ALIKE_AT_LEAST)) continue;
      if (now - last.at > Math.max(HOLDS_AT_LEAST, last.age * HOLDS_LIFETIMES)) continue;
      const endedAfter = ages.map((age) => Math.round(age / 1000));
      const rekeyAfter = Math.round(last.planned / 1000);
      return {
        cause: 'clock_or_lifetime',
        message: `the peer deleted the last ${ENOUGH} ${NAMES[kind]}s after ${endedAfter.join(', ')} s, while we would rekey after ${rekeyAfter} s: its lifetime, or its idle time, is shorter than ours and it does not rekey`,
        details: { endedAfter, rekeyAfter },
      };
    }
    return undefined;
  }
}

/**
 * An SA that reached the end of our lifetime that was not rekeyed: `peer_only` leaves that to the peer, whose
 * lifetime is the longer one.
 */
export function expiredUnrekeyed(kind: SaKind, life: Seconds): StatusFailure {
  return {
    cause: 'clock_or_lifetime',
    message: `the ${NAMES[kind]} reached our lifetime of ${life} s and the peer, which alone rekeys under peer_only, had not rekeyed it: its lifetime is longer than ours`,
    details: { rekeyAfter: life },
  };
}

/** A lifetime so short that hardly a lost packet is allowed while rekeying; undefined for any other. */
function hardlyTime(
  kind: SaKind,
  { establishedAt, rekeyAt }: Aging,
  configured: Seconds,
): string | undefined {
  const planned = rekeyAt - establishedAt;
  if (!Number.isFinite(planned) || planned >= HARDLY_TIME || planned * 2 >= seconds(configured))
    return undefined;
  return (
    `The peer asks for a lifetime that has the ${NAMES[kind]} rekeyed after ${Math.round(planned / 1000)} s, where ` +
    `${configured} s are configured here: raise the lifetime at the peer.`
  );
}

/** Advisories about the lifetimes of a connection, whether it is up or not. */
export function lifetimeAdvisories(
  watch: LifetimeWatch,
  { ikeLifetime, childLifetime }: ConnectionConfig,
  ikes: readonly IkeSaInfo[],
  children: readonly ChildSaInfo[],
  now: Millis,
): Advisory[] {
  const repeated = watch.repeated(now);
  // Only IKEv1 announces the other end's lifetime (RFC 2407 §4.5.4).
  const version1 = ikes.some((ike) => ike.version === 1);
  const short = !version1
    ? []
    : [
        ...ikes.map((ike) => hardlyTime('ike', ike, ikeLifetime)),
        ...children.map((child) => hardlyTime('child', child, childLifetime)),
      ].flatMap((message) => message ?? []);
  return [...(repeated === undefined ? [] : [statusReason(repeated).message]), ...short.slice(0, 1)].map(
    (message) => ({ code: 'clock_or_lifetime', message }),
  );
}
