import { toHex } from '../../util/bytes.js';
import type { ConnectionId } from '../../util/ids.js';
import { type Rate, TokenBucket } from '../../util/token-bucket.js';
import type { Millis } from '../../util/units.js';
import type { V1Header, V1Payload } from '../../wire/ike/v1/payloads.js';
import type { Context } from '../context.js';
import type { DatagramInput } from '../inputs.js';
import { Deferred } from '../sa/deferred.js';
import { type CommonWorld, createCommon, type SharedTables, sasOf } from '../sa/world.js';
import type { Orphans, V1Child } from './child-record.js';
import { ChildTable } from './child-table.js';
import {
  type IsakmpSa,
  type IsakmpSaIn,
  isIn,
  isStarting,
  isUp,
  type StartingSa,
  type UpSa,
} from './isakmp-sa.js';
import { OfferMemory } from './offers.js';

/** Answers a second to first messages of sources that send more than they may. Each is about as long as those. */
const CROWDED_ANSWERS: Rate = { burst: 2000, perSecond: 2000 };

/** Keys "from anywhere" that are tried a second, for all SAs together, and at once when none were for a while. */
const KEY_RATE = { burst: 1000, perSecond: 1000 };

/** How long a main mode that the peer began has priority over one of ours. */
const PEER_FIRST: Millis = 3_000;

/** All that the exchanges of version 1 work on. */
export interface World extends CommonWorld<IsakmpSa> {
  /** Bounds the keys that are tried on messages 5 of peers whose address no connection names. */
  readonly keyTrials: TokenBucket;
  /** Bounds the answers to crowded sources. */
  readonly crowdedAnswers: TokenBucket;
  /** What peers have offered whom no SA is kept for yet. */
  readonly offers: OfferMemory;
  /** ESP SAs. They belong to the connection: an ISAKMP SA may go and they stay (RFC 2408 §2.1). */
  readonly children: ChildTable;
  /** Connections whose ESP SAs have no ISAKMP SA at present. */
  readonly orphans: Map<string, Orphans>;
  /** Main modes of ours that ask whether the peer's port 4500 is open, by the cookie of the question. */
  readonly portProbes: Map<string, IsakmpSa>;
  /** The wait before the peer of a connection is next asked by a main mode, after such a one has succeeded. */
  readonly askedOrphans: Map<string, Millis>;
  /** Connections to be brought up later. */
  readonly deferred: Deferred;
}

/** Returns the empty state of IKEv1, which shares half-open limits and SPIs with IKEv2. */
export function createWorld(ctx: Context, shared: SharedTables): World {
  return {
    keyTrials: new TokenBucket(KEY_RATE),
    crowdedAnswers: new TokenBucket(CROWDED_ANSWERS),
    offers: new OfferMemory(ctx.crypto, ctx.random, ctx.limits.cookieSecretLife),
    children: new ChildTable(),
    orphans: new Map(),
    portProbes: new Map(),
    askedOrphans: new Map(),
    deferred: new Deferred(PEER_FIRST),
    ...createCommon<IsakmpSa>(ctx, shared),
  };
}

/** A message of the peer as it came, encrypted or not. */
export interface Inbound {
  readonly header: V1Header;
  readonly payloads: readonly V1Payload[];
  readonly datagram: DatagramInput;
}

/** The SA that carries a connection's exchanges. */
export function currentSa(world: World, connection: ConnectionId): IsakmpSaIn<'established'> | undefined {
  return sasOf(world, connection).find((sa) => isIn(sa, 'established'));
}

/** Those of them whose ends are both authenticated. */
export function upSasOf(world: World, connection: ConnectionId): UpSa[] {
  return sasOf(world, connection).filter(isUp);
}

/** Returns the child SAs of a connection, whichever ISAKMP SA made them. */
export function childrenOf(world: World, connection: ConnectionId): V1Child[] {
  return world.children.of(connection);
}

/** Our attempt as initiator to have an SA that is under way, if there is one. */
export function attemptOf(world: World, connection: ConnectionId): StartingSa | undefined {
  return sasOf(world, connection)
    .filter(isStarting)
    .find((sa) => sa.phase.attempt.farewell === undefined);
}

/** A random cookie that is neither zero nor in use here. */
export function freshCookie(world: World): Uint8Array {
  for (;;) {
    const cookie = world.ctx.random.bytes(8);
    if (cookie.some((octet) => octet !== 0) && !world.table.has(toHex(cookie))) return cookie;
  }
}
