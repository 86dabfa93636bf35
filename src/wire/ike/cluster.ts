import { readU32, writeU32 } from '../../util/bytes.js';

/** Octets of the nonce in IKEV2_MESSAGE_ID_SYNC. */
const NONCE_LENGTH = 4;

/**
 * What IKEV2_MESSAGE_ID_SYNC says (RFC 6311 §6.3), as its sender sees it: nonce (4) | next request sent (4) | next
 * request received (4). In a request these are called M1 and P1, in the response P2 and M2.
 */
export interface MessageIdSync {
  /** Chosen by who asks; the response has the same. */
  readonly nonce: Uint8Array;
  /** EXPECTED_SEND_REQ_MESSAGE_ID: the message id of the sender's next request. */
  readonly nextSent: number;
  /** EXPECTED_RECV_REQ_MESSAGE_ID: the message id that the sender expects in the next request of the other end. */
  readonly nextReceived: number;
}

/** Data of the notification; undefined when they are not twelve octets. The nonce is a copy. */
export function decodeMessageIdSync(data: Uint8Array): MessageIdSync | undefined {
  if (data.length !== NONCE_LENGTH + 8) return undefined;
  return {
    nonce: data.slice(0, NONCE_LENGTH),
    nextSent: readU32(data, NONCE_LENGTH),
    nextReceived: readU32(data, NONCE_LENGTH + 4),
  };
}

/** The data of a notification. @throws RangeError for a nonce of another length than four octets */
export function encodeMessageIdSync({ nonce, nextSent, nextReceived }: MessageIdSync): Uint8Array {
  if (nonce.length !== NONCE_LENGTH)
    throw new RangeError(`a nonce of ${nonce.length} octets: IKEV2_MESSAGE_ID_SYNC has four`);
  const out = new Uint8Array(NONCE_LENGTH + 8);
  out.set(nonce);
  writeU32(out, NONCE_LENGTH, nextSent);
  writeU32(out, NONCE_LENGTH + 4, nextReceived);
  return out;
}

/**
 * By how much IPSEC_REPLAY_COUNTER_SYNC asks the receiver to move its outbound counters on (RFC 6311 §6.4), of child SAs
 * without extended sequence numbers; undefined when the data are not four octets.
 */
export function decodeReplayCounterSync(data: Uint8Array): number | undefined {
  return data.length === 4 ? readU32(data, 0) : undefined;
}
