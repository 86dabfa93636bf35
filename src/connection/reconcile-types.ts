import type { ConnectionConfig } from '../ike/config.js';
import type { ConnectionId } from '../util/ids.js';
import type { Millis } from '../util/units.js';
import { type BackoffPolicy, DEFAULT_BACKOFF } from './backoff.js';

/** What the reconciler requests, in this order. The daemon turns it into inputs of the engine. */
export type Command =
  | { readonly kind: 'initiate' | 'terminate'; readonly connection: ConnectionId }
  /** A new negotiation beside the established SAs; they are deleted once it has succeeded. */
  | { readonly kind: 'renew'; readonly connection: ConnectionId }
  /** Whether requests of the peer for this connection are answered: not while an operator holds it down. */
  | { readonly kind: 'admit' | 'refuse'; readonly connection: ConnectionId };

/** All that can happen to the reconciler. Time is an argument of `handle`. */
export type ReconcileInput =
  | { readonly kind: 'configure'; readonly connections: readonly ConnectionConfig[] }
  /** All events of one step of the engine have been taken: together they say why something was lost. */
  | { readonly kind: 'step' }
  | { readonly kind: 'up' | 'down' | 'acquire'; readonly connection: ConnectionId }
  /** Something changed that may let the next attempt succeed: the configuration, or the peer's addresses. */
  | { readonly kind: 'retry'; readonly connection: ConnectionId }
  /** The established SAs are to be replaced by a new negotiation, tried until it succeeds. */
  | { readonly kind: 'renew'; readonly connection: ConnectionId }
  /** Take down and bring up again. */
  | { readonly kind: 'renegotiate'; readonly connection: ConnectionId }
  | { readonly kind: 'timer' };

/**
 * - `disabled`: admin_state_up is false
 * - `stopped`: an operator took it down
 * - `passive`: waits for the peer (peer_only), or for the peer or an operator (DPD action clear)
 * - `trapped`: waits for traffic (DPD action hold)
 * - `due`: will be initiated at `deadline`
 * - `connecting`: initiated, no outcome yet
 * - `up`: a child SA is established; in version 1 it may outlive its IKE SA
 */
export type State = 'disabled' | 'stopped' | 'passive' | 'trapped' | 'due' | 'connecting' | 'up';

/** What can happen to one connection, as the table below sees it. */
export type Stimulus =
  | 'enable'
  | 'disable'
  | 'up'
  | 'down'
  | 'acquire'
  | 'retry'
  | 'renew'
  | 'renegotiate'
  | 'deadline'
  | 'established'
  /** Our attempt did not succeed. */
  | 'failed'
  /** The connection was up: the peer died, deleted it or its child SAs only, or it ended otherwise. */
  | 'lost-dead'
  | 'lost-child'
  | 'lost-deleted'
  | 'lost';

/** The pace of retries. */
export interface ReconcilePolicy {
  readonly backoff: BackoffPolicy;
  /** At most this long after the peer deleted a connection we want, so that its own new attempt may come first. */
  readonly afterDelete: Millis;
  /**
   * This long after the peer deleted the last child SA and left the IKE SA established. Long enough for the DELETE of
   * the IKE SA that IKEv1 peers send after it: there each has a message of its own (RFC 2408 §3.15).
   */
  readonly afterChildDelete: Millis;
  /** A connection that was up this long has proven itself: the next failure starts with short waits again. */
  readonly settled: Millis;
  /** An attempt without any outcome is repeated after this long. The engine gives up far earlier. */
  readonly watchdog: Millis;
  /**
   * Least distance between two attempts of ours, whatever connections they are of: many connections that start
   * or lose their peer at the same moment come back one after the other. An operator's `up` does not wait.
   */
  readonly stagger: Millis;
  /** A peer that speaks to us resets the backoff, but not more often than this: its address may be forged. */
  readonly heardAgain: Millis;
}

/** The waits that a gateway uses. Milliseconds. */
export const DEFAULT_POLICY: ReconcilePolicy = {
  backoff: DEFAULT_BACKOFF,
  afterDelete: 500,
  afterChildDelete: 20,
  settled: 10_000,
  watchdog: 180_000,
  stagger: 10,
  heardAgain: 10_000,
};

/** One connection as the reconciler sees it. */
export interface ConnectionView {
  readonly state: State;
  /** Failed attempts in a row. */
  readonly failures: number;
  /** When it will be initiated, in state `due`. */
  readonly nextAttemptAt: Millis | undefined;
  /** A new negotiation that is to replace the SAs has not succeeded yet. */
  readonly renewing: boolean;
}
