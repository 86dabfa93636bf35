import { toHex } from '../../util/bytes.js';
import type { ConnectionId } from '../../util/ids.js';
import { TokenBucket } from '../../util/token-bucket.js';
import { HalfOpenLedger } from '../admission/half-open.js';
import { CALM, type Load, SourceRate, UNAUTHENTICATED_ANSWERS } from '../admission/source-rate.js';
import type { ConnectionConfig } from '../config.js';
import type { Context } from '../context.js';
import type { DatagramDropReason } from '../events.js';
import type { DatagramInput } from '../inputs.js';
import { SaTable, type TabledSa } from './table.js';

/** What both versions of IKE count together. */
export interface SharedTables {
  readonly halfOpen: HalfOpenLedger;
  /** Inbound ESP SPIs in use or offered: the packet path knows no versions. */
  readonly espSpis: Set<number>;
  /** Those of them that the packet path expects already. */
  readonly expectedSpis: Set<number>;
}

/** What the exchanges of either version work on; each version adds what only it knows. */
export interface CommonWorld<Sa extends TabledSa> extends SharedTables {
  readonly ctx: Context;
  readonly table: SaTable<Sa>;
  /** Bounds answers and reports that anyone can provoke without a key. */
  readonly unauthenticated: TokenBucket;
  /** What the rates say of the first message at hand. */
  load: Load;
  /** The share of each source that proved to be where it says, when others forge their address. */
  readonly proven: SourceRate;
  /** SAs we answered, by `firstRequestKey`: to know repetitions of their first message. */
  readonly byFirstRequest: Map<string, Sa>;
  /** Which of its peer's addresses a connection tries next. */
  readonly addressTurn: Map<ConnectionId, number>;
}

/** For one engine. */
export function createShared({ limits }: Context): SharedTables {
  return { halfOpen: new HalfOpenLedger(limits), espSpis: new Set(), expectedSpis: new Set() };
}

/** For one version in it. */
export function createCommon<Sa extends TabledSa>(ctx: Context, shared: SharedTables): CommonWorld<Sa> {
  const { halfOpen, espSpis, expectedSpis } = shared;
  return {
    ctx,
    halfOpen,
    espSpis,
    expectedSpis,
    table: new SaTable(),
    unauthenticated: new TokenBucket(UNAUTHENTICATED_ANSWERS),
    load: CALM,
    proven: new SourceRate(ctx.limits.requestsPerSecond),
    byFirstRequest: new Map(),
    addressTurn: new Map(),
  };
}

/** Reports a datagram that changes nothing. */
export function drop(
  { ctx }: { readonly ctx: Pick<Context, 'event'> },
  datagram: Pick<DatagramInput, 'remote'>,
  reason: DatagramDropReason,
  detail: string,
): void {
  ctx.event({ kind: 'datagram-dropped', reason, peer: datagram.remote, detail });
}

/** The live SAs of a connection, oldest first. */
export function sasOf<Sa extends TabledSa>(
  { table }: { readonly table: SaTable<Sa> },
  connection: ConnectionId,
): Sa[] {
  return table.ofConnection(connection).filter((sa) => sa.state !== 'gone');
}

/** What a responder knows repetitions of a first message by: the initiator's SPI (cookie) and its address. */
export function firstRequestKey(initiatorSpi: Uint8Array, sourceAddress: string): string {
  return `${toHex(initiatorSpi)}@${sourceAddress}`;
}

/** `peer_only` never initiates: it leaves rekeying to the peer, and lets its SAs expire. */
export function mayRekey({ establishMode }: Pick<ConnectionConfig, 'establishMode'>): boolean {
  return establishMode === 'bidirectional';
}

interface Turns {
  readonly addressTurn: Map<ConnectionId, number>;
}

type Addressed = Pick<ConnectionConfig, 'id'> & { readonly peer: { readonly addresses: readonly string[] } };

/** The address of its peer that a connection tries; undefined while none is known. */
export function addressInTurn({ addressTurn }: Turns, { id, peer }: Addressed): string | undefined {
  const { addresses } = peer;
  return addresses[(addressTurn.get(id) ?? 0) % Math.max(1, addresses.length)];
}

/** The peer does not answer at that one: the turn is the next one's, which is returned. */
export function nextInTurn(turns: Turns, connection: Addressed): string | undefined {
  turns.addressTurn.set(connection.id, (turns.addressTurn.get(connection.id) ?? 0) + 1);
  return addressInTurn(turns, connection);
}
