import type { Millis } from '../../util/units.js';

/** The same as data. */
export interface DpdRecord {
  readonly ours: number | undefined;
  readonly theirs: number | undefined;
  readonly askedAt: Millis | undefined;
  readonly askAgainAt: Millis | undefined;
}

/** Sequence numbers of dead peer detection (RFC 3706 §5.5, §6). */
export class DpdState {
  #ours: number | undefined;
  #theirs: number | undefined;
  #askedAt: Millis | undefined;
  #askAgainAt: Millis | undefined;
  /** The question that waits was asked once, and here. */
  #once = false;

  /** Goes on where another one was. */
  static from({ ours, theirs, askedAt, askAgainAt }: DpdRecord): DpdState {
    const made = new DpdState();
    made.#ours = ours;
    made.#theirs = theirs;
    made.#askedAt = askedAt;
    made.#askAgainAt = askAgainAt;
    return made;
  }

  get record(): DpdRecord {
    return { ours: this.#ours, theirs: this.#theirs, askedAt: this.#askedAt, askAgainAt: this.#askAgainAt };
  }

  /** When the first R-U-THERE that is not acknowledged was sent. */
  get askedAt(): Millis | undefined {
    return this.#askedAt;
  }

  get askAgainAt(): Millis | undefined {
    return this.#askAgainAt;
  }

  /**
   * The number of the R-U-THERE to be sent now: the next one, or the last one again while it waits for its
   * acknowledgement. `start` is a random number for the first one.
   */
  ask(start: number, now: Millis, again: Millis): number {
    this.#once = this.#askedAt === undefined;
    if (this.#ours === undefined) this.#ours = start & 0x7fffffff;
    else if (this.#askedAt === undefined) this.#ours = (this.#ours + 1) >>> 0;
    this.#askedAt ??= now;
    this.#askAgainAt = now + again;
    return this.#ours;
  }

  /**
   * How long an acknowledgement that comes now has taken. Undefined when none is waited for, and when it was asked for
   * more than once under its number: it is not known which question it answers (Karn's algorithm, RFC 6298 §3).
   */
  roundTrip(now: Millis): Millis | undefined {
    return this.#askedAt === undefined || !this.#once ? undefined : now - this.#askedAt;
  }

  /** Whether an acknowledgement is for what was asked. Late ones and forged ones prove nothing. */
  acknowledged(number: number): boolean {
    if (this.#askedAt === undefined || number !== this.#ours) return false;
    this.heard();
    return true;
  }

  /** The peer showed life in another way: nothing is waited for any more. */
  heard(): void {
    this.#askedAt = undefined;
    this.#askAgainAt = undefined;
  }

  /**
   * What the peer's R-U-THERE is worth: a `repeated` one is answered, since its acknowledgement may be lost, an `old`
   * one is not (RFC 3706 §5.5). Only a `new` one, with a number above all before, shows where the peer is.
   */
  asked(number: number): 'new' | 'repeated' | 'old' {
    const ahead = this.#theirs === undefined ? 1 : (number - this.#theirs) | 0;
    if (ahead > 0) this.#theirs = number;
    return ahead > 0 ? 'new' : ahead === 0 ? 'repeated' : 'old';
  }
}
