import { readU16 } from '../../util/bytes.js';
import { IKE_HEADER_LENGTH, NEXT_PAYLOAD_OFFSET } from './header.js';
import { LIMITS } from './limits.js';
import { NotifyType, PayloadType } from './registry.js';

/** Generic payload header: next payload, critical bit, length (RFC 7296 §3.2). */
const PAYLOAD_HEADER_LENGTH = 4;
/** Protocol id, SPI size and type of a notification (RFC 7296 §3.10). */
const NOTIFY_HEADER_LENGTH = 4;

/** What a stateless cookie is judged by (RFC 7296 §2.6). Views of the datagram. */
export interface FirstRequest {
  readonly nonce: Uint8Array;
  readonly cookie: Uint8Array | undefined;
}

/**
 * Nonce and cookie of an IKE_SA_INIT request, found by the generic payload headers alone: while many requests come,
 * nothing else in one is read before its source has shown that it is real. Undefined when the chain of payloads is
 * broken or has no nonce.
 */
export function scanFirstRequest(bytes: Uint8Array): FirstRequest | undefined {
  let type = bytes[NEXT_PAYLOAD_OFFSET] ?? PayloadType.NONE;
  let nonce: Uint8Array | undefined;
  let cookie: Uint8Array | undefined;
  let at = IKE_HEADER_LENGTH;
  for (let count = 0; type !== PayloadType.NONE; count++) {
    if (count === LIMITS.payloads || at + PAYLOAD_HEADER_LENGTH > bytes.length) return undefined;
    const length = readU16(bytes, at + 2);
    if (length < PAYLOAD_HEADER_LENGTH || at + length > bytes.length) return undefined;
    const body = bytes.subarray(at + PAYLOAD_HEADER_LENGTH, at + length);
    if (type === PayloadType.NONCE) nonce ??= body;
    else if (type === PayloadType.NOTIFY) cookie ??= cookieIn(body);
    type = bytes[at]!;
    at += length;
  }
  return nonce === undefined ? undefined : { nonce, cookie };
}

function cookieIn(notify: Uint8Array): Uint8Array | undefined {
  if (notify.length < NOTIFY_HEADER_LENGTH || readU16(notify, 2) !== NotifyType.COOKIE) return undefined;
  return notify.subarray(NOTIFY_HEADER_LENGTH + notify[1]!);
}
