import type { ChildId } from '../../util/ids.js';
import { type Rate, TokenBucket } from '../../util/token-bucket.js';
import type { Millis } from '../../util/units.js';
import type { IkeHeader, IkeMessage, Payload } from '../../wire/ike/payloads.js';
import { CookieJar } from '../admission/cookies.js';
import { UNAUTHENTICATED_ANSWERS } from '../admission/source-rate.js';
import type { Context } from '../context.js';
import type { FailureCause } from '../events.js';
import type { DatagramInput } from '../inputs.js';
import { type CommonWorld, createCommon, type SharedTables } from '../sa/world.js';
import type { IkeSa } from './ike-sa.js';

/** Cookies a second for sources that send more than they may. Each is far shorter than the request. */
const CROWDED_COOKIES: Rate = { burst: 2000, perSecond: 2000 };

/** All that the exchanges of version 2 work on. */
export interface World extends CommonWorld<IkeSa> {
  readonly cookies: CookieJar;
  /** Bounds the answers to requests on IKE SAs that are not known. */
  readonly unknownSpiAnswers: TokenBucket;
  /** Bounds the cookies for crowded sources. */
  readonly crowdedCookies: TokenBucket;
  /** The IKE SA that each child SA belongs to, by child id. */
  readonly childOwners: Map<number, IkeSa>;
  /** Connections whose peer takes one pair of networks a child SA only (RFC 7296 §2.9). */
  readonly perPair: Set<string>;
  /** Connections that are offered plain proposals only, and the cause for which the last attempt failed. */
  readonly plain: Map<string, FailureCause>;
  /** Connections to be re-established when an IKE SA that the peer has just made is confirmed. */
  readonly renewals: Set<string>;
  /** When each connection was last negotiated from the start because its IKE SA could not go on. */
  readonly startedOver: Map<string, Millis>;
}

/** Returns the empty state of IKEv2. */
export function createWorld(ctx: Context, shared: SharedTables): World {
  return {
    cookies: new CookieJar(ctx.crypto, ctx.random, ctx.limits.cookieSecretLife),
    unknownSpiAnswers: new TokenBucket(UNAUTHENTICATED_ANSWERS),
    crowdedCookies: new TokenBucket(CROWDED_COOKIES),
    childOwners: new Map(),
    perPair: new Set(),
    plain: new Map(),
    renewals: new Set(),
    startedOver: new Map(),
    ...createCommon<IkeSa>(ctx, shared),
  };
}

/** A message of the peer, opened: `payloads` are those inside the encrypted payload, if it has one. */
export interface Inbound extends IkeMessage {
  readonly header: IkeHeader;
  readonly payloads: readonly Payload[];
  readonly datagram: DatagramInput;
  /** What the encrypted payload had in it: the octets of `payloads`. */
  readonly text?: Uint8Array;
  /** Zero octets followed it, which `datagram` is without. */
  readonly padded?: boolean;
}

/** The IKE SA that a child SA belongs to. */
export function ownerOf(world: World, childId: ChildId): IkeSa | undefined {
  const sa = world.childOwners.get(childId);
  if (sa !== undefined) world.table.touch(sa);
  return sa;
}
