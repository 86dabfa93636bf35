import type { Failure, FailureCause } from '../events.js';

/** A plain failure with the exchange in which it happened. */
export function failure(cause: FailureCause, message: string, exchange?: string): Failure {
  return exchange === undefined ? { cause, message } : { cause, message, details: { exchange } };
}

/** The failure of a first message from an address that no connection with this version is configured for. */
export function nobodyKnown(version: 1 | 2): Failure {
  const message = `no connection is configured for this peer address and IKEv${version}`;
  return failure('no_matching_connection', message, version === 1 ? 'MAIN_MODE' : 'IKE_SA_INIT');
}
