import type { ByteCount } from '../../util/units.js';
import type { EngineLimits } from '../limits.js';

/** What a half-open IKE SA is counted with. */
export interface HalfOpenShare {
  /** Source address that it is counted under. */
  readonly source: string;
  /** Octets that it holds. */
  readonly held: ByteCount;
  /** That address is real: the initiator has received what was sent there. */
  readonly proven: boolean;
}

/** What to do with a request for a new IKE SA, before any work is spent on it (RFC 7296 §2.6). */
export type Admission = 'admit' | 'demand-cookie' | 'refuse';

/** Part of the places in all that only addresses of configured peers may take. */
const RESERVE = 0.1;

/**
 * Counts the IKE SAs whose initiator has not authenticated yet, in all and by source address. Only these
 * can be made by someone who has no key, so only these need a bound of their own.
 */
export class HalfOpenLedger {
  readonly #limits: EngineLimits;
  readonly #bySource = new Map<string, number>();
  /** Those whose source address a cookie has proved. */
  readonly #proven = new Map<string, number>();
  #total = 0;
  #bytes = 0;

  constructor(limits: EngineLimits) {
    this.#limits = limits;
  }

  get total(): number {
    return this.#total;
  }

  /** Octets that half-open SAs occupy. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Counts octets that a half-open SA is about to occupy; false when there is no room for them. */
  hold(bytes: ByteCount): boolean {
    if (this.#bytes + bytes > this.#limits.halfOpenBytes) return false;
    this.#bytes += bytes;
    return true;
  }

  /** Octets that were counted by `hold` are free again. */
  release(bytes: ByteCount): void {
    this.#bytes -= bytes;
  }

  /** Source addresses with a half-open SA: the size of the table. */
  get sources(): number {
    return this.#bySource.size;
  }

  /**
   * `cookieValid`: the request carries a cookie of ours, so its source address is real. `configured` says whether
   * that is the address of a configured peer; it is asked only when little room is left.
   */
  admission(source: string, cookieValid: boolean, configured: () => boolean): Admission {
    const { halfOpenTotal } = this.#limits;
    if (this.#total >= halfOpenTotal) return 'refuse';
    if (this.#total >= halfOpenTotal - Math.floor(halfOpenTotal * RESERVE) && !configured()) return 'refuse';
    // Without a cookie the source may be forged: a forger must not use up another's share, so the share of
    // one source binds only those who proved to be there.
    const crowded = (this.#bySource.get(source) ?? 0) >= this.#limits.halfOpenPerSource;
    const full = (this.#proven.get(source) ?? 0) >= this.#limits.halfOpenPerSource;
    if (cookieValid) return full ? 'refuse' : 'admit';
    return crowded || this.#total >= this.#limits.cookieThreshold ? 'demand-cookie' : 'admit';
  }

  /** `proven`: the source address is real; else `prove` may confirm it later. */
  opened(source: string, proven: boolean): void {
    this.#total++;
    this.#bySource.set(source, (this.#bySource.get(source) ?? 0) + 1);
    if (proven) this.#proven.set(source, (this.#proven.get(source) ?? 0) + 1);
  }

  /** The initiator of an SA has shown that its address is real. False when that one has used up its share. */
  prove(source: string): boolean {
    const count = this.#proven.get(source) ?? 0;
    if (count >= this.#limits.halfOpenPerSource) return false;
    this.#proven.set(source, count + 1);
    return true;
  }

  /** The SA was authenticated or forgotten: it is counted no more. */
  settled({ source, proven, held }: HalfOpenShare): void {
    this.closed(source, proven);
    this.release(held);
  }

  /** An SA less of this source address. */
  closed(source: string, proven: boolean): void {
    const count = this.#bySource.get(source);
    if (count === undefined) throw new Error(`no half-open IKE SA of ${source} was counted`);
    this.#total--;
    decrease(this.#bySource, source);
    if (proven) decrease(this.#proven, source);
  }
}

function decrease(counts: Map<string, number>, source: string): void {
  const count = counts.get(source) ?? 0;
  if (count <= 1) counts.delete(source);
  else counts.set(source, count - 1);
}
