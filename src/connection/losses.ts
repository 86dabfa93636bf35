import type { CloseReason, Failure } from '../ike/events.js';

/** Intentional closes, not counted as flaps. */
export const WANTED: ReadonlySet<CloseReason> = new Set([
  'terminated',
  'shutdown',
  'rekeyed',
  'replaced',
  'configuration-changed',
]);

/** Why an SA that the engine closed without naming a failure is gone; undefined when it was meant. */
export const CLOSED: Readonly<Record<CloseReason, Failure | undefined>> = {
  terminated: undefined,
  shutdown: undefined,
  rekeyed: undefined,
  replaced: undefined,
  'configuration-changed': undefined,
  'peer-deleted': { cause: 'peer_deleted', message: 'The peer deleted the connection' },
  'peer-dead': { cause: 'dpd_timeout', message: 'The peer gave no sign of life any more' },
  expired: { cause: 'rekey_failed', message: 'The SA reached the end of its lifetime and was not replaced' },
  failed: { cause: 'internal_error', message: 'The SA failed' },
};
