import { formatIp, parseIp } from '../../util/ip.js';

/** Failed logins of one address that are answered at once, and how fast new ones are granted. */
const BURST = 10;
const REFILL_MS = 6000;
/** Addresses that are remembered; the oldest go first. */
const MAX_ADDRESSES = 10_000;
/** Octets of an IPv6 address that stand for its holder: whoever has one address has the /64 around it. */
const V6_PREFIX_OCTETS = 8;

interface Bucket {
  /** Failures that are still answered at once, a fraction included. */
  readonly left: number;
  readonly at: number;
}

/**
 * Slows down the answers to failed logins of one address. Right tokens are never held up by the failures of others
 * behind the same address: they are 256 random bits, so this protects the server's time, not the tokens.
 */
export class LoginLimit {
  readonly #buckets = new Map<string, Bucket>();

  /** Counts a failed login. Gives the seconds until the next one is answered; 0 while this one is. */
  failed(address: string, now: number): number {
    const holder = holderOf(address);
    const left = this.#left(holder, now);
    this.#buckets.delete(holder);
    this.#buckets.set(holder, { left: left >= 1 ? left - 1 : left, at: now });
    if (this.#buckets.size > MAX_ADDRESSES) {
      const [oldest] = this.#buckets.keys();
      this.#buckets.delete(oldest!);
    }
    return left >= 1 ? 0 : Math.ceil(((1 - left) * REFILL_MS) / 1000);
  }

  #left(holder: string, now: number): number {
    const bucket = this.#buckets.get(holder);
    if (bucket === undefined) return BURST;
    return Math.min(BURST, bucket.left + Math.max(0, now - bucket.at) / REFILL_MS);
  }
}

/** What is counted together: an IPv4 address, or the network of an IPv6 address. */
export function holderOf(address: string): string {
  const ip = parseIp(address);
  if (ip?.length !== 16) return address;
  return `${formatIp(ip.map((octet, index) => (index < V6_PREFIX_OCTETS ? octet : 0)))}/64`;
}
