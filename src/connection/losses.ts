import type { CloseReason, Failure } from '../ike/events.js';

interface Close {
  /** What the log says. */
  readonly words: string;
  /** Why an SA that the engine closed without naming a failure is gone; absent when the close was intended. */
  readonly failure?: Failure;
}

/** How SAs end. */
export const CLOSES: Readonly<Record<CloseReason, Close>> = {
  terminated: { words: 'deleted by us' },
  shutdown: { words: 'deleted, the daemon is stopping' },
  'peer-deleted': {
    words: 'the peer sent DELETE',
    failure: { cause: 'peer_deleted', message: 'The peer deleted the connection' },
  },
  'peer-dead': {
    words: 'the peer is dead',
    failure: { cause: 'dpd_timeout', message: 'The peer no longer gave any sign of life' },
  },
  rekeyed: { words: 'replaced by rekeying' },
  expired: {
    words: 'end of lifetime',
    failure: {
      cause: 'rekey_failed',
      message: 'The SA reached the end of its lifetime and was not replaced',
    },
  },
  replaced: { words: 'replaced by a newer one' },
  'configuration-changed': { words: 'the configuration changed' },
  failed: { words: 'it failed', failure: { cause: 'internal_error', message: 'The SA failed' } },
};

/** Whether a close is intentional: it needs no explanation and is no flap. */
export function isIntended(reason: CloseReason): boolean {
  return CLOSES[reason].failure === undefined;
}
