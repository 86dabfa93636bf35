import type { Failure, FailureCause, IkeEvent } from '../../ike/events.js';
import { type Endpoint, formatEndpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';
import { IKE_PORT, NAT_TRAVERSAL_PORT } from '../../wire/ike/constants.js';
import type { Moment, Projection } from '../projection.js';
import type { StatusFailure } from '../reasons.js';

/** Endpoints that are named; a host name may resolve to many addresses. */
const MAX_ENDPOINTS = 8;
/** How a local packet filter refuses a send; other errors mean that there is no route. */
const FORBIDDEN: ReadonlySet<string> = new Set(['EPERM', 'EACCES']);

interface SendError {
  readonly code: string;
  readonly message: string;
  readonly at: Millis;
}

/**
 * What was sent to a peer since it was last heard, and what was ever received from it. Silence does not say why nothing
 * comes back: a blocked port, a peer that does not run and a wrong address look the same from here. What else is known
 * narrows it down, and where it does not, the status says so.
 */
export class PeerContact implements Projection {
  readonly #sentTo = new Set<string>();
  /** UDP port of the last one. */
  #port: number = IKE_PORT;
  #sent = 0;
  #firstSent: Millis | undefined;
  #lastSent: Millis | undefined;
  /** The last message that answered one of ours, or could have. */
  #heardAt: Millis | undefined;
  /** The last request that the peer itself began with. */
  #beganAt: Millis | undefined;
  #error: SendError | undefined;

  on(event: IkeEvent, { now }: Moment): void {
    switch (event.kind) {
      case 'message':
        if (event.direction === 'out') this.sent(event.peer, now);
        else this.heard(now);
        return;
      case 'retransmit':
        this.sent(event.peer, now);
        return;
      default:
    }
  }

  onPeer(event: IkeEvent, { now }: Moment): void {
    if (event.kind === 'ike-responding') this.began(now);
  }

  sent(to: Endpoint, now: Millis): void {
    this.#sent++;
    this.#port = to.port;
    this.#firstSent ??= now;
    this.#lastSent = now;
    if (this.#sentTo.size < MAX_ENDPOINTS) this.#sentTo.add(formatEndpoint(to));
  }

  /** Something came that ends the silence. */
  heard(now: Millis): void {
    this.#heardAt = now;
    this.#sent = 0;
    this.#firstSent = undefined;
    this.#lastSent = undefined;
    this.#error = undefined;
    this.#sentTo.clear();
  }

  /** The peer initiates: proof that it runs and that its path to us is open, not that ours to it is. */
  began(now: Millis): void {
    this.#beganAt = now;
  }

  /** The kernel refused to send. */
  sendFailed(code: string, message: string, now: Millis): void {
    this.#error = { code, message, at: now };
  }

  /**
   * The failure with what is known beyond the attempt that met with silence. One that is no silence on the first
   * message of an attempt is returned as it is.
   */
  explain(failure: Failure, peer: string, toUtc: (at: Millis) => string): StatusFailure {
    if (failure.cause !== 'peer_silent' || failure.details?.unanswered !== 'message 1') return failure;
    const error =
      this.#error !== undefined && this.#error.at >= (this.#lastSent ?? 0) ? this.#error : undefined;
    const began = this.#beganAt !== undefined && this.#beganAt >= (this.#firstSent ?? 0);
    const lastHeard = Math.max(this.#heardAt ?? 0, this.#beganAt ?? 0);
    const details = {
      ...failure.details,
      sentTo: [...this.#sentTo],
      sent: this.#sent,
      ...(this.#firstSent === undefined ? {} : { firstSent: toUtc(this.#firstSent) }),
      ...(this.#lastSent === undefined ? {} : { lastSent: toUtc(this.#lastSent) }),
      ...(lastHeard === 0 ? {} : { lastHeard: toUtc(lastHeard) }),
      ...(error === undefined ? {} : { sendError: error.message }),
    };
    const port = this.#port;
    const blocked: FailureCause = port === NAT_TRAVERSAL_PORT ? 'port_4500_blocked' : 'port_500_blocked';
    const to = [...this.#sentTo].join(', ') || peer;
    if (error !== undefined && FORBIDDEN.has(error.code)) {
      const message = `this host's own packet filter does not let requests out to ${to}: ${error.message}`;
      return { cause: blocked, message, details: { ...details, confidence: 'certain' } };
    }
    if (error !== undefined) {
      const message = `this host cannot send to ${to}: ${error.message}`;
      return { cause: 'peer_silent', message, details: { ...details, confidence: 'certain' } };
    }
    if (began) {
      const message = `the peer's own requests arrive here, but none of the ${this.#sent} sent to ${to} was answered: the peer is running, so what we send to its UDP port ${port}, or its answers, are dropped on the way`;
      return { cause: blocked, message, details: { ...details, confidence: 'likely' } };
    }
    if (lastHeard > 0) {
      const message = `${to} was last heard from at ${toUtc(lastHeard)} and has not answered any of ${this.#sent} requests since: it is down, or the path to it is broken`;
      return { cause: 'peer_silent', message, details };
    }
    const message = `nothing has ever come back from ${to}, after ${this.#sent} requests: UDP port ${port} is blocked on the way, the peer is not running, or its address is wrong; silence does not show which`;
    return { cause: blocked, message, details: { ...details, confidence: 'possible' } };
  }
}
