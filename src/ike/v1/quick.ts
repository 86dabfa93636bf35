import type { DhExchange } from '../../crypto/types.js';
import type { Millis } from '../../util/units.js';
import type { Role } from '../events.js';
import type { NetworkPair } from '../policy/carried-pairs.js';
import type { Retransmission } from '../sa/retransmission.js';
import type { V1Child } from './child-record.js';
import type { IvChain } from './protect.js';

/**
 * - `sent`: initiator, message 1 is on its way
 * - `answered`: responder, message 2 is on its way
 * - `abandoned`: initiator, the peer's own for the same networks goes on; should ours be answered all the same,
 *   the answer is taken back
 * - `done`: only repetitions are answered
 */
export type QuickState = 'sent' | 'answered' | 'abandoned' | 'done';

/** One quick mode (RFC 2409 §5.5). */
export interface QuickExchange {
  readonly messageId: number;
  readonly role: Role;
  readonly chain: IvChain;
  readonly pair: NetworkPair;
  /** Place of its start in the order of all ids: decides which of two SAs for one pair is the newer. */
  readonly order: number;
  readonly startedAt: Millis;
  state: QuickState;
  readonly initiatorNonce: Uint8Array;
  responderNonce: Uint8Array | undefined;
  dh: DhExchange | undefined;
  /** Our inbound SPI, 0 for a refused request. */
  readonly spiIn: number;
  /** Responder: the pair of SAs that waits for message 3. */
  child: V1Child | undefined;
  /** Initiator: the SAs to be replaced. */
  readonly replaces: number | undefined;
  /** The last message that was taken, and the last one sent. */
  lastIn: Uint8Array | undefined;
  lastOut: Uint8Array;
  retransmission: Retransmission | undefined;
  forgetAt: Millis | undefined;
}

/** Whether SAs may still come of it. */
export function isOpen({ state }: QuickExchange): boolean {
  return state === 'sent' || state === 'answered';
}
