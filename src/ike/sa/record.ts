import type { IkeSuite } from '../../crypto/types.js';
import type { ChildId, ConnectionId, IkeId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import { secretsIn, wipeSecrets } from '../../util/secret.js';
import { NO_TERM, type Term } from '../../util/term.js';
import type { Millis } from '../../util/units.js';
import type { Context } from '../context.js';
import type { Role } from '../events.js';
import type { NatReport } from '../path/nat-detection.js';
import type { QuirkCode } from '../quirks.js';
import type { NegotiatedChild } from './child.js';
import { adviseWeakIke, reportChild, reportIke } from './report.js';
import type { VolumeLimit } from './volume.js';

/** The shape of the records below. A reader refuses what has another. */
export const RECORD_VERSION = 2;

/**
 * An established IKE SA with its child SAs as plain data: what `Engine.export` returns and `Engine.adopt` takes over.
 * It can be copied by `structuredClone` but for its keys, which are `SecretKey` and print as secrets. Points in time
 * are on the clock of the engine that exported it.
 *
 * The common part is here; each version of IKE extends it by what only that version knows.
 */
export interface SaRecord {
  readonly version: typeof RECORD_VERSION;
  readonly ikeVersion: 1 | 2;
  readonly connection: ConnectionId;
  /** In which its keys were used last. */
  readonly term: Term;
  /** Absent for ESP SAs of IKEv1 that have outlived their ISAKMP SA (RFC 2408 §2.1). */
  readonly ike?: IkeRecord;
  readonly children: readonly ChildSaRecord[];
}

/** What both versions know of an established IKE SA. SPIs (cookies) are 8 octets. */
export interface IkeRecord {
  readonly id: IkeId;
  readonly role: Role;
  readonly initiatorSpi: Uint8Array;
  readonly responderSpi: Uint8Array;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** Messages leave from the UDP 4500 socket, with the non-ESP marker (RFC 3948 §2.2). */
  readonly natTraversalPort: boolean;
  /** The peer takes ESP in UDP, and which end is behind a NAT. */
  readonly natTraversal: boolean;
  readonly nat: { readonly local: boolean; readonly peer: boolean };
  readonly natReport: NatReport;
  readonly suite: IkeSuite;
  /** The peer's identity, `type:value`, and the pair of identities that the table finds the SA by. */
  readonly peerIdentity: string;
  readonly identities: string;
  readonly peerVendors: readonly string[];
  /** Quirks that were reported. */
  readonly quirks: readonly QuirkCode[];
  readonly createdAt: Millis;
  readonly establishedAt: Millis;
  /** Place of the establishment in the order of all ids. */
  readonly establishedOrder: number;
  readonly rekeyAt: Millis;
  readonly expiresAt: Millis;
  /** Last authentic message of the peer, IKE or ESP. */
  readonly lastInbound: Millis;
}

/** What both versions know of a child SA. Its keys are with the data plane alone. */
export interface ChildSaRecord extends NegotiatedChild {
  readonly id: ChildId;
  /** This end sent the first message of the exchange that made it. */
  readonly initiated: boolean;
  readonly establishedAt: Millis;
  readonly rekeyAt: Millis;
  readonly expiresAt: Millis;
  readonly volume: VolumeLimit;
  /** As much has passed as one key is to carry: the rekey was asked for. */
  readonly spent: boolean;
  /** It carries less than what is configured. */
  readonly narrowed: boolean;
}

/** Why a record was not adopted: it has changed nothing. */
export interface RefusedRecord {
  readonly record: SaRecord;
  readonly reason: string;
}

/** What an engine knows when it judges a record, beside what the version of IKE judges. */
interface Adopter {
  readonly ctx: Context;
  /** Inbound ESP SPIs in use or offered. */
  readonly espSpis: ReadonlySet<number>;
}

/** Why the common part of a record cannot be adopted; undefined when it can. */
export function unadoptable({ ctx, espSpis }: Adopter, record: SaRecord): string | undefined {
  if (record.version !== RECORD_VERSION)
    return `the record has version ${record.version}, and only ${RECORD_VERSION} is read`;
  if (isUsedUp(ctx.term, record.term))
    return `its keys were used in term ${record.term}: term ${ctx.term} does not come after it`;
  if (ctx.connection(record.connection) === undefined)
    return `there is no connection ${record.connection} in the configuration`;
  if (ctx.shuttingDown) return 'the engine is shutting down';
  const taken = idsOf(record).find((id) => !ctx.isFree(id));
  if (taken !== undefined) return `the SA id ${taken} is in use`;
  const spi = record.children.find(({ spiIn }) => espSpis.has(spiIn))?.spiIn;
  if (spi !== undefined) return `the inbound ESP SPI 0x${spi.toString(16)} is in use`;
  if (secretsIn(record).some((key) => key.wiped)) return 'the keys of the record were wiped';
  return undefined;
}

/**
 * Whether keys of the term `before` must not be used in `next`. Without high availability there is only one engine at a
 * time, which hands over all it knows; else the one before may live on, and only another term has nonces of its own.
 */
function isUsedUp(next: Term, before: Term): boolean {
  return next === NO_TERM ? before !== NO_TERM : before >= next;
}

/** The ids that a record keeps. */
export function idsOf({ ike, children }: SaRecord): number[] {
  return [...(ike === undefined ? [] : [ike.id]), ...children.map(({ id }) => id)];
}

/** Wipes all keys of a record. Its owner does so when it is used up: `adopt` takes copies. */
export function wipeRecord(record: SaRecord): void {
  wipeSecrets(record);
}

/** Reports an IKE SA that was adopted, once. */
export function reportAdoptedIke(ctx: Context, record: SaRecord): void {
  const { ike, ikeVersion, connection } = record;
  if (ike === undefined) return;
  reportIke(ctx, ikeVersion, connection, ike, { adopted: true });
  adviseWeakIke(ctx, ikeVersion, connection, ike.suite);
}

/** Reports a child SA that was adopted, once. `ikeId`: the IKE SA that it was last reported with. */
export function reportAdoptedChild(
  ctx: Context,
  connection: ConnectionId,
  ikeId: IkeId,
  child: ChildSaRecord,
): void {
  reportChild(ctx, ikeId, { ...child, connection }, { narrowed: child.narrowed, adopted: true });
}
