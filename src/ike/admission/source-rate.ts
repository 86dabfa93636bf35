import type { Millis } from '../../util/units.js';

/** Sources that are remembered; the one that was longest silent is forgotten for a new one. */
const MAX_SOURCES = 4096;
/** A source may send this many seconds' worth at once, so that many connections of one peer start together. */
export const BURST_SECONDS = 2;

/** What the rates say of a first request. */
export interface Load {
  /** More come than there should, of all sources together. */
  readonly busy: boolean;
  /** Its source has used up its share, or an attacker forges it. */
  readonly crowded: boolean;
}

export const CALM: Load = { busy: false, crowded: false };

interface Bucket {
  tokens: number;
  at: Millis;
}

/**
 * Bounds the requests for new IKE SAs from each source address. Source addresses can be forged, so this keeps
 * one loud or broken peer down and no more; the half-open limits and cookies deal with forgers. The memory is
 * bounded whatever arrives.
 */
export class SourceRate {
  readonly #perSecond: number;
  readonly #sources = new Map<string, Bucket>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#sources.size;
  }

  /** Counts one request; false when the source has used up its share. */
  take(source: string, now: Millis): boolean {
    const burst = Math.max(1, this.#perSecond * BURST_SECONDS);
    const bucket = this.#sources.get(source) ?? { tokens: burst, at: now };
    // The map is kept in the order of use.
    this.#sources.delete(source);
    if (this.#sources.size >= MAX_SOURCES) {
      const [oldest] = this.#sources.keys();
      this.#sources.delete(oldest!);
    }
    this.#sources.set(source, bucket);
    const refill = (Math.max(0, now - bucket.at) / 1000) * this.#perSecond;
    bucket.tokens = Math.min(burst, bucket.tokens + refill);
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}
