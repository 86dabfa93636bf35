import type { Millis } from './units.js';

/** At most `burst` at once, and `perSecond` in the long run. */
export interface Rate {
  readonly burst: number;
  readonly perSecond: number;
}

/** Bounds how often something is done. Full at the start. */
export class TokenBucket {
  readonly #rate: Rate;
  #tokens: number;
  #at: Millis = 0;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#tokens = rate.burst;
  }

  /** Takes a token; false when there is none. */
  take(now: Millis): boolean {
    const { burst, perSecond } = this.#rate;
    const refill = (Math.max(0, now - this.#at) / 1000) * perSecond;
    this.#tokens = Math.min(burst, this.#tokens + refill);
    this.#at = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** How long after the last `take` there is a token again. */
  get wait(): Millis {
    return (Math.max(0, 1 - this.#tokens) / this.#rate.perSecond) * 1000;
  }
}

/** A bucket for each of many keys, in bounded memory: the key that was not used for longest is forgotten first. */
export class TokenBuckets {
  readonly #rate: Rate;
  readonly #maxKeys: number;
  /** In the order of use. */
  readonly #buckets = new Map<string, TokenBucket>();

  constructor(rate: Rate, maxKeys: number) {
    this.#rate = rate;
    this.#maxKeys = maxKeys;
  }

  /** Keys that are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** The bucket of a key, which counts as used. */
  of(key: string): TokenBucket {
    const bucket = this.#buckets.get(key) ?? new TokenBucket(this.#rate);
    this.#buckets.delete(key);
    if (this.#buckets.size >= this.#maxKeys) {
      const [oldest] = this.#buckets.keys();
      this.#buckets.delete(oldest!);
    }
    this.#buckets.set(key, bucket);
    return bucket;
  }
}
