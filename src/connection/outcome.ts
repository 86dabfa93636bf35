import type { CloseReason, IkeEvent } from '../ike/events.js';
import type { ConnectionSas, SaChange } from './ledger.js';
import type { Stimulus } from './reconcile-types.js';

/** What the events of one step of the engine mean for one connection. */
export interface Outcome {
  failed: boolean;
  reason: CloseReason | undefined;
  /** A negotiation from the start succeeded. */
  negotiated: boolean;
  /** The peer deleted the last IKE SA. */
  ikeDeleted: boolean;
}

/** Before the first event of a step. */
export function noOutcome(): Outcome {
  return { failed: false, reason: undefined, negotiated: false, ikeDeleted: false };
}

/** One event of a connection, and how things are after it. */
export interface Noted {
  readonly event: IkeEvent;
  readonly change: SaChange;
  readonly sas: ConnectionSas;
  readonly connecting: boolean;
}

/** What an event says of the outcome of our attempt, or of the SAs that were established. */
export function note({ event, change, sas, connecting }: Noted, outcome: Outcome): void {
  switch (event.kind) {
    case 'ike-established':
      if (event.ike.replaces === undefined) outcome.negotiated = true;
      return;
    case 'ike-closed':
      // The reason of the IKE SA explains the reasons of its children, which in version 1 may outlive it.
      if (change.ike !== undefined) outcome.reason = event.reason;
      if (sas.ikes.size > 0) return;
      if (event.reason === 'peer-deleted') outcome.ikeDeleted = true;
      // The answer to a DELETE of ours may come when the next attempt has begun: that one has not failed.
      if (connecting && event.reason !== 'terminated') outcome.failed = true;
      return;
    case 'child-closed':
      outcome.reason ??= event.reason;
      return;
    case 'ike-failed':
    case 'child-failed':
      if (event.role === 'initiator') outcome.failed = true;
      return;
    default:
  }
}

/** How a connection that was up was lost. */
export function lossOf({ ikes }: ConnectionSas, reason: CloseReason | undefined): Stimulus {
  if (reason === 'peer-dead') return 'lost-dead';
  if (reason !== 'peer-deleted') return 'lost';
  return ikes.size > 0 ? 'lost-child' : 'lost-deleted';
}
