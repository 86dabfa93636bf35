import { formatIp, parseIp } from '../../util/ip.js';
import { type Rate, TokenBuckets } from '../../util/token-bucket.js';

/** Failed logins of one address that are answered at once, and how fast new ones are granted. */
const FAILURES: Rate = { burst: 10, perSecond: 1 / 6 };
/** Addresses that are remembered; the oldest go first. */
const MAX_ADDRESSES = 10_000;
/** Octets of an IPv6 address that identify its holder: who has one address has the /64 around it. */
const V6_PREFIX_OCTETS = 8;

/**
 * Slows down the answers to failed logins of one address. Right tokens are never held up by the failures of others
 * behind the same address: they are 256 random bits, so this protects the server's time, not the tokens.
 */
export class LoginLimit {
  readonly #buckets = new TokenBuckets(FAILURES, MAX_ADDRESSES);

  /** Counts a failed login. Gives the seconds until the next one is answered; 0 while this one is. */
  failed(address: string, now: number): number {
    const bucket = this.#buckets.of(networkOf(address));
    return bucket.take(now) ? 0 : Math.ceil(bucket.wait / 1000);
  }
}

/** What is counted together: an IPv4 address, or the network of an IPv6 address. */
export function networkOf(address: string): string {
  const ip = parseIp(address);
  if (ip?.length !== 16) return address;
  return `${formatIp(ip.map((octet, index) => (index < V6_PREFIX_OCTETS ? octet : 0)))}/64`;
}
