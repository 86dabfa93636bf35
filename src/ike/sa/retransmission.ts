import type { Millis } from '../../util/units.js';
import type { RetransmitPolicy } from '../limits.js';

/** Wait between sending number `sent` (from 1) and the next one. */
function waitAfter(policy: RetransmitPolicy, sent: number): Millis {
  return Math.min(policy.ceiling, policy.initial * policy.factor ** (sent - 1));
}

/** Where the repetition of a request is, as data. */
export interface RetransmissionRecord {
  readonly policy: RetransmitPolicy;
  readonly sent: number;
  readonly nextAt: Millis;
}

/**
 * When a request is sent again (RFC 7296 §2.1, §2.4): the initiator of an exchange repeats it, with growing
 * waits, until it is answered or the policy's tries are used up.
 */
export class Retransmission {
  readonly #policy: RetransmitPolicy;
  #sent = 1;
  #nextAt: Millis;
  #ours = true;

  /** The first sending was at `now`. */
  constructor(policy: RetransmitPolicy, now: Millis) {
    this.#policy = policy;
    this.#nextAt = now + waitAfter(policy, 1);
  }

  /** Goes on where another one was. */
  static from({ policy, sent, nextAt }: RetransmissionRecord): Retransmission {
    const made = new Retransmission(policy, nextAt);
    made.#sent = sent;
    made.#nextAt = nextAt;
    made.#ours = false;
    return made;
  }

  get record(): RetransmissionRecord {
    return { policy: { ...this.#policy }, sent: this.#sent, nextAt: this.#nextAt };
  }

  /** Sendings so far. */
  get sent(): number {
    return this.#sent;
  }

  /**
   * Whether an answer shows how long the round trip is: only when this engine has sent the request, and once. Of a
   * repeated one it is not known which sending is answered (Karn's algorithm, RFC 6298 §3).
   */
  get measures(): boolean {
    return this.#ours && this.#sent === 1;
  }

  get nextAt(): Millis {
    return this.#nextAt;
  }

  /** The wait is over: whether to send once more, or that the tries are used up. */
  expire(now: Millis): 'send' | 'exhausted' {
    if (this.#sent >= this.#policy.tries) return 'exhausted';
    this.#sent++;
    this.#nextAt = now + waitAfter(this.#policy, this.#sent);
    return 'send';
  }
}
