import { writeU32 } from '../../../util/bytes.js';
import { IKE_HEADER_LENGTH, LENGTH_OFFSET, NEXT_PAYLOAD_OFFSET } from '../header.js';
import { PayloadType } from '../registry.js';

/** Of the header of an encrypted payload: next payload, reserved octet, length. */
const SK_HEADER_LENGTH = 4;

/**
 * A protected message as if it had been neither encrypted nor fragmented, which is what both ends authenticate of
 * IKE_INTERMEDIATE (RFC 9242 §3.3.2): IKE header, header of the encrypted payload, and the payloads in it, with both
 * length fields counting just that. `datagram` is the message, or its first fragment, and `text` what was in the
 * encrypted payload, or in all fragments, without padding. Undefined when another payload precedes the encrypted one.
 */
export function plainOctets(datagram: Uint8Array, text: Uint8Array): Uint8Array | undefined {
  const type = datagram[NEXT_PAYLOAD_OFFSET];
  if (type !== PayloadType.SK && type !== PayloadType.SKF) return undefined;
  const payloadLength = SK_HEADER_LENGTH + text.length;
  const out = new Uint8Array(IKE_HEADER_LENGTH + payloadLength);
  // The next-payload field and the reserved octet are the same in the header of a first fragment (RFC 7383 §2.5).
  out.set(datagram.subarray(0, IKE_HEADER_LENGTH + 2));
  out[NEXT_PAYLOAD_OFFSET] = PayloadType.SK;
  writeU32(out, LENGTH_OFFSET, out.length);
  out[IKE_HEADER_LENGTH + 2] = payloadLength >>> 8;
  out[IKE_HEADER_LENGTH + 3] = payloadLength & 0xff;
  out.set(text, IKE_HEADER_LENGTH + SK_HEADER_LENGTH);
  return out;
}
