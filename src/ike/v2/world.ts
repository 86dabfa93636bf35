import type { ChildId, ConnectionId } from '../../util/ids.js';
import { type Rate, TokenBucket } from '../../util/token-bucket.js';
import type { Millis } from '../../util/units.js';
import type { IkeHeader, IkeMessage, Payload } from '../../wire/ike/payloads.js';
import { CookieJar } from '../admission/cookies.js';
import { HalfOpenLedger } from '../admission/half-open.js';
import { CALM, type Load, SourceRate, UNAUTHENTICATED_ANSWERS } from '../admission/source-rate.js';
import type { Context } from '../context.js';
import type { DatagramDropReason } from '../events.js';
import type { DatagramInput } from '../inputs.js';
import { SaTable } from '../sa/table.js';
import type { IkeSa } from './ike-sa.js';

/** Cookies a second for sources that send more than they may. Each is far shorter than the request. */
const CROWDED_COOKIES: Rate = { burst: 2000, perSecond: 2000 };

/** All that the exchanges of version 2 work on. */
export interface World {
  readonly ctx: Context;
  readonly table: SaTable<IkeSa>;
  readonly halfOpen: HalfOpenLedger;
  readonly cookies: CookieJar;
  /** Bounds answers and reports that anyone can provoke without a key. */
  readonly unauthenticated: TokenBucket;
  /** Bounds the answers to requests on IKE SAs that are not known. */
  readonly unknownSpiAnswers: TokenBucket;
  /** What the rates say of the first request at hand. */
  load: Load;
  /** The share of sources that proved by a cookie to be where they say, when others forge their address. */
  readonly proven: SourceRate;
  /** Bounds the cookies for crowded sources. */
  readonly crowdedCookies: TokenBucket;
  /** SAs we answered, by source address and SPI of their first request: to know its repetitions. */
  readonly byFirstRequest: Map<string, IkeSa>;
  /** The IKE SA that each child SA belongs to, by child id. */
  readonly childOwners: Map<number, IkeSa>;
  /** Inbound ESP SPIs in use or offered. */
  readonly espSpis: Set<number>;
  readonly expectedSpis: Set<number>;
  /** Connections whose peer takes one pair of networks a child SA only (RFC 7296 §2.9). */
  readonly perPair: Set<string>;
  /** Connections to be re-established when an IKE SA that the peer has just made is confirmed. */
  readonly renewals: Set<string>;
  /** When each connection was last negotiated from the start because its IKE SA could not go on. */
  readonly startedOver: Map<string, Millis>;
  /** Which of its peer's addresses a connection tries next. */
  readonly addressTurn: Map<string, number>;
}

/** Returns the empty state of IKEv2. */
export function createWorld(ctx: Context): World {
  return {
    ctx,
    table: new SaTable(),
    halfOpen: new HalfOpenLedger(ctx.limits),
    cookies: new CookieJar(ctx.crypto, ctx.random, ctx.limits.cookieSecretLife),
    unauthenticated: new TokenBucket(UNAUTHENTICATED_ANSWERS),
    unknownSpiAnswers: new TokenBucket(UNAUTHENTICATED_ANSWERS),
    load: CALM,
    proven: new SourceRate(ctx.limits.requestsPerSecond),
    crowdedCookies: new TokenBucket(CROWDED_COOKIES),
    byFirstRequest: new Map(),
    childOwners: new Map(),
    espSpis: new Set(),
    expectedSpis: new Set(),
    perPair: new Set(),
    renewals: new Set(),
    startedOver: new Map(),
    addressTurn: new Map(),
  };
}

/** A message of the peer, opened: `payloads` are those inside the encrypted payload, if it has one. */
export interface Inbound extends IkeMessage {
  readonly header: IkeHeader;
  readonly payloads: readonly Payload[];
  readonly datagram: DatagramInput;
  /** Zero octets followed it, which `datagram` is without. */
  readonly padded?: boolean;
}

/** Reports a datagram that changes nothing. */
export function drop(
  world: World,
  datagram: DatagramInput,
  reason: DatagramDropReason,
  detail: string,
): void {
  world.ctx.event({ kind: 'datagram-dropped', reason, peer: datagram.remote, detail });
}

/** The live SAs of a connection, oldest first. */
export function sasOf(world: World, connection: ConnectionId): IkeSa[] {
  return world.table.ofConnection(connection).filter((sa) => sa.state !== 'gone');
}

/** The IKE SA that a child SA belongs to. */
export function ownerOf(world: World, childId: ChildId): IkeSa | undefined {
  const sa = world.childOwners.get(childId);
  if (sa !== undefined) world.table.touch(sa);
  return sa;
}
