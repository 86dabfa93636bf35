import type { NoncePair } from '../../crypto/keymat.js';
import type { DhExchange } from '../../crypto/types.js';
import type { Millis } from '../../util/units.js';
import type { NetworkPair } from '../policy/carried-pairs.js';
import type { Retransmission } from '../sa/retransmission.js';
import type { V1Child } from './child-record.js';
import type { IvChain } from './protect.js';

/**
 * One quick mode (RFC 2409 §5.5):
 *
 * - `sent`: initiator, message 1 is on its way
 * - `answered`: responder, message 2 is on its way
 * - `abandoned`: initiator, the peer's own for the same networks continues; should ours be answered all the same,
 *   the answer is withdrawn
 * - `done`: only repetitions are answered
 */
export type QuickExchange = QuickSent | QuickAnswered | QuickAbandoned | QuickDone;

interface Begun {
  readonly messageId: number;
  readonly chain: IvChain;
  readonly pair: NetworkPair;
  readonly initiatorNonce: Uint8Array;
  /** Our inbound SPI. */
  readonly spiIn: number;
  /** The last message sent. */
  readonly lastOut: Uint8Array;
}

/** Initiator: message 1 of quick mode was sent. */
export interface QuickSent extends Begun {
  readonly state: 'sent';
  /** Place of its start in the order of all ids: decides which of two SAs for one pair is the newer. */
  readonly order: number;
  readonly startedAt: Millis;
  /** With PFS. */
  readonly dh: DhExchange | undefined;
  /** The SAs to be replaced. */
  readonly replaces: number | undefined;
  readonly retransmission: Retransmission;
}

/** Responder: message 2 was sent, and the outbound SA waits for message 3. */
export interface QuickAnswered extends Begun {
  readonly state: 'answered';
  readonly responderNonce: Uint8Array;
  /** The pair of SAs that waits for message 3. */
  readonly child: V1Child;
  /** The last message that was taken. */
  readonly lastIn: Uint8Array;
  readonly retransmission: Retransmission;
}

/** Initiator: given up for the peer's exchange about the same networks; a late answer to ours is withdrawn. */
export interface QuickAbandoned extends Begun {
  readonly state: 'abandoned';
  readonly forgetAt: Millis;
}

/** A finished exchange, kept to answer what the peer retransmits. */
export interface QuickDone {
  readonly state: 'done';
  readonly messageId: number;
  /** Initiator: the inbound SPI of the SAs that it made. */
  readonly spiIn: number | undefined;
  readonly lastIn: Uint8Array;
  readonly lastOut: Uint8Array;
  readonly forgetAt: Millis;
}

/** Whether SAs may still come of it. */
export function isOpen(quick: QuickExchange): quick is QuickSent | QuickAnswered {
  return quick.state === 'sent' || quick.state === 'answered';
}

/** Message 3 has come, or is not waited for any more. */
export function done({ messageId, lastIn, lastOut }: QuickAnswered, forgetAt: Millis): QuickDone {
  return { state: 'done', messageId, spiIn: undefined, lastIn, lastOut, forgetAt };
}

/** When it is repeated, given up or forgotten. */
export function quickDeadline(quick: QuickExchange): Millis {
  return isOpen(quick) ? quick.retransmission.nextAt : quick.forgetAt;
}

/** Returns both nonces in the roles of this exchange, for its hashes and keys (RFC 2409 §5.5). */
export function noncesOf({ initiatorNonce, responderNonce }: QuickAnswered): NoncePair {
  return { initiator: initiatorNonce, responder: responderNonce };
}
