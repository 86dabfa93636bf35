import type { Millis } from '../../util/units.js';
import type { Failure } from '../events.js';
import type { RetransmitPolicy } from '../limits.js';
import { Retransmission } from './retransmission.js';

/**
 * Answers to one message in the clear that an initiator continues with, in all. Each costs a Diffie-Hellman agreement
 * and a message; whatever comes after them is dropped unread.
 */
export const MAX_ANSWERS = 4;
/** Answers in the clear that may cost an agreement in vain. */
export const MAX_FRUITLESS = 12;
/** How long a real answer may still overtake a refusal that nothing proves. */
export const REFUSAL_GRACE: Millis = 1000;
/**
 * How long an answer that came first, and was refused or did not prove right under its own keys, leaves others to
 * come: anyone on the path can make one that does not.
 */
export const ANSWER_GRACE: Millis = 750;
/** How long such a refusal waits while other answers are still being tried. */
export const RIVAL_GRACE: Millis = 10_000;

/**
 * Without proof that an answer is the peer's for so long, the question is asked again: the peer's own answer to it may
 * be lost.
 */
export const DOUBT: Millis = 2000;
/** Sendings of the question in all since then, the one before included. */
const DOUBTFUL_TRIES = 3;

/** How a question is repeated that has an answer which may not be the peer's. */
export function againInDoubt(policy: RetransmitPolicy, now: Millis): Retransmission {
  return new Retransmission({ ...policy, initial: DOUBT, tries: DOUBTFUL_TRIES }, now);
}

/** Why a negotiation is going to fail, on the word of a sender that has not proved to be the peer. */
export interface UnprovenRefusal {
  readonly failure: Failure;
  readonly effectiveAt: Millis;
}

/** An SA of either version. The phase it is in is the present branch. */
interface Branching<B> {
  readonly phase: B;
  moveTo(phase: B): void;
}

/**
 * The first messages of IKE are not protected: an attacker on the path can answer them as well as the peer, and only
 * later messages show who did (RFC 7296 §2.4: an initiator may accept several answers and discard those that come to
 * nothing; RFC 2409 has no more to prove itself by). So an initiator continues with several answers beside each other,
 * until one proves to be the peer's. Each is a branch, and a phase of the SA. The SA is in one of them, which is worked
 * on at present; the others wait here.
 */
export class Branches<B> {
  readonly #sa: Branching<B>;
  readonly #wipe: (branch: B) => void;
  #waiting: B[] = [];

  /** `wipe` forgets the secrets of a branch. */
  constructor(sa: Branching<B>, wipe: (branch: B) => void) {
    this.#sa = sa;
    this.#wipe = wipe;
  }

  /** All but the present one. */
  get waiting(): readonly B[] {
    return this.#waiting;
  }

  /** The present branch stays as it is and waits; the SA moves on to another one. */
  fork(): void {
    this.#waiting.push(this.#sa.phase);
  }

  /** Makes a waiting branch the present one, and lets that one wait. */
  enter(branch: B): void {
    const at = this.#waiting.indexOf(branch);
    if (at < 0) throw new Error('the branch does not wait');
    this.#waiting[at] = this.#sa.phase;
    this.#sa.moveTo(branch);
  }

  /** Ends the present branch for the sake of a waiting one. */
  leaveFor(branch: B): void {
    const left = this.#sa.phase;
    this.#waiting = this.#waiting.filter((one) => one !== branch);
    this.#sa.moveTo(branch);
    this.#wipe(left);
  }

  /** Ends a waiting branch. */
  end(branch: B): void {
    this.#waiting = this.#waiting.filter((one) => one !== branch);
    this.#wipe(branch);
  }

  /** The earliest point in time that any branch has. */
  earliest(timeOf: (branch: B) => Millis | undefined): Millis {
    let at = timeOf(this.#sa.phase) ?? Number.POSITIVE_INFINITY;
    for (const branch of this.#waiting) at = Math.min(at, timeOf(branch) ?? at);
    return at;
  }

  /** Enters each branch that a condition is true of and acts, after which it must be false. */
  onEach(holds: (branch: B) => boolean, act: () => void): void {
    for (;;) {
      if (!holds(this.#sa.phase)) {
        const next = this.#waiting.find(holds);
        if (next === undefined) return;
        this.enter(next);
      }
      act();
    }
  }

  /** The present branch is the right one, or there is no use for any: the others end. */
  settle(): void {
    for (const branch of this.#waiting.splice(0)) this.#wipe(branch);
  }
}

/** Copies the named fields of an object. */
export function pick<T, K extends keyof T>(from: T, names: readonly K[]): Pick<T, K> {
  const out = {} as Pick<T, K>;
  for (const name of names) out[name] = from[name];
  return out;
}
