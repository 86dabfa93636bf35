import type { Millis } from '../../util/units.js';

/** Sequence numbers of dead peer detection (RFC 3706 §5.5, §6). */
export class DpdState {
  #ours: number | undefined;
  #theirs: number | undefined;
  #askedAt: Millis | undefined;
  #askAgainAt: Millis | undefined;

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
    if (this.#ours === undefined) this.#ours = start & 0x7fffffff;
    else if (this.#askedAt === undefined) this.#ours = (this.#ours + 1) >>> 0;
    this.#askedAt ??= now;
    this.#askAgainAt = now + again;
    return this.#ours;
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

  /** Whether the peer's R-U-THERE is to be answered: not when its number is older than the last one. */
  asked(number: number): boolean {
    if (this.#theirs !== undefined && ((number - this.#theirs) | 0) < 0) return false;
    this.#theirs = number;
    return true;
  }
}
