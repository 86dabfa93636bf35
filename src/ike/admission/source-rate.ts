import { type Rate, TokenBuckets } from '../../util/token-bucket.js';
import type { Millis } from '../../util/units.js';

/** Sources that are remembered; the one that was longest silent is forgotten for a new one. */
const MAX_SOURCES = 4096;
/** A source may send this many seconds' worth at once, so that many connections of one peer start together. */
export const BURST_SECONDS = 2;

/** Answers per second to those who have not proved anything: to inform them, not to serve them. */
export const UNAUTHENTICATED_ANSWERS: Rate = { burst: 20, perSecond: 10 };

/** What the rates say of a first request. */
export interface Load {
  /** More come than there should, of all sources together. */
  readonly busy: boolean;
  /** Its source has used up its share, or an attacker forges it. */
  readonly crowded: boolean;
}

/** No more first requests come than are answered as usual. */
export const CALM: Load = { busy: false, crowded: false };

/**
 * Bounds the requests for new IKE SAs from each source address. Source addresses can be forged, so this keeps
 * one loud or broken peer down and no more; the half-open limits and cookies deal with forgers. The memory is
 * bounded whatever arrives.
 */
export class SourceRate {
  readonly #sources: TokenBuckets;

  constructor(perSecond: number) {
    this.#sources = new TokenBuckets(
      { burst: Math.max(1, perSecond * BURST_SECONDS), perSecond },
      MAX_SOURCES,
    );
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#sources.size;
  }

  /** Counts one request; false when the source has used up its share. */
  take(source: string, now: Millis): boolean {
    return this.#sources.of(source).take(now);
  }
}
