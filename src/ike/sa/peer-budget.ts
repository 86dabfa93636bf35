import type { ConnectionId } from '../../util/ids.js';
import { TokenBucket } from '../../util/token-bucket.js';
import type { Millis } from '../../util/units.js';
import type { EngineConfig } from '../config.js';
import type { EngineLimits } from '../limits.js';
import { countPairs } from '../policy/carried-pairs.js';

/** Child SAs for each pair of networks: one, its successor, and both again where both ends began at once. */
const PER_PAIR = 4;
/** And this many beside, so that a handful of pairs can be agreed on in another cut. */
const BESIDE = 8;
/** Pairs that are counted: no real peer brings up more of them one by one. */
const MAX_PAIRS = 1024;
/**
 * IKE SAs of one connection, the ones that were replaced and wait for their end included: one, and those that crossed
 * with it or came before it. Beyond, the oldest is closed at once: a peer that starts over must always get in.
 */
export const MAX_IKE_SAS = 8;
/** Requests at once, or as many as bring up every child SA twice: many pairs are brought up together. */
const MIN_BURST = 256;
/** Refusals to one peer that is over its budget; what comes on top is dropped. */
const REFUSALS = { burst: 20, perSecond: 10 };
/** Rekeys of IKE SAs younger than `YOUNG`: this many at once, and one more in so long. */
const YOUNG: Millis = 10_000;
const YOUNG_REKEYS = 16;

/** What is done with an authenticated request. `put-off`: the peer is asked to try again (RFC 7296 §2.25). */
export type Verdict = 'serve' | 'put-off' | 'drop';

/** The requests of one connection's peer. */
interface Buckets {
  readonly requests: TokenBucket;
  readonly refusals: TokenBucket;
  readonly youngRekeys: TokenBucket;
}

/**
 * What authenticated peers may have of the gateway, each connection by itself, so that none can take what another
 * one needs: child SAs, of which all together never have more than there are places, and requests.
 */
export class PeerBudget {
  readonly #limits: EngineLimits;
  readonly #children = new Map<string, number>();
  readonly #buckets = new Map<string, Buckets>();
  #shares = new Map<string, number>();

  constructor(limits: EngineLimits) {
    this.#limits = limits;
  }

  /** Takes over the connections: their places are shared out again. */
  configure({ connections }: EngineConfig): void {
    const wishes = connections.map((one) => PER_PAIR * Math.min(MAX_PAIRS, countPairs(one)) + BESIDE);
    const sum = wishes.reduce((all, wish) => all + wish, 0);
    const part = Math.min(1, this.#limits.childSas / Math.max(1, sum));
    this.#shares = new Map(
      connections.map(({ id: name }, i) => [name, Math.max(1, Math.floor(wishes[i]! * part))]),
    );
    for (const name of this.#buckets.keys()) if (!this.#shares.has(name)) this.#buckets.delete(name);
  }

  /** Child SAs that the connection may have. */
  childLimit(connection: ConnectionId): number {
    return this.#shares.get(connection) ?? 0;
  }

  /** Whether the connection may have one more child SA. */
  hasPlace(connection: ConnectionId): boolean {
    return (this.#children.get(connection) ?? 0) < this.childLimit(connection);
  }

  childAdded(connection: ConnectionId): void {
    this.#children.set(connection, (this.#children.get(connection) ?? 0) + 1);
  }

  childRemoved(connection: ConnectionId): void {
    const left = (this.#children.get(connection) ?? 0) - 1;
    if (left > 0) this.#children.set(connection, left);
    else this.#children.delete(connection);
  }

  /** Counts an authenticated request of the connection's peer. */
  request(connection: ConnectionId, now: Millis): Verdict {
    const { requests, refusals } = this.#of(connection);
    if (requests.take(now)) return 'serve';
    return refusals.take(now) ? 'put-off' : 'drop';
  }

  /**
   * Counts a rekey of the IKE SA by the peer. Each one costs a Diffie-Hellman exchange and leaves the old SA behind
   * for a while, and none is due so soon unless lifetimes are very short.
   */
  mayRekey(connection: ConnectionId, establishedAt: Millis, now: Millis): boolean {
    return now - establishedAt >= YOUNG || this.#of(connection).youngRekeys.take(now);
  }

  #of(connection: ConnectionId): Buckets {
    const known = this.#buckets.get(connection);
    if (known !== undefined) return known;
    const burst = Math.max(MIN_BURST, 2 * this.childLimit(connection));
    const made = {
      requests: new TokenBucket({ burst, perSecond: this.#limits.requestsPerConnection }),
      refusals: new TokenBucket(REFUSALS),
      youngRekeys: new TokenBucket({ burst: YOUNG_REKEYS, perSecond: 1000 / YOUNG }),
    };
    this.#buckets.set(connection, made);
    return made;
  }
}
