import type { ChildId, ConnectionId, IkeId } from '../util/ids.js';
import type { Endpoint } from '../util/ip.js';
import type { ByteCount, Millis } from '../util/units.js';
import type { ConnectionConfig } from './config.js';
import type { CloseReason } from './events.js';
import type { DatagramInput, RenewScope } from './inputs.js';
import type { SaRecord } from './sa/record.js';

/**
 * One version of IKE inside the engine. It keeps its own SAs; the engine only asks which version a
 * datagram, a connection or a child SA belongs to.
 */
export interface IkeVersion {
  /** A datagram of this major version. */
  receive(datagram: DatagramInput): void;
  /** Brings a connection up as initiator, unless it is up or on its way. */
  initiate(connection: ConnectionConfig): void;
  /** Ends all SAs of a connection at both ends. */
  terminate(connection: ConnectionId, reason: CloseReason): void;
  terminateAll(reason: CloseReason): void;
  /** The desired connections were replaced. SAs of connections that are not among them any more end. */
  reconfigured(): void;
  /** Whether an established or starting SA of the connection is here. */
  has(connection: ConnectionId): boolean;
  /** Authentic ESP traffic on a child SA. False when the child SA is not of this version. */
  inboundTraffic(childId: ChildId, at: Millis): boolean;
  /** What has passed on a child SA, in the direction with more of it. False when it is not of this version. */
  trafficVolume?(childId: ChildId, passed: { readonly bytes: ByteCount; readonly packets: number }): boolean;
  /**
   * Traffic to an address for which an established connection has no child SA. False when it is not established here.
   */
  acquire?(connection: ConnectionId, destination: Uint8Array): boolean;
  /** The data plane does not have a child SA that it was ordered to install. False when it is not of this version. */
  installFailed(childId: ChildId, reason: string): boolean;
  /**
   * Re-establishes the SAs of a connection with its present configuration; see `RenewScope`. A version that cannot
   * do it without a gap leaves it out: then its SAs end and the connection is initiated again.
   */
  renew?(connection: ConnectionConfig, scope: RenewScope): void;
  /** ESP of a child SA comes from elsewhere now. False when the child SA is not of this version. */
  espMoved?(childId: ChildId, from: Endpoint): boolean;
  /**
   * The established IKE SAs with their child SAs as data, oldest first, or the one of this id alone. The keys are
   * copies, which the caller wipes. A negotiation that has not authenticated the peer is no SA yet: it is left
   * out, and either end begins it again.
   */
  export?(ikeId?: IkeId): SaRecord[];
  /** The same of one connection. Counts nothing as touched. */
  exportConnection?(connection: ConnectionId): SaRecord[];
  /** The connections of which an SA that is there may have changed since `deadline` was last asked. */
  touched?(): ConnectionId[];
  /**
   * Carries on what a record of this version says, which the engine has found sound in its common part: puts the SA
   * into the tables, its SPIs into the pool, continues the ids after its own (`Context.keepId`, `passId`), and reports
   * it by `reportAdoptedIke` and `reportAdoptedChild`. Returns why not, and has changed nothing then.
   */
  adopt?(record: SaRecord): string | undefined;
  /** Does what is due at the current time. */
  tick(): void;
  /** When `tick` has something to do next. */
  deadline(): Millis | undefined;
}
