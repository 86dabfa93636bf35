import type { IkeEvent, Role } from '../../ike/events.js';
import { Histogram } from '../../util/histogram.js';
import type { IkeId } from '../../util/ids.js';
import type { Millis } from '../../util/units.js';
import type { EventOf } from '../event-catalogue.js';
import { CLOSES, isIntended } from '../losses.js';
import type { Moment, Projection } from '../projection.js';
import type { StatusCause } from '../reasons.js';
import type { Failures } from './failures.js';

/** Upper bounds, in seconds, of how long a handshake takes. */
export const HANDSHAKE_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] as const;

/** Handshakes of one connection that are timed at once. */
const MAX_BEGUN = 8;

/** The kind of an SA that is rekeyed. */
export type SaKind = 'ike' | 'child';

/** How many of each kind of thing happened to one connection since it was configured, for metrics. */
export class EventCounts implements Projection {
  /** Negotiations from the start that came to an end, whatever it was. */
  readonly attempts: Record<Role, number> = { initiator: 0, responder: 0 };
  /** IKE SAs that were negotiated from the start. */
  readonly establishments: Record<Role, number> = { initiator: 0, responder: 0 };
  readonly failures = new Map<StatusCause, number>();
  /** Times the connection went down without being asked to. */
  readonly losses = new Map<StatusCause, number>();
  readonly rekeyed: Record<SaKind, number> = { ike: 0, child: 0 };
  readonly unrekeyed: Record<SaKind, number> = { ike: 0, child: 0 };
  /** Seconds from the first message of an IKE SA to its first child SA. */
  readonly handshakes: Readonly<Record<Role, Histogram>> = {
    initiator: new Histogram(HANDSHAKE_SECONDS),
    responder: new Histogram(HANDSHAKE_SECONDS),
  };
  readonly messages = { in: 0, out: 0 };
  retransmissions = 0;
  probes = 0;
  timeouts = 0;
  moves = 0;
  /** When more or less of the connection began to be carried than before; undefined as long as it never changed. */
  changedAt: Millis | undefined;
  /** When the handshakes of IKE SAs began that have no child SA yet. */
  readonly #begun = new Map<IkeId, Millis>();
  readonly #failures: Pick<Failures, 'latest'>;

  /** @param failures has taken every event before it comes here: the cause is the one that the status has */
  constructor(failures: Pick<Failures, 'latest'>) {
    this.#failures = failures;
  }

  on(event: IkeEvent, moment: Moment): void {
    if (moment.before !== moment.after) this.changedAt = moment.now;
    if (moment.begunAt !== undefined) this.#begin(moment.begunAt.ikeId, moment.begunAt.at);
    switch (event.kind) {
      case 'ike-initiating':
        this.#begin(event.ikeId, moment.now);
        return;
      case 'ike-established':
        this.#ikeEstablished(event);
        return;
      case 'child-established':
        this.#childEstablished(event, moment);
        return;
      case 'ike-failed':
        this.#ikeFailed(event);
        return;
      case 'child-failed':
        if (event.rekeys === undefined) this.#add(this.failures, this.#failures.latest);
        else this.unrekeyed.child++;
        return;
      case 'ike-closed':
        this.#begun.delete(event.ikeId);
        if (event.reason === 'peer-dead' && moment.change.ike !== undefined) this.timeouts++;
        this.#lost(event, moment);
        return;
      case 'child-closed':
        this.#lost(event, moment);
        return;
      default:
        this.#countOthers(event);
    }
  }

  onPeer(event: IkeEvent): void {
    if (event.kind === 'ike-failed') this.#ikeFailed(event);
  }

  #countOthers(event: IkeEvent): void {
    switch (event.kind) {
      case 'message':
        this.messages[event.direction]++;
        return;
      case 'retransmit':
        this.retransmissions++;
        return;
      case 'liveness-probe':
        this.probes++;
        return;
      case 'peer-moved':
        this.moves++;
        return;
      case 'advisory':
        // The one event of a refused rekeying of an IKE SA, which goes on until it expires.
        if (event.code === 'rekey_refused') this.unrekeyed.ike++;
        return;
      default:
    }
  }

  #ikeEstablished({ ike, adopted }: EventOf<'ike-established'>): void {
    if (adopted === true) return;
    if (ike.replaces !== undefined) {
      // In version 1 it begins like a new one.
      this.#begun.delete(ike.ikeId);
      this.rekeyed.ike++;
      return;
    }
    this.attempts[ike.role]++;
    this.establishments[ike.role]++;
  }

  #childEstablished({ child, adopted }: EventOf<'child-established'>, { sas, now }: Moment): void {
    if (adopted === true) return;
    if (child.replaces !== undefined) this.rekeyed.child++;
    const begun = this.#begun.get(child.ikeId);
    if (begun === undefined) return;
    this.#begun.delete(child.ikeId);
    const role = sas.ikes.get(child.ikeId)?.role;
    if (role !== undefined) this.handshakes[role].observe((now - begun) / 1000);
  }

  #ikeFailed({ ikeId, role, failure }: EventOf<'ike-failed'>): void {
    if (ikeId !== undefined) this.#begun.delete(ikeId);
    this.attempts[role]++;
    // An attempt that an operator gave up is no failure.
    if (failure.cause === 'terminated') return;
    this.#add(this.failures, this.#failures.latest);
  }

  #lost({ reason }: EventOf<'ike-closed'> | EventOf<'child-closed'>, { before, after }: Moment): void {
    if (before === 'down' || after !== 'down' || isIntended(reason)) return;
    this.#add(this.losses, this.#failures.latest ?? CLOSES[reason].failure?.cause);
  }

  #add(counts: Map<StatusCause, number>, cause: StatusCause = 'internal_error'): void {
    counts.set(cause, (counts.get(cause) ?? 0) + 1);
  }

  #begin(ikeId: IkeId, at: Millis): void {
    this.#begun.set(ikeId, at);
    if (this.#begun.size > MAX_BEGUN) this.#begun.delete(this.#begun.keys().next().value!);
  }
}
