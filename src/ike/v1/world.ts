import { toHex } from '../../util/bytes.js';
import type { ConnectionId } from '../../util/ids.js';
import { type Rate, TokenBucket } from '../../util/token-bucket.js';
import type { Millis } from '../../util/units.js';
import type { V1Header, V1Payload } from '../../wire/ike/v1/payloads.js';
import type { HalfOpenLedger } from '../admission/half-open.js';
import { CALM, type Load, SourceRate, UNAUTHENTICATED_ANSWERS } from '../admission/source-rate.js';
import type { ConnectionConfig } from '../config.js';
import type { Context } from '../context.js';
import type { DatagramDropReason } from '../events.js';
import type { DatagramInput } from '../inputs.js';
import { Deferred } from '../sa/deferred.js';
import { SaTable } from '../sa/table.js';
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

/** What both versions of IKE count together. */
export interface SharedTables {
  readonly halfOpen: HalfOpenLedger;
  /** Inbound ESP SPIs in use or offered: the packet path knows no versions. */
  readonly espSpis: Set<number>;
  readonly expectedSpis: Set<number>;
}

/** All that the exchanges of version 1 work on. */
export interface World extends SharedTables {
  readonly ctx: Context;
  readonly table: SaTable<IsakmpSa>;
  /** Bounds answers and reports that anyone can provoke without a key. */
  readonly unauthenticated: TokenBucket;
  /** Bounds the keys that are tried on messages 5 of peers whose address no connection names. */
  readonly keyTrials: TokenBucket;
  /** What the rates say of the first message at hand. */
  load: Load;
  /** Bounds the answers to crowded sources. */
  readonly crowdedAnswers: TokenBucket;
  /** Bounds the SAs of each source that answered a message 2 which had left none behind. */
  readonly proven: SourceRate;
  /** What peers have offered whom no SA is kept for yet. */
  readonly offers: OfferMemory;
  /** SAs we answered, by source address and initiator cookie: to know repetitions of message 1. */
  readonly byFirstRequest: Map<string, IsakmpSa>;
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
  /** Which of its peer's addresses a connection tries next. */
  readonly addressTurn: Map<string, number>;
}

/** Returns the empty state of IKEv1, which shares half-open limits and SPIs with IKEv2. */
export function createWorld(ctx: Context, shared: SharedTables): World {
  return {
    ctx,
    halfOpen: shared.halfOpen,
    espSpis: shared.espSpis,
    expectedSpis: shared.expectedSpis,
    table: new SaTable(),
    unauthenticated: new TokenBucket(UNAUTHENTICATED_ANSWERS),
    keyTrials: new TokenBucket(KEY_RATE),
    load: CALM,
    crowdedAnswers: new TokenBucket(CROWDED_ANSWERS),
    proven: new SourceRate(ctx.limits.requestsPerSecond),
    offers: new OfferMemory(ctx.crypto, ctx.random, ctx.limits.cookieSecretLife),
    byFirstRequest: new Map(),
    children: new ChildTable(),
    orphans: new Map(),
    portProbes: new Map(),
    askedOrphans: new Map(),
    deferred: new Deferred(PEER_FIRST),
    addressTurn: new Map(),
  };
}

/** A message of the peer as it came, encrypted or not. */
export interface Inbound {
  readonly header: V1Header;
  readonly payloads: readonly V1Payload[];
  readonly datagram: DatagramInput;
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
export function sasOf(world: World, connection: ConnectionId): IsakmpSa[] {
  return world.table.ofConnection(connection).filter((sa) => sa.state !== 'gone');
}

/** The SA that carries a connection's exchanges. */
export function currentSa(world: World, connection: ConnectionId): IsakmpSaIn<'established'> | undefined {
  return sasOf(world, connection).find((sa) => isIn(sa, 'established'));
}

/** Those of them whose ends are both authenticated. */
export function upSasOf(world: World, connection: ConnectionId): UpSa[] {
  return sasOf(world, connection).filter(isUp);
}

/** `peer_only` never initiates: it leaves rekeying to the peer, and lets its SAs expire. */
export function mayRekey({ establishMode }: ConnectionConfig): boolean {
  return establishMode === 'bidirectional';
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

/** The first payload of a kind. */
export function find<K extends V1Payload['kind']>(
  payloads: readonly V1Payload[],
  kind: K,
): (V1Payload & { readonly kind: K }) | undefined {
  return payloads.find((one): one is V1Payload & { readonly kind: K } => one.kind === kind);
}

/** The payload of a kind that may be there once only; undefined when it is not there, or more than once. */
export function only<K extends V1Payload['kind']>(
  payloads: readonly V1Payload[],
  kind: K,
): (V1Payload & { readonly kind: K }) | undefined {
  const first = find(payloads, kind);
  return first !== undefined && payloads.every((one) => one === first || one.kind !== kind)
    ? first
    : undefined;
}
