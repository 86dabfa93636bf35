import type { ConnectionConfig } from '../ike/config.js';
import type { IkeEvent } from '../ike/events.js';
import type { IkeId } from '../util/ids.js';
import type { Millis } from '../util/units.js';
import type { ConnectionSas, SaChange } from './ledger.js';
import type { ChildTraffic } from './sa-status.js';
import type { ConnectionStatus } from './status.js';

/** Follows the events of the engine, one by one. */
export interface EventConsumer {
  /** @param change what the event changed among the SAs: the ledger has taken it already */
  on(event: IkeEvent, now: Millis, change: SaChange): void;
}

/** A configured connection with the peer as the operator wrote it, host name or address. */
export interface TrackedConnection {
  readonly config: ConnectionConfig;
  readonly peer: string;
}

/** One event as a connection sees it. */
export interface Moment extends TrackedConnection {
  readonly now: Millis;
  readonly change: SaChange;
  /** The SAs of the connection after the event. */
  readonly sas: ConnectionSas;
  /** How much of the connection child SAs carried before the event, and how much they do now. */
  readonly before: ConnectionStatus;
  readonly after: ConnectionStatus;
  /** The event is the first that is known to be of this connection: when the peer began the IKE SA it is about. */
  readonly begunAt?: { readonly ikeId: IkeId; readonly at: Millis };
}

/**
 * What is made of all that happens to one connection, for its status. It takes what it has a method for. There is one
 * of each kind per connection, so that all of them are forgotten together with it.
 */
export interface Projection {
  /** An event of the connection. */
  on?(event: IkeEvent, moment: Moment): void;
  /** An event without a connection from an address of its peer, where that may say something about the connection. */
  onPeer?(event: IkeEvent, moment: Moment): void;
  /** The connection is configured, for the first time or (`before`) otherwise than before. */
  configure?(config: ConnectionConfig, before: ConnectionConfig | undefined): void;
  /** The counters of all its child SAs, every second or so. */
  traffic?(counters: readonly ChildTraffic[], now: Millis): void;
  /** The kernel refused to send an IKE message to its peer. */
  sendFailed?(code: string, message: string, now: Millis): void;
  /** Nothing ran here for this long, in milliseconds, until now: the machine was suspended, or the process stopped. */
  stoodStill?(length: Millis, now: Millis): void;
}
