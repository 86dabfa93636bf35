/** Failed logins of one address that are let through at once, and how fast new ones are granted. */
const BURST = 10;
const REFILL_MS = 6000;
/** Addresses that are remembered; the oldest go first. */
const MOST_ADDRESSES = 10_000;

interface Bucket {
  /** Failures that are still allowed, a fraction included. */
  left: number;
  at: number;
}

/**
 * Slows down guessing: an address that fails too often is not listened to for a while, with right credentials
 * neither, or the answer would tell when a guess was right.
 */
export class LoginLimit {
  readonly #buckets = new Map<string, Bucket>();

  /** Seconds until the address may try again; 0 when it may now. */
  wait(address: string, now: number): number {
    const left = this.#left(address, now);
    return left >= 1 ? 0 : Math.ceil(((1 - left) * REFILL_MS) / 1000);
  }

  failed(address: string, now: number): void {
    const left = this.#left(address, now) - 1;
    this.#buckets.delete(address);
    this.#buckets.set(address, { left, at: now });
    if (this.#buckets.size <= MOST_ADDRESSES) return;
    const [oldest] = this.#buckets.keys();
    this.#buckets.delete(oldest!);
  }

  #left(address: string, now: number): number {
    const bucket = this.#buckets.get(address);
    if (bucket === undefined) return BURST;
    return Math.min(BURST, bucket.left + Math.max(0, now - bucket.at) / REFILL_MS);
  }
}
